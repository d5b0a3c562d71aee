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
  fails "cannot set memory limit: container could not join or create cgroup (linux.resources.memory.limit)" "${R[@]}" update --memory 64M box
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
  fails "--cgroup-manager disabled: criu makes the cgroups of its image" "${R[@]}" --cgroup-manager disabled restore box
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

# hear SOCKET OPTION...: the first datagram that an error of the runtime sends to SOCKET, which is one
# of the host's, in a mount namespace of its own.
hear() {
  local socket=$1
  shift
  unshare -m --propagation private python3 - "$socket" "${R[@]}" "$@" start no <<'END_PYTHON'
import os, socket, subprocess, sys
path, command = sys.argv[1], sys.argv[2:]
folder = os.path.dirname(path)
mount = folder
while not os.path.isdir(mount):
    mount = os.path.dirname(mount)
subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', mount], check=True)
os.makedirs(folder, exist_ok=True)
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind(path)
log.settimeout(10)
subprocess.run(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
sys.stdout.write(repr(log.recv(65536)) + '\n')
END_PYTHON
}

@test "--log file:, syslog: and journald:, as crun's" {
  run -1 "${R[@]}" --log "file:$FILE_DIR/named.log" start no
  grep -q 'level=error msg="container does not exist"' "$FILE_DIR/named.log"
  run hear /dev/log --log syslog:web
  [[ $output =~ ^"b'<11>"[A-Z][a-z]+\ [\ 1-3][0-9]\ [0-9:]{8}" web: container does not exist'"$ ]]
  run hear /run/systemd/journal/socket --log journald:web
  [ "$output" = "b'PRIORITY=3\\nSYSLOG_IDENTIFIER=web\\nMESSAGE\\n\\x18\\x00\\x00\\x00\\x00\\x00\\x00\\x00container does not exist\\n'" ]
  # With JSON the line is the message.
  run hear /dev/log --log syslog:web --log-format json
  [[ $output == *' web: {"level":"error","msg":"container does not exist","time":"'*'"}'"'" ]]
}

@test "--log: a host's log that is not there is an error, and a path with a colon is a path" {
  for target in "syslog:web /dev/log" "journald:web /run/systemd/journal/socket"; do
    [ ! -e "${target#* }" ] || continue
    fails "--log ${target% *}: connect ${target#* }: no such file or directory" "${R[@]}" --log "${target% *}" list
  done
  fails ": the name must be one line" "${R[@]}" --log $'journald:web\nPRIORITY=0' list
  for target in syslog: journald: file:; do
    fails "--log $target: nothing behind the colon" "${R[@]}" --log $target list
  done
  cd "$FILE_DIR"
  run -1 "${R[@]}" --log other:log start no
  grep -q 'container does not exist' "$FILE_DIR/other:log"
}

@test "--log-level warn is warning" {
  edit_config . '.process.capabilities.bounding += ["CAP_UNHEARD_OF"]'
  args true
  for level in warn warning error; do
    "${R[@]}" --log-level $level --log "$FILE_DIR/$level.log" run box
  done
  grep -q CAP_UNHEARD_OF "$FILE_DIR/warn.log"
  cmp <(sed 's/time="[^"]*"//' "$FILE_DIR/warn.log") <(sed 's/time="[^"]*"//' "$FILE_DIR/warning.log")
  [ ! -s "$FILE_DIR/error.log" ]
}

@test "--config: another file than config.json, and it is what later commands know" {
  args sleep 1000
  jq '.hostname = "other" | .annotations = {from: "elsewhere"}
    | .hooks.poststop = [{path: "/bin/sh", args: ["sh", "-c", "cat >\($out)"]}]' --arg out "$FILE_DIR/poststop.json" \
    config.json >"$FILE_DIR/other.json"
  echo '{}' >config.json
  mkdir -p "$FILE_DIR/elsewhere" && cp "$FILE_DIR/other.json" "$FILE_DIR/elsewhere/mine.json"
  for file in "$FILE_DIR/other.json" mine.json ../other.json; do
    (cd "$FILE_DIR/elsewhere" && "${R[@]}" create -b "$FILE_DIR/bundle" --config "$file" box >/dev/null 2>&1 3>&-)
    "${R[@]}" start box
    echo '{}' >"$FILE_DIR/elsewhere/gone.json"
    [ "$("${R[@]}" exec box hostname)" = other ]
    [ "$("${R[@]}" state box | jq -r .annotations.from)" = elsewhere ]
    [ "$("${R[@]}" state box | jq -r .rootfs)" = "$FILE_DIR/bundle/rootfs" ]
    "${R[@]}" delete -f box
    [ "$(jq -r .bundle "$FILE_DIR/poststop.json")" = "$FILE_DIR/bundle" ]
    rm "$FILE_DIR/poststop.json"
  done
  jq '.process.args = ["hostname"]' "$FILE_DIR/other.json" >"$FILE_DIR/elsewhere/mine.json"
  run "${R[@]}" run -f ../elsewhere/mine.json box
  [ "$output" = other ]
  fails "--config: open nowhere.json: no such file or directory" "${R[@]}" run --config nowhere.json box
}

# start_many ID...: running containers that teardown deletes.
start_many() {
  args sleep 1000
  MANY=("$@")
  for id in "$@"; do "${R[@]}" run -d "$id" >/dev/null 2>&1 3>&-; done
}
teardown() {
  for id in "${MANY[@]}"; do "${R[@]}" delete -f "$id"; done
  runtime_teardown
}

@test "kill --regex and delete --regex: every match, and one that fails does not stop the others" {
  start_many web-1 web-2 web-30 box
  "${R[@]}" kill --regex '^web-[0-9]$' KILL
  stopped() { [ "$("${R[@]}" list -f json | jq -r '.[] | select(.status == "stopped") | .id' | xargs)" = "$*" ]; }
  eventually stopped web-1 web-2
  run "${R[@]}" delete --regex 'web|box'
  [ "$status" -eq 1 ]
  [ "${lines[0]}" = "ocirun: box: cannot delete container box that is not stopped: running" ]
  [ "${lines[1]}" = "ocirun: web-30: cannot delete container web-30 that is not stopped: running" ]
  [ "${#lines[@]}" -eq 2 ]
  [ "$("${R[@]}" list -q | xargs)" = "box web-30" ]
  "${R[@]}" kill web-30 KILL
  eventually stopped web-30
  run "${R[@]}" kill -r web USR1
  [ "$status" -eq 1 ] && [ "$output" = "ocirun: web-30: container not running" ]
  run "${R[@]}" delete --force --regex ''
  [ "$status" -eq 1 ] && [ "$output" = "ocirun: --regex: must not be empty" ]
  "${R[@]}" delete --force --regex '(eb|bo)'
  [ "$("${R[@]}" list -q)" = "" ]
}

@test "--regex that matches nothing is an error, but not with --force, and so is one that is none" {
  start_many box
  for command in "kill -r" "delete -r"; do
    # shellcheck disable=SC2086
    fails '--regex "^ox": no container has such an id' "${R[@]}" $command '^ox'
    # shellcheck disable=SC2086
    fails '--regex "(": Unmatched ( or \(' "${R[@]}" $command '('
  done
  "${R[@]}" delete -f -r '^ox'
  fails '--regex "(": Unmatched ( or \(' "${R[@]}" delete -f -r '('
  [ "$("${R[@]}" list -q)" = box ]
}

@test "list: the owner by his name, and by his number where the host has none for him" {
  start_many box
  [ "$("${R[@]}" list | awk '$1 == "box" {print $NF}')" = root ]
  echo 'toor:x:0:0::/:/bin/sh' >"$FILE_DIR/passwd"
  owner() {
    unshare -m --propagation private sh -c 'mount --bind "$0" /etc/passwd && exec "$@"' "$FILE_DIR/passwd" "${R[@]}" list -f json |
      jq -r '.[0].owner'
  }
  [ "$(owner)" = toor ]
  echo 'web:x:33:33::/:/bin/sh' >"$FILE_DIR/passwd"
  [ "$(owner)" = '#0' ]
}

@test "--root: a relative one counts from the current folder" {
  start_many box
  mkdir -p "$FILE_DIR/deep"
  (cd "$FILE_DIR/deep" && [ "$("$OCIRUN" --root ../deep/./../state list -q)" = box ])
  (cd "$FILE_DIR" && "$OCIRUN" --root state exec box true)
  run "$OCIRUN" --root state list
  [ "$status" -eq 1 ] && [ "$output" = "ocirun: open $FILE_DIR/bundle/state: no such file or directory" ]
}

@test "an environment entry must be NAME=VALUE" {
  args sleep 1000
  edit_config . '.process.env += ["NOEQ"]'
  fails "invalid environment variable: missing '=' in \"NOEQ\"" "${R[@]}" create box
  edit_config . '.process.env[-1] = "=value"'
  fails 'invalid environment variable: name cannot be empty in "=value"' "${R[@]}" run box
  edit_config . '.process.env[-1] = "EMPTY="'
  start_many box
  for entry in NOEQ =value ''; do
    run "${R[@]}" exec -e "$entry" box true
    [ "$status" -eq 255 ] && [[ $output == *"invalid environment variable: "* ]]
  done
  [ "$("${R[@]}" exec -e A=b=c box sh -c 'echo $A${EMPTY-unset}')" = b=c ]
}

@test "spec --rootless has the mounts of runc's, /sys in its place and the cgroups" {
  mkdir -p "$FILE_DIR/rootless"
  "$OCIRUN" spec --rootless -b "$FILE_DIR/rootless"
  [ "$(jq -r '.mounts[].destination' "$FILE_DIR/rootless/config.json" | xargs)" = \
    "/proc /dev /dev/pts /dev/shm /dev/mqueue /sys /sys/fs/cgroup" ]
  jq -e '.mounts[-2] == {destination: "/sys", type: "none", source: "/sys", options: ["rbind", "nosuid", "noexec", "nodev", "ro"]}
    and .mounts[-1] == {destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup",
      options: ["nosuid", "noexec", "nodev", "relatime", "ro"]}' "$FILE_DIR/rootless/config.json"
}

# completes WORDS...: what bash offers for the last one of a command line.
completes() {
  bash -c 'source <("$1" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ocirun; echo "${COMPREPLY[*]}"' - "$@"
}

@test "completion: commands, options, their values and ids" {
  start_many box web
  [ "$(completes "$OCIRUN" re)" = "resume restore" ]
  [ "$(completes "$OCIRUN" --root /x --log-format j)" = json ]
  [ "$(completes "$OCIRUN" --cgroup-manager = "")" = "cgroupfs systemd disabled" ]
  [ "$(completes "$OCIRUN" run --no-p)" = --no-pivot ]
  [ "$(completes "$OCIRUN" completion "")" = "bash zsh fish" ]
  [ "$(completes "${R[@]}" kill "")" = "box web" ]
  [ "$(completes "$OCIRUN" --root = "$FILE_DIR/state" exec --user 0 w)" = web ]
  # What follows the id is the command's.
  [ -z "$(completes "${R[@]}" exec box --c)" ]
}

@test "completion: every command and option is in the script of each shell" {
  options_of() { "$OCIRUN" "$@" --help | sed -n '/OPTIONS:$/,$ s/^ *--\([a-z0-9-]*\).*/\1/p'; }
  commands=$("$OCIRUN" --help | sed -n '/^COMMANDS:/,/^$/ s/^   \([a-z]*\) .*/\1/p')
  [ "$(wc -w <<<"$commands")" -ge 19 ]
  for shell in bash zsh fish; do
    "$OCIRUN" completion $shell >"$FILE_DIR/$shell"
    for command in "" $commands; do
      [ -z "$command" ] || grep -qw -- "$command" "$FILE_DIR/$shell"
      # shellcheck disable=SC2086
      for option in $(options_of $command); do
        grep -qE -- "(--|-l )$option\b" "$FILE_DIR/$shell" || { echo "$shell lacks $command --$option"; return 1; }
      done
    done
    command -v $shell >/dev/null || continue
    $shell -n "$FILE_DIR/$shell"
  done
  fails 'completion: "tcsh" must be one of bash, zsh, fish' "$OCIRUN" completion tcsh
}

@test "info tells what the host offers" {
  "$OCIRUN" info >"$FILE_DIR/info.json"
  told() { jq -r "$1" "$FILE_DIR/info.json"; }
  [ "$(told .kernel.release)" = "$(uname -r)" ]
  [ "$(told .rootless)" = false ]
  [ "$(told '.namespaces | contains(["pid", "mount", "network", "user"])')" = true ]
  [ "$(told '.seccomp.enabled and (.seccomp.actions | contains(["errno"]))')" = true ]
  [ "$(told .userNamespaces.max)" = "$(cat /proc/sys/user/max_user_namespaces)" ]
  [ "$(told '.cgroups.controllers | contains(["memory", "pids"])')" = true ]
  if on_cgroup_v2; then
    [ "$(told .cgroups.mode)" = v2 ]
  else
    [[ $(told .cgroups.mode) == v1 || $(told .cgroups.mode) == hybrid ]]
  fi
  [ "$(PATH=/nowhere "$OCIRUN" info | jq .criu)" = null ]
  run unshare -m --propagation private sh -c 'umount -R /sys/fs/cgroup && exec "$@"' - "$OCIRUN" info
  [ "$(jq -c '.cgroups | [.mode, .controllers]' <<<"$output")" = '["none",[]]' ]
}

# raw_filter: a BPF program as base64 that answers every mkdir with "too many links" (EMLINK).
raw_filter() {
  python3 - <<'END_PYTHON'
import base64, platform, struct
numbers = {'x86_64': (83, 258), 'aarch64': (34,)}[platform.machine()]
program = [(0x20, 0, 0, 0)]
for i, number in enumerate(numbers):
    program.append((0x15, len(numbers) - i, 0, number))
program += [(0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x00050000 | 31)]
print(base64.b64encode(b''.join(struct.pack('HBBI', *i) for i in program)).decode())
END_PYTHON
}

@test "run.oci.seccomp_bpf_data: that program, for an exec, too, in place of linux.seccomp" {
  edit_config . '.annotations = {"run.oci.seccomp_bpf_data": $bpf}
    | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["chdir"], action: "SCMP_ACT_ERRNO"}]}' --arg bpf "$(raw_filter)"
  inside 'mkdir /tmp/new; cd /etc && echo in /etc; grep Seccomp: /proc/self/status'
  [[ $output == *"can't create directory '/tmp/new': Too many links"* ]]
  [[ $output == *"in /etc"*Seccomp:*2 ]]
  start_many box
  run "${R[@]}" exec box mkdir /tmp/new
  [[ $output == *"Too many links" ]]
}

