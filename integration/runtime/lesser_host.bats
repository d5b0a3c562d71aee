#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Hosts that are less than one: root without some capabilities, inside another container, cgroups
# that are read-only, not there, or somebody else's. What config.json asks for and the kernel refuses
# is an error that names it; what can be had in a lesser way is had so, as runc and crun do.
load ../lib/common

setup_file() {
  make_file_dir
  chmod 755 "$FILE_DIR"
  make_bundle "$FILE_DIR/bundle"
  cp -a "$FILE_DIR/bundle" "$FILE_DIR/outer"
}
teardown_file() { rm -rf "$FILE_DIR"; }

setup() {
  R=("$OCIRUN" --root "$FILE_DIR/state")
  cp "$FILE_DIR/bundle/config.json" "$FILE_DIR/saved.json"
  cd "$FILE_DIR/bundle"
}
teardown() {
  [ -z "${SLEEPER:-}" ] || { kill -KILL "$SLEEPER"; wait "$SLEEPER" 2>/dev/null || true; }
  "${R[@]}" delete -f box
  "${R[@]}" delete -f outer
  chown -R 0:0 "$FILE_DIR/bundle/rootfs" "$FILE_DIR/outer/rootfs"
  cp "$FILE_DIR/saved.json" "$FILE_DIR/bundle/config.json"
}

# lacking CAPABILITY SCRIPT: runs a shell in a container, made by a root that lacks a capability.
lacking() {
  edit_config . '.process.args = ["sh", "-c", $script]' --arg script "$2"
  run capsh "--drop=$1" -- -c '"$@"' - "${R[@]}" run box
}

# on_host CHANGE SCRIPT: runs a shell in a container, on a host whose mounts are changed.
on_host() {
  edit_config . '.process.args = ["sh", "-c", $script]' --arg script "$2"
  run unshare -m --propagation private sh -c "$1"' && exec "$@"' - "${R[@]}" run box
}

nothing_left() { [ ! -e "$FILE_DIR/state/box" ] && [ -z "$(find /sys/fs/cgroup -name box -type d | head -1)" ]; }

# nested CGROUPS [JQ]: runs the bundle by a runtime that is in a container itself, which sees its
# cgroups ro, rw or not at all; JQ changes that outer container.
nested() {
  grep -q __asan_init "$OCIRUN" && skip "the outer container has no libraries for a sanitizer's program"
  jq --arg dir "$FILE_DIR" --arg runtime "$OCIRUN" --arg cgroups "$1" '
    .process.args = ["sh", "-c", "cd /inner && exec /bin/ocirun --root /run/state run box"]
    | .process.noNewPrivileges = false
    | .process.capabilities |= with_entries(.value = if .key == "ambient" or .key == "inheritable" then [] else
        ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_MKNOD", "CAP_NET_ADMIN", "CAP_SETGID",
         "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"] end)
    | .linux.maskedPaths = [] | .linux.readonlyPaths = []
    | .mounts |= map(if .type == "sysfs" or (.type == "cgroup" and $cgroups == "rw") then .options -= ["ro"] else . end)
    | .mounts |= map(select(.type != "cgroup" or $cgroups != "absent"))
    | .mounts += [{destination: "/run", type: "tmpfs", source: "tmpfs"},
        {destination: "/inner", type: "bind", source: ($dir + "/bundle"), options: ["rbind"]},
        {destination: "/bin/ocirun", type: "bind", source: $runtime, options: ["bind", "ro"]}]' \
    "$FILE_DIR/saved.json" | jq "${2:-.}" >"$FILE_DIR/outer/config.json"
  run "${R[@]}" run -b "$FILE_DIR/outer" outer
}
in_user_namespace='.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'

