#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# update, events and features; network devices; what an ordinary user can have.
load ../lib/runtime

start_sleeper() {
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
}

# cgroup FILE-V1 FILE-V2: the value of a control file of the container, by what its init sees.
cgroup() {
  local pid controller path
  pid=$("${R[@]}" state box | jq .pid)
  controller=${1%%.*}
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    cat "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$pid/cgroup")/$2"
  else
    path=$(sed -n "s/^[0-9]*:\([^:]*,\)\?$controller\(,[^:]*\)\?:\(.*\)/\3/p" "/proc/$pid/cgroup")
    cat "/sys/fs/cgroup/$controller$path/$1"
  fi
}

@test "update changes limits, all or none" {
  edit_config . '.linux.resources.pids = {limit: 50} | .linux.resources.cpu = {quota: 40000, period: 100000}'
  start_sleeper
  "${R[@]}" update --pids-limit 30 --cpu-quota 30000 box
  [ "$(cgroup pids.max pids.max)" = 30 ]
  run "${R[@]}" update --pids-limit 20 --cpuset-cpus 9999 box
  [ "$status" -eq 1 ]
  [[ $output == *"linux.resources.cpu.cpus"*9999* ]]
  [ "$(cgroup pids.max pids.max)" = 30 ]
  run "${R[@]}" update -r - box <<<'{"cpu": {"quota": 20000, "period": 10}, "pids": {"limit": 10}}'
  [ "$status" -eq 1 ]
  [ "$(cgroup pids.max pids.max)" = 30 ]
  run "${R[@]}" update --pids-limit 20 --mem-bw-schema MB:0=10 box
  [ "$status" -eq 1 ]
  [[ $output == *"has no Intel RDT class to update"* ]]
  [ "$(cgroup pids.max pids.max)" = 30 ]
  run "${R[@]}" update --memory x box
  [ "$status" -eq 1 ]
  [[ $output == *'invalid value for --memory: "x" is not a size like 64M'* ]]
  "${R[@]}" update --pids-limit 0 box
  [ "$(cgroup pids.max pids.max)" = 1 ]
}

@test "an exec gets into a container that has as many processes as it may, and counts there" {
  edit_config . '.linux.resources.pids = {limit: 3} | .process.args = ["sh", "-c", "sleep 1000 & sleep 1000 & wait"]'
  "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
  full() { [ "$(cgroup pids.current pids.current)" = 3 ]; }
  eventually full
  run "${R[@]}" exec box cat /proc/self/cgroup
  [ "$status" -eq 0 ]
  [ "$output" = "$("${R[@]}" exec box cat /proc/1/cgroup)" ]
  "${R[@]}" exec -d box sleep 1000 </dev/null >/dev/null 2>&1 3>&-
  [ "$(cgroup pids.current pids.current)" = 4 ]
}

@test "a limit of memory that does not hold init is what the error names" {
  edit_config . '.linux.resources.memory = {limit: 4096}'
  run "${R[@]}" run box
  [ "$status" -eq 1 ]
  [[ $output == *"container init was OOM-killed (memory limit too low?)"* ]]
  [ "$("${R[@]}" list -q)" = "" ]
}

@test "events: one shot, at an interval, and a kill for memory" {
  edit_config . '.linux.resources.memory = {limit: 16777216}'
  start_sleeper
  "${R[@]}" events --stats box | jq -e '.type == "stats" and .id == "box" and .data.pids.current == 1 and .data.memory.usage.limit == 16777216'
  "${R[@]}" events --interval 100ms box >"$FILE_DIR/events" 3>&- &
  watcher=$!
  enough() { [ "$(grep -c stats "$FILE_DIR/events")" -ge 3 ]; }
  eventually enough
  ! grep -q oom "$FILE_DIR/events" || return 1
  run "${R[@]}" exec box sh -c 'x=$(dd if=/dev/zero bs=1M count=40 | tr "\0" a)'
  [ "$status" -ne 0 ]
  eventually grep -q '{"type":"oom","id":"box"}' "$FILE_DIR/events"
  "${R[@]}" events --stats box | jq -e '.data.memory.events.oom_kill >= 1'
  "${R[@]}" delete -f box
  wait $watcher
  run "${R[@]}" events --interval 0s box
  [ "$status" -eq 1 ]
}

@test "features tells what there is" {
  "${R[@]}" features | jq -e '.ociVersionMax == "1.3.0" and (.linux.namespaces | length) == 8 and (.linux.seccomp.actions | index("SCMP_ACT_NOTIFY")) != null
    and .linux.cgroup.systemd and .linux.cgroup.systemdUser and .linux.mountExtensions.idmap.enabled and (.mountOptions | index("rro")) != null'
}

@test "a network device goes in with its address and another name" {
  ip link add ocirun-t0 type veth peer name ocirun-t1
  ip addr add 192.0.2.7/24 dev ocirun-t0
  edit_config . '.linux.netDevices = {"ocirun-t0": {name: "inner"}} | .process.args = ["sh", "-c", "ip -o addr show dev inner; cat /sys/class/net/inner/operstate"]'
  run "${R[@]}" run box
  [ "$status" -eq 0 ]
  [[ $output == *"inet 192.0.2.7/24"* ]]
  # It ended with the container's namespace, and its peer with it.
  gone() { ! ip link show ocirun-t1 2>/dev/null; }
  eventually gone
  run "${R[@]}" run box
  [ "$status" -eq 1 ]
  [[ $output == *'linux.netDevices: moving "ocirun-t0" to "inner"'*"no such device"* ]]
}