@test "run.oci.seccomp_bpf_data: what is no program is refused before anything is made" {
  raw() {
    edit_config . '.annotations = {"run.oci.seccomp_bpf_data": $bpf}' --rawfile bpf <(printf %s "$1")
    fails "annotations.run.oci.seccomp_bpf_data: $2" "${R[@]}" create box
    [ ! -e "$FILE_DIR/state/box" ]
  }
  raw '' '0 bytes are no program: an instruction has 8'
  raw 'AAAA' '3 bytes are no program: an instruction has 8'
  raw 'AAA' 'is no base64: its length 3 is no multiple of 4'
  raw 'AA*A' "is no base64: character 3 is '*'"
  raw "$(head -c $((4097 * 8)) /dev/zero | base64 -w0)" '4097 instructions, the kernel takes 4096'
  # Instructions that the kernel does not take are told when they are loaded.
  edit_config . '.annotations[] = "//////////8="'
  fails "seccomp: invalid argument" "${R[@]}" run box
}

@test "run.oci.pidfd_receiver gets a pidfd of init" {
  python3 - "$FILE_DIR/receiver.sock" 3>&- <<'END_PYTHON' &
import os, signal, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1] + ".new"); s.listen(); os.rename(sys.argv[1] + ".new", sys.argv[1])
_, fds, _, _ = socket.recv_fds(s.accept()[0], 64, 1)
signal.pidfd_send_signal(fds[0], signal.SIGKILL)
END_PYTHON
  eventually test -S "$FILE_DIR/receiver.sock"
  edit_config . '.annotations = {"run.oci.pidfd_receiver": $path}' --arg path "$FILE_DIR/receiver.sock"
  "${R[@]}" create box </dev/null >/dev/null 2>&1 3>&-
  stopped() { [ "$("${R[@]}" state box | jq -r .status)" = stopped ]; }
  eventually stopped
  wait
  "${R[@]}" delete box
  fails "annotations.run.oci.pidfd_receiver: connect $FILE_DIR/receiver.sock: connection refused" "${R[@]}" create box
  [ ! -e "$FILE_DIR/state/box" ]
}

@test "features names the annotations that a stranger must not set" {
  "$OCIRUN" features | jq -e '.potentiallyUnsafeConfigAnnotations | contains(["run.oci.seccomp_bpf_data", "run.oci.pidfd_receiver"])'
}