@test "without CAP_MKNOD the host's devices are there, and only if they are the same" {
  lacking cap_mknod 'for d in null zero full random urandom tty; do stat -c %t:%T /dev/$d; done; echo x >/dev/null && echo written'
  [ "$(echo $output)" = "1:3 1:5 1:7 1:8 1:9 5:0 written" ]
  edit_config . '.linux.devices = [{path: "/dev/none", type: "c", major: 1, minor: 3}]'
  lacking cap_mknod true
  [ "$status" -eq 1 ]
  [[ $output == *"mknod /dev/none: operation not permitted"*"no such file or directory"* ]]
  edit_config . '.linux.devices = [{path: "/dev/zero", type: "c", major: 1, minor: 3}]'
  lacking cap_mknod true
  [ "$status" -eq 1 ]
  [[ $output == *"the host's /dev/zero is another device"* ]]
  nothing_left
}

@test "without CAP_SYS_RESOURCE a limit and a score that would have to rise are named" {
  edit_config . '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 100000000, hard: 100000000}]'
  lacking cap_sys_resource true
  [ "$status" -eq 1 ]
  [[ $output == *"setrlimit RLIMIT_NOFILE to 100000000:100000000: operation not permitted"* ]]
  edit_config . '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 64, hard: 128}] | .process.oomScoreAdj = 300'
  lacking cap_sys_resource 'ulimit -n; cat /proc/self/oom_score_adj'
  [ "$(echo $output)" = "64 300" ]
  edit_config . '.process.oomScoreAdj = -300'
  lacking cap_sys_resource true
  [ "$status" -eq 1 ]
  [[ $output == *"process.oomScoreAdj -300"*"permission denied"* ]]
  nothing_left
  # An exec, too; its process.json may ask for the same.
  cp "$FILE_DIR/saved.json" config.json
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box >/dev/null 2>&1 3>&-
  jq '.process | .args = ["cat", "/proc/self/oom_score_adj"] | .oomScoreAdj = -300' config.json >process.json
  run capsh --drop=cap_sys_resource -- -c '"$@"' - "${R[@]}" exec -p process.json box
  [[ $output == *"process.oomScoreAdj -300"*"permission denied"* ]]
  jq '.oomScoreAdj = 300' process.json >raised.json
  run "${R[@]}" exec -p raised.json box
  [ "$output" = 300 ]
}

@test "a capability that the runtime lacks is not given, and that is said" {
  edit_config . '.process.capabilities |= with_entries(.value = if .key == "ambient" or .key == "inheritable" then [] else ["CAP_CHOWN", "CAP_NET_RAW"] end)'
  lacking cap_net_raw 'grep CapEff /proc/self/status'
  [ "$status" -eq 0 ]
  [[ $output == *"CAP_NET_RAW can't be granted"* ]]
  [[ $output == *"CapEff:"*0000000000000001 ]]
}

@test "without CAP_SYS_ADMIN nothing is started" {
  lacking cap_sys_admin 'echo started'
  [ "$status" -eq 1 ]
  [[ $output == *"operation not permitted"* && $output != *started* ]]
  nothing_left
}

@test "read-only cgroups are named, and so are none" {
  if on_cgroup_v2; then
    read_only='mount -o remount,bind,ro /sys/fs/cgroup'
  else
    read_only='for m in $(cut -d" " -f5 /proc/self/mountinfo | grep ^/sys/fs/cgroup/); do mount -o remount,bind,ro $m; done'
  fi
  on_host "$read_only" 'echo started'
  [ "$status" -eq 1 ]
  [[ $output == *"mkdir /sys/fs/cgroup/"*"read-only file system"* && $output != *started* ]]
  on_host 'umount -R /sys/fs/cgroup' 'echo started'
  [ "$status" -eq 1 ]
  [[ $output == *"this host has no cgroups mounted"* && $output != *started* ]]
  nothing_left
}

@test "a controller that is missing counts when a limit needs it" {
  on_cgroup_v2 && skip "v2 has one hierarchy"
  on_host 'umount /sys/fs/cgroup/memory' 'echo started'
  [ "$output" = started ]
  edit_config . '.linux.resources.memory = {limit: 67108864}'
  on_host 'umount /sys/fs/cgroup/memory' 'echo started'
  [ "$status" -eq 1 ]
  [[ $output == *"linux.resources.memory.limit: this host has no cgroup controller memory"* ]]
  # Without it no device could be refused.
  cp "$FILE_DIR/saved.json" config.json
  on_host 'umount /sys/fs/cgroup/devices' 'echo started'
  [ "$status" -eq 1 ]
  [[ $output == *"linux.resources.devices: this host has no cgroup controller devices"* ]]
  nothing_left
}

