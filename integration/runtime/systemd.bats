#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# --systemd-cgroup: the container's cgroup is a scope of systemd's. Only where systemd is pid 1 (integration/vm/run).
load ../lib/common

systemd_runs() { [ -d /run/systemd/system ]; }

setup_file() {
  make_file_dir
  make_bundle "$FILE_DIR/bundle"
}
teardown_file() {
  rm -rf "$FILE_DIR"
  if systemd_runs && uid=$(id -u user 2>/dev/null); then
    loginctl disable-linger user
    logged_out() { [ ! -e "/run/user/$uid" ]; }
    eventually logged_out
  fi
}

setup() {
  R=("$OCIRUN" --systemd-cgroup --root "$FILE_DIR/state")
  UNIT=ocirun-box.scope
  cp "$FILE_DIR/bundle/config.json" "$FILE_DIR/saved.json"
  cd "$FILE_DIR/bundle"
  systemd_runs || skip "systemd does not run here"
}
teardown() {
  "${R[@]}" delete -f box
  [ ! -d "$FILE_DIR/user/state" ] || as_user "$OCIRUN" --root "$FILE_DIR/user/state" delete -f box
  cp "$FILE_DIR/saved.json" "$FILE_DIR/bundle/config.json"
}

start_sleeper() {
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
}

# show PROPERTY [UNIT]: what systemd believes.
show() { systemctl show --value --property "$1" "${2:-$UNIT}"; }
not_loaded() { [ "$(show LoadState)" = not-found ]; }
# cgroup FILE: a control file of the container's, on cgroup v2.
cgroup() { cat "/sys/fs/cgroup$(show ControlGroup)/$1"; }

@test "a container is a scope of systemd's, with nothing else in it" {
  start_sleeper
  pid=$("${R[@]}" state box | jq .pid)
  [ "$(show ActiveState)" = active ]
  [ "$(show Slice)" = system.slice ]
  [ "$(show Delegate)" = yes ]
  [ "$(show Description)" = "ocirun container box" ]
  [ "$(show ControlGroup)" = /system.slice/$UNIT ]
  grep -q ":/system.slice/$UNIT$" "/proc/$pid/cgroup"
  [ "$("${R[@]}" ps -f json box)" = "[$pid]" ]
  "${R[@]}" exec box true
  [ "$("${R[@]}" exec box cat /proc/self/cgroup)" = 0::/ ] || ! on_cgroup_v2
  "${R[@]}" pause box
  [ "$("${R[@]}" state box | jq -r .status)" = paused ]
  "${R[@]}" resume box
  "${R[@]}" delete -f box
  eventually not_loaded
  [ -z "$(find /sys/fs/cgroup -name "$UNIT")" ]
}

@test "a scope ends with its container, and its name is free again" {
  edit_config . '.process.args = ["false"]'
  for _ in 1 2; do
    run "${R[@]}" run box
    [ "$status" -eq 1 ]
  done
  eventually not_loaded
}

@test "limits are systemd's and the kernel's, and update changes both" {
  on_cgroup_v2 || skip "the control files are those of cgroup v2"
  edit_config . '.linux.resources += {memory: {limit: 67108864, reservation: 33554432, swap: 100663296},
    cpu: {shares: 512, quota: 40000, period: 100000, cpus: "0"}, pids: {limit: 20}}'
  start_sleeper
  [ "$(show MemoryMax)" = 67108864 ]
  [ "$(show MemoryLow)" = 33554432 ]
  [ "$(show MemorySwapMax)" = 33554432 ]
  [ "$(show CPUWeight)" = 59 ]
  [ "$(show CPUQuotaPerSecUSec)" = 400ms ]
  [ "$(show CPUQuotaPeriodUSec)" = 100ms ]
  [ "$(show TasksMax)" = 20 ]
  [ "$(show AllowedCPUs)" = 0 ]
  [ "$(show DevicePolicy)" = strict ]
  [ "$(cgroup memory.max)" = 67108864 ]
  [ "$(cgroup pids.max)" = 20 ]
  [ "$(cgroup cpu.max)" = "40000 100000" ]
  "${R[@]}" update --memory 128M --memory-swap 128M --cpu-quota 70001 --cpu-period 100000 --pids-limit 30 box
  [ "$(show MemoryMax)" = 134217728 ]
  [ "$(show TasksMax)" = 30 ]
  [ "$(show CPUQuotaPerSecUSec)" = 710ms ]
  [ "$(cgroup memory.max)" = 134217728 ]
  [ "$(cgroup cpu.max)" = "71000 100000" ]
  # What the kernel refuses changes neither.
  run "${R[@]}" update --pids-limit 10 --cpuset-cpus 9999 box
  [ "$status" -eq 1 ]
  [ "$(show TasksMax)" = 30 ]
  [ "$(cgroup pids.max)" = 30 ]
  # systemd writes its limits again, and nothing changes by that.
  systemctl daemon-reload
  [ "$(cgroup memory.max)" = 134217728 ]
  [ "$(cgroup pids.max)" = 30 ]
  [ "$(cgroup cpu.max)" = "71000 100000" ]
  "${R[@]}" exec box sh -c 'echo x >/dev/null'
  run "${R[@]}" exec box sh -c 'mknod /dev/disk b 8 0 && cat /dev/disk'
  [ "$status" -ne 0 ]
}

@test "room for one process is room for init" {
  edit_config . '.process.args = ["true"] | .linux.resources.pids = {limit: 1}'
  "${R[@]}" run box
}