@test "namespaces of another container, its user namespace among them" {
  chmod 0755 "$FILE_DIR"
  edit_config . '.process.args = ["sleep", "1000"] | .linux.namespaces += [{type: "user"}, {type: "time"}] | .linux.timeOffsets = {boottime: {secs: 1000000}}
    | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 100}] | .linux.gidMappings = .linux.uidMappings'
  "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
  pid=$("${R[@]}" state box | jq .pid)
  edit_config . '.linux.namespaces |= map(if .type == "mount" then . else .path = "/proc/" + $pid + "/ns/" + ({network: "net"}[.type] // .type) end)
    | del(.linux.uidMappings, .linux.gidMappings, .linux.timeOffsets) | .process.args = ["sh", "-c", "cat /proc/self/uid_map; cut -d. -f1 /proc/uptime; ps | grep -c sleep"]' --arg pid "$pid"
  run "${R[@]}" run other
  [ "$status" -eq 0 ]
  [ "$(xargs <<<"${lines[0]}")" = "0 100000 100" ]
  [ "${lines[1]}" -gt 1000000 ]
  [ "${lines[2]}" -ge 1 ]
  run "${R[@]}" exec box sh -c 'cut -d. -f1 /proc/uptime; cat /proc/self/uid_map; [ $(readlink /proc/self/ns/time) = $(readlink /proc/1/ns/time) ] && echo same'
  [ "$status" -eq 0 ]
  [ "${lines[0]}" -gt 1000000 ]
  [ "$(xargs <<<"${lines[1]}")" = "0 100000 100" ]
  [ "${lines[2]}" = same ]
}

@test "an ordinary user: run, exec, list, delete, and limits refused by name" {
  script_of_nobody <<'END'
./ocirun exec mine id -u
./ocirun list -q
./ocirun delete -f mine
./ocirun list -q
./ocirun create mine </dev/null >out 2>&1 || { cat out; exit 1; }
refused ./ocirun exec mine true
./ocirun delete mine
jq '.linux.resources.pids.limit = 5' config.json >c && mv c config.json
refused ./ocirun run mine
jq 'del(.linux.resources.pids) | .linux.cgroupsPath = "/of-mine"' config.json >c && mv c config.json
./ocirun run mine
END
  run "${AS_NOBODY[@]}"
  [ "${lines[0]}" = 0 ]
  [ "${lines[1]}" = mine ]
  [[ ${lines[2]} == *"an ordinary user can't exec before the container is started" ]]
  [[ ${lines[3]} == *"cannot set pids limit: container could not join or create cgroup (linux.resources.pids.limit, since this user may not make one)" ]]
  [[ ${lines[4]} == *"unable to apply cgroup configuration: "*"permission denied" ]]
  [ "$status" -eq 1 ]
}

# What rootless Podman does.
@test "an ordinary user who is root in a user namespace has his own containers" {
  script_of_nobody <<'END'
unshare -Ur ./ocirun list -q
./ocirun delete -f mine
END
  run "${AS_NOBODY[@]}"
  [ "$status" -eq 0 ] && [ "$output" = mine ] || { echo "$output"; return 1; }
}

@test "an ordinary user in hierarchies of cgroup v1 that were given to him" {
  on_cgroup_v2 && skip "cgroup v1 only"
  local given=/ocirun-given-$$ folder
  for tasks in /sys/fs/cgroup/*/tasks; do
    folder=${tasks%/tasks}$given
    [ -d "$folder" ] || mkdir "$folder" # some are links to one another
    [ ! -e "${tasks%/tasks}/cpuset.cpus" ] || for file in cpuset.cpus cpuset.mems; do cat "${tasks%/tasks}/$file" >"$folder/$file"; done
    chown -R nobody "$folder"
  done
  script_of_nobody <<END
jq '.linux.resources = {pids: {limit: 7}, memory: {limit: 33554432}} | .linux.cgroupsPath = "$given/box"' config.json >c && mv c config.json
./ocirun run -d two </dev/null >out 2>&1 || { cat out; exit 1; }
cat /sys/fs/cgroup/pids$given/box/pids.max /sys/fs/cgroup/memory$given/box/memory.limit_in_bytes
./ocirun exec two grep -c "$given/box" /proc/self/cgroup
./ocirun update --pids-limit 9 two && cat /sys/fs/cgroup/pids$given/box/pids.max
./ocirun pause two && ./ocirun list | awk '\$1 == "two" {print \$3}' && ./ocirun resume two
./ocirun events --stats two | jq .data.pids.current
./ocirun delete -f two && ./ocirun delete -f mine
find /sys/fs/cgroup/*$given -mindepth 1 -type d
END
  run "${AS_NOBODY[@]}"
  find /sys/fs/cgroup -depth -path "*$given*" -type d -exec rmdir {} +
  [ "$status" -eq 0 ] || { echo "$output"; return 1; }
  [ "${lines[0]}" = 7 ] && [ "${lines[1]}" = 33554432 ]
  [ "${lines[2]}" -ge 5 ]
  [ "${lines[3]}" = 9 ] && [ "${lines[4]}" = paused ] && [ "${lines[5]}" = 1 ]
  [ "${#lines[@]}" -eq 6 ]
}

@test "--systemd-cgroup without systemd says so in one line, and leaves nothing" {
  [ ! -d /run/systemd/system ] || skip "systemd runs here"
  run "${R[@]}" --systemd-cgroup run box
  [ "$status" -eq 1 ]
  [ "$output" = "ocirun run failed: --systemd-cgroup: this host was not booted with systemd" ]
  [ "$("${R[@]}" list -q)" = "" ]
}