@test "a cgroup that holds somebody else's process is not taken, and the process lives" {
  on_cgroup_v2 && tree=/sys/fs/cgroup || tree=/sys/fs/cgroup/pids
  mkdir "$tree/lesser-host-test"
  sleep 1000 3>&- &
  SLEEPER=$!
  echo "$SLEEPER" >"$tree/lesser-host-test/cgroup.procs"
  edit_config . '.linux.cgroupsPath = "/lesser-host-test" | .process.args = ["echo", "started"]'
  run "${R[@]}" run box
  "${R[@]}" delete -f box
  alive=$(kill -0 "$SLEEPER" && echo alive)
  kill -KILL "$SLEEPER" && wait "$SLEEPER" || true
  SLEEPER=
  find /sys/fs/cgroup -depth -name lesser-host-test -type d -exec rmdir {} +
  [[ $output == *"cgroup is not empty"* && $output != *started* ]]
  [ "$alive" = alive ]
}

@test "a read-only /proc/sys on the host does not keep a sysctl from the container" {
  edit_config . '.linux.sysctl = {"net.ipv4.ip_unprivileged_port_start": "7"}'
  on_host 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys' 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start'
  [ "$output" = 7 ]
}

@test "in a container: works with cgroups to write to, and names what is wrong with others" {
  edit_config . '.process.args = ["sh", "-c", "echo inner; echo x >/dev/null && ls /sys/fs/cgroup | wc -l"]'
  nested rw
  [ "$status" -eq 0 ]
  [ "${lines[0]}" = inner ]
  [ "${lines[1]}" -gt 0 ]
  nested ro
  [ "$status" -eq 1 ]
  [[ $output == *"mkdir /sys/fs/cgroup/"*"read-only file system"* ]]
  nested absent
  [ "$status" -eq 1 ]
  [[ $output == *"this host has no cgroups mounted"* ]]
}

@test "in a container with a user namespace: the host's devices, the caller's cgroup, and a word about it" {
  chown -R 100000:100000 rootfs "$FILE_DIR/outer/rootfs"
  edit_config . '.process.args = ["sh", "-c", "echo inner; stat -c %t:%T /dev/null; echo x >/dev/null && echo written"]'
  for cgroups in ro rw; do
    nested $cgroups "$in_user_namespace"
    [ "$status" -eq 0 ]
    # A cgroup v2 that can be written is the container's own, and it may make some in it.
    if [ $cgroups = ro ] || [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
      [[ $output == *"no cgroup could be made in /sys/fs/cgroup"* ]]
    fi
    [[ $output == *inner*1:3*written ]]
  done
  # What was asked for is not left out in silence.
  edit_config . '.linux.resources.memory = {limit: 67108864}'
  nested rw "$in_user_namespace"
  [ "$status" -eq 1 ]
  [[ $output == *"linux.resources.memory.limit"* ]]
}

@test "a host that lets no memory be executed: an exec where it would hide its program warns, and goes on" {
  edit_config . '.process.args = ["sleep", "1000"] | .process.capabilities |= with_entries(.value += ["CAP_SYS_PTRACE"])'
  "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
  run "${R[@]}" exec box echo in
  [ "$output" = in ]
  run "$OCIRUN_TEST_BIN/deny" memfd_create=13 -- "${R[@]}" exec box echo in
  [ "$status" -eq 0 ]
  [[ $output == *"can be read by who may look at every process"*"ermission denied"*in ]]
  # Nor does a limit for files end it.
  run sh -c 'ulimit -f 100; exec "$@"' sh "${R[@]}" exec box echo in
  [ "$status" -eq 0 ]
  [[ $output == *"can be read by who may look at every process"*in ]]
}