@test "slice:prefix:name, and properties from annotations" {
  edit_config . '.linux.cgroupsPath = "ocitest-sub.slice:pre:name" | .annotations = {
    "org.systemd.property.TimeoutStopSec": "uint64 7", "org.systemd.property.CollectMode": "'\''inactive-or-failed'\''"}'
  UNIT=pre-name.scope
  start_sleeper
  [ "$(show ControlGroup)" = /ocitest.slice/ocitest-sub.slice/$UNIT ]
  [ "$(show Slice)" = ocitest-sub.slice ]
  [ "$(show TimeoutStopUSec)" = 7s ]
  [ "$(show CollectMode)" = inactive-or-failed ]
  "${R[@]}" delete -f box
  eventually not_loaded
  systemctl stop ocitest.slice
  # Of hierarchies that systemd does not manage (v1) a slice is the runtime's, and other containers'.
  find /sys/fs/cgroup -depth -type d -name 'ocitest*.slice' -exec rmdir {} +
}

@test "what systemd or the runtime refuses leaves nothing" {
  refused() {
    edit_config . "$1"
    run "${R[@]}" run box
    cp "$FILE_DIR/saved.json" config.json
    [ "$status" -eq 1 ]
    [[ $output == *"$2"* ]]
    [ "$("${R[@]}" list -q)" = "" ]
    not_loaded
  }
  refused '.linux.cgroupsPath = "/some/path"' 'expected cgroupsPath to be of format "slice:prefix:name"'
  refused '.linux.cgroupsPath = "a--b.slice:c:d"' 'invalid slice name: "a--b.slice"'
  refused '.annotations = {"org.systemd.property.NoSuchThing": "true"}' 'NoSuchThing'
  refused '.annotations = {"org.systemd.property.CollectMode": "what"}' 'CollectMode: "what"'
  refused '.process.args = ["no-such-program"]' 'executable file not found'
}

@test "two containers can't have one scope" {
  start_sleeper
  edit_config . '.linux.cgroupsPath = "system.slice:ocirun:box"'
  run "${R[@]}" run other
  [ "$status" -eq 1 ]
  [[ $output == *"unable to start unit $UNIT"* ]]
  [ "$("${R[@]}" state box | jq -r .status)" = running ]
}

@test "a scope that failed is in nobody's way" {
  systemd-run --quiet --scope --unit "$UNIT" -p OOMPolicy=kill true 2>/dev/null || true
  edit_config . '.linux.resources.memory = {limit: 16777216, swap: 16777216}
    | .process.args = ["sh", "-c", "x=$(dd if=/dev/zero bs=1M count=40 | tr \"\\0\" a)"]'
  for _ in 1 2; do
    run "${R[@]}" run box
    [ "$status" -ne 0 ]
  done
  eventually not_loaded
}

# Not in a cgroup of his own systemd's, as from a session: he may not move processes himself.
as_user() { runuser -u user -- env XDG_RUNTIME_DIR="/run/user/$(id -u user)" "$@"; }

@test "an ordinary user has his own systemd make the scope" {
  on_cgroup_v2 || skip "an ordinary user needs cgroup v2"
  uid=$(id -u user 2>/dev/null) || skip "there is no ordinary user to be"
  loginctl enable-linger user
  user_bus() { [ -S "/run/user/$uid/bus" ]; }
  eventually user_bus
  chmod 755 "$FILE_DIR"
  mkdir "$FILE_DIR/user"
  cp -a "$FILE_DIR/bundle/rootfs" "$FILE_DIR/user"
  (cd "$FILE_DIR/user" && "$OCIRUN" spec --rootless)
  edit_config "$FILE_DIR/user" '.process.args = ["sleep", "1000"] | .process.terminal = false
    | .linux.uidMappings[0].hostID = $uid | .linux.gidMappings[0].hostID = $gid
    | .linux.resources = {memory: {limit: 67108864}, pids: {limit: 20}}' --argjson uid "$uid" --argjson gid "$(id -g user)"
  chown -R user: "$FILE_DIR/user"
  U=(as_user "$OCIRUN" --systemd-cgroup --root "$FILE_DIR/user/state")
  "${U[@]}" run -d -b "$FILE_DIR/user" box </dev/null >"$FILE_DIR/user.log" 2>&1 3>&- || { cat "$FILE_DIR/user.log"; false; }
  pid=$("${U[@]}" state box | jq .pid)
  path=$(sed -n 's/^0:://p' "/proc/$pid/cgroup")
  [ "$path" = "/user.slice/user-$uid.slice/user@$uid.service/user.slice/$UNIT" ]
  [ "$(cat "/sys/fs/cgroup$path/memory.max")" = 67108864 ]
  [ "$(as_user systemctl --user show --value --property MemoryMax "$UNIT")" = 67108864 ]
  [ "$("${U[@]}" exec box cat /proc/self/cgroup)" = "$("${U[@]}" exec box cat /proc/1/cgroup)" ]
  "${U[@]}" update --pids-limit 30 box
  [ "$(cat "/sys/fs/cgroup$path/pids.max")" = 30 ]
  "${U[@]}" delete -f box
  [ ! -e "/sys/fs/cgroup$path" ]
}

@test "without the helper there is one clear line" {
  cp "$OCIRUN" "$FILE_DIR/ocirun"
  run "$FILE_DIR/ocirun" --systemd-cgroup --root "$FILE_DIR/state" run box
  [ "$status" -eq 1 ]
  [[ $output == *"$FILE_DIR/ocirun-systemd is missing: install it beside ocirun to use --systemd-cgroup"* ]]
}
