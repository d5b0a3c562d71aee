#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What callers of crun and of older runcs type, beyond runc's own commands and options.
load ../lib/runtime

# args WORD...: the container's command.
args() {
  edit_config . '.process.args = $words' --argjson words "$(printf '%s\n' "$@" | jq -R . | jq -s .)"
}

# fails LINE COMMAND...: it ends with 1, and its last line ends with LINE.
fails() {
  local line=$1
  shift
  run "$@"
  echo "$output"
  [ "$status" -eq 1 ] && [[ ${lines[-1]} == *"$line" ]]
}

@test "--cgroup-manager disabled: no cgroup is made or entered, and what needs one says so" {
  own=$(grep -v 1:name= /proc/self/cgroup)
  edit_config . '.linux.cgroupsPath = "/ocirun-compat"'
  args sleep 1000
  "${R[@]}" --cgroup-manager disabled run -d box >/dev/null 2>&1 3>&-
  pid=$("${R[@]}" state box | jq .pid)
  [ "$(grep -v 1:name= "/proc/$pid/cgroup")" = "$own" ]
  [ -z "$(find /sys/fs/cgroup -name 'ocirun-compat' -o -name box)" ]
  "${R[@]}" exec -d --pid-file "$FILE_DIR/pid" box sleep 999
  [ "$(grep -v 1:name= "/proc/$(cat "$FILE_DIR/pid")/cgroup")" = "$own" ]
  fails "pause: the container has no cgroup" "${R[@]}" pause box
  fails "container box has no cgroup, so there are no statistics of it" "${R[@]}" events --stats box
  fails "container box has no cgroup, so there are no statistics of it" "${R[@]}" events box
  fails "processes: the container has no cgroup" "${R[@]}" ps box
  fails "linux.resources.memory.limit: the container has no cgroup" "${R[@]}" update --memory 64M box
  fails "the container has no cgroup, so not all of its processes are known" "${R[@]}" kill --all box TERM
  "${R[@]}" kill --all box KILL
  stopped() { [ "$("${R[@]}" state box | jq -r .status)" = stopped ]; }
  eventually stopped
  "${R[@]}" delete box
}

@test "--cgroup-manager disabled: kill and delete reach a container in the host's pid namespace" {
  edit_config . '.linux.namespaces |= map(select(.type != "pid"))'
  args sleep 1000
  "${R[@]}" --cgroup-manager disabled run -d box >/dev/null 2>&1 3>&-
  "${R[@]}" kill box KILL
  stopped() { [ "$("${R[@]}" state box | jq -r .status)" = stopped ]; }
  eventually stopped
  "${R[@]}" delete box
}

@test "--cgroup-manager disabled: a limit is refused by its name, and nothing is left" {
  for limit in 'memory.limit {memory: {limit: 67108864}}' 'cpu.cpus {cpu: {cpus: "0"}}' 'pids.limit {pids: {limit: 5}}' \
    'unified {unified: {"pids.max": "5"}}' 'devices {devices: [{allow: false, type: "c", major: 1, minor: 3, access: "rwm"}]}'; do
    edit_config . ".linux.resources = ${limit#* }"
    fails "linux.resources.${limit%% *}: the container has no cgroup, since --cgroup-manager is disabled" \
      "${R[@]}" --cgroup-manager disabled run box
  done
  [ ! -e "$FILE_DIR/state/box" ]
  # Whom engines let use a device is in a rule, too.
  edit_config . '.linux.resources = {devices: [{allow: false, access: "rwm"}, {allow: true, type: "c", major: 1, minor: 3, access: "rwm"}]}'
  args true
  "${R[@]}" --cgroup-manager disabled run box
}

@test "--cgroup-manager and --systemd-cgroup are one choice" {
  args true
  "${R[@]}" --cgroup-manager cgroupfs run box
  for manager in cgroupfs disabled; do
    fails "--systemd-cgroup contradicts --cgroup-manager $manager" "${R[@]}" --systemd-cgroup --cgroup-manager $manager run box
  done
  fails 'invalid argument "none" for "--cgroup-manager" flag: must be one of cgroupfs, systemd, disabled' \
    "${R[@]}" --cgroup-manager none run box
  [ ! -d /run/systemd/system ] || skip "systemd runs here"
  fails "--systemd-cgroup: this host was not booted with systemd" "${R[@]}" --cgroup-manager systemd run box
  fails "--systemd-cgroup: this host was not booted with systemd" "${R[@]}" --systemd-cgroup --cgroup-manager systemd run box
}
