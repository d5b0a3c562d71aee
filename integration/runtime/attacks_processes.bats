#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Attacks through what a process has: programs, descriptors, capabilities, cgroups, keys, and config.json itself.
load ../lib/attacks

@test "CVE-2019-5736: the runtime's own program can't be written from inside" {
  before=$(sha256sum "$OCIRUN")
  edit_config . '.process.args = ["sleep", "1000"] | .process.noNewPrivileges = false | .process.capabilities |= with_entries(.value += ["CAP_SYS_PTRACE","CAP_DAC_OVERRIDE","CAP_SYS_ADMIN"])'
  printf '#!/proc/self/exe\n' >rootfs/bin/again
  cat >rootfs/bin/overwrite <<'END'
#!/bin/sh
while :; do
  for p in /proc/[0-9]*; do
    case $(readlink $p/exe) in
      *ocirun*|*runc*|*"(deleted)"*)
        attack exe ${p#/proc/} >>/won
        (echo pwned >>$p/exe) 2>/dev/null && echo written >>/won
        ;;
    esac
  done
done
END
  chmod +x rootfs/bin/again rootfs/bin/overwrite
  "${R[@]}" run -d box >/dev/null 2>&1 3>&-
  "${R[@]}" exec -d box overwrite >/dev/null 2>&1 3>&-
  tries 40
  while again; do
    "${R[@]}" exec box again >/dev/null 2>&1 || true
    "${R[@]}" exec box /proc/self/exe --version >/dev/null 2>&1 || true
  done
  [ ! -s rootfs/won ]
  [ "$(sha256sum "$OCIRUN")" = "$before" ]
}

@test "CVE-2016-9962: while an exec enters, the container can't reach the host through it" {
  edit_config . '.process.args = ["sh", "-c", "attack spy $0 >/won", $path] | .process.capabilities |= with_entries(.value += ["CAP_SYS_PTRACE","CAP_DAC_READ_SEARCH"])' --arg path "$FILE_DIR/sentinel"
  "${R[@]}" run -d box >/dev/null 2>&1 3>&-
  exec 7<"$FILE_DIR" # what a careless caller leaves open
  tries 100
  while again; do "${R[@]}" exec box true; done
  exec 7<&-
  head -3 rootfs/won
  [ ! -s rootfs/won ]
}

# While containers and execs begin, in its own pid namespace or one that they share, no process gets
# hold of the runtime's file to read: with a bug of the kernel's that would be enough to write to it.
# look_for_program EDIT: a container, by EDIT of its configuration, and a second one to join it.
look_for_program() {
  edit_config . "$1"
  edit_config . '.process.noNewPrivileges = false'
  printf '#!/proc/self/exe\n' >rootfs/bin/again && chmod +x rootfs/bin/again
  "${R[@]}" run -d --pid-file "$FILE_DIR/pid" box >/dev/null 2>&1 3>&-
  mkdir -p "$FILE_DIR/second" && cp -a rootfs "$FILE_DIR/second/rootfs"
  jq '(.linux.namespaces[] | select(.type == "pid")).path = $path | .linux.cgroupsPath += "-second" | .process.args = ["true"]' \
    --arg path "/proc/$(cat "$FILE_DIR/pid")/ns/pid" config.json >"$FILE_DIR/second/config.json"
}
# enter_often [CONTAINER]: where the attacker is.
enter_often() {
  tries 60
  while again; do
    "${R[@]}" exec box again >/dev/null 2>&1 || true
    "${R[@]}" exec box true
    "${R[@]}" run --bundle "$FILE_DIR/second" second
  done
  [[ $("${R[@]}" ps "${1:-box}") == *"attack program"* ]] # somebody has looked all the time
  sort -u rootfs/won | head
  rm -r "$FILE_DIR/second"
  [ ! -s rootfs/won ]
}
program_file() { stat -L -c "%d %i" "$OCIRUN"; }

@test "CVE-2022-0847, its class: not even a read-only descriptor of the runtime's program" {
  look_for_program ".process.args = [\"sh\", \"-c\", \"attack program $(program_file) >/won\"]"
  # By a script that names it, the container's own processes would be the runtime. A kernel that has
  # no such mounts runs a copy in memory, which is not the host's file.
  if [[ ${OCIRUN_WITHOUT:-} != *open_tree* ]]; then
    run "${R[@]}" exec box again
    [ "$status" -ne 0 ]
    [[ $output == *ermission* && $output != *USAGE* && $output != *Usage* ]]
    run "${R[@]}" exec box /proc/self/exe --version
    [ "$status" -ne 0 ]
    [[ $output == *ermission* ]]
  fi
  enter_often
}

@test "CVE-2022-0847, its class: nor for who may look at every process" {
  look_for_program ".process.args = [\"sh\", \"-c\", \"attack program $(program_file) >/won\"] | .process.capabilities.bounding += [\"CAP_SYS_PTRACE\"]
    | .process.capabilities.permitted += [\"CAP_SYS_PTRACE\"] | .process.capabilities.effective += [\"CAP_SYS_PTRACE\"]"
  enter_often
}

@test "CVE-2022-0847, its class: nor for an exec that got the capability" {
  look_for_program '.process.args = ["sleep", "1000"]'
  "${R[@]}" exec -d --cap CAP_SYS_PTRACE box sh -c "attack program $(program_file) >/won" </dev/null >/dev/null 2>&1 3>&-
  enter_often
}

# join_box EDIT: a third container, in the processes of `box`; what its attacker wins is in rootfs/won.
join_box() {
  mkdir "$FILE_DIR/third" && cp -a rootfs "$FILE_DIR/third/rootfs"
  jq '(.linux.namespaces[] | select(.type == "pid")).path = $path | .linux.cgroupsPath += "-third" | '"$1" \
    --arg path "/proc/$(cat "$FILE_DIR/pid")/ns/pid" --arg attack "attack program $(program_file) >/won" config.json >"$FILE_DIR/third/config.json"
  "${R[@]}" run -d --bundle "$FILE_DIR/third" third </dev/null >/dev/null 2>&1 3>&-
  ln -s "$FILE_DIR/third/rootfs/won" rootfs/won
}
end_third() {
  "${R[@]}" delete -f third
  rm -r "$FILE_DIR/third"
}

@test "CVE-2022-0847, its class: nor for a container with the capability that joins" {
  look_for_program '.process.args = ["sleep", "1000"]'
  join_box '.process.args = ["sh", "-c", $attack] | .process.capabilities |= with_entries(.value += ["CAP_SYS_PTRACE"])'
  enter_often third
  end_third
}

@test "CVE-2022-0847, its class: nor for an exec that got the capability in one that joined" {
  look_for_program '.process.args = ["sleep", "1000"]'
  join_box .
  "${R[@]}" exec -d --cap CAP_SYS_PTRACE third sh -c "attack program $(program_file) >/won" </dev/null >/dev/null 2>&1 3>&-
  enter_often third
  end_third
}

@test "CVE-2022-0847, its class: nor for the first exec with the capability, of one that had begun before" {
  edit_config . '.process.args = ["sleep", "1000"]'
  tries 30
  while again; do
    "${R[@]}" run -d box >/dev/null 2>&1 3>&-
    for i in {1..6}; do "${R[@]}" exec box true 3>&- & done
    # Two of them: the second finds the note of the first, who may still wait.
    "${R[@]}" exec --cap CAP_SYS_PTRACE box timeout 0.1 attack program $(program_file) >>"$OUT/won" 3>&- &
    "${R[@]}" exec --cap CAP_SYS_PTRACE box timeout 0.1 attack program $(program_file) >>"$OUT/won" || [ $? -eq 143 ]
    wait
    "${R[@]}" delete -f box
  done
  sort -u "$OUT/won" | head
  [ ! -s "$OUT/won" ]
}

@test "CVE-2016-9962, in a shared pid namespace: a container that is made shows no way to the host" {
  edit_config . '.process.args = ["sh", "-c", "attack spy $0 >/won", $path]' --arg path "$FILE_DIR/sentinel"
  "${R[@]}" run -d --pid-file "$FILE_DIR/pid" box >/dev/null 2>&1 3>&-
  mkdir -p "$FILE_DIR/second" && cp -a rootfs "$FILE_DIR/second/rootfs"
  for user in '' '| .linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'; do
    jq '(.linux.namespaces[] | select(.type == "pid")).path = $path | .linux.cgroupsPath += "-second" | .process.args = ["true"]
      | .mounts |= map(select(.type != "proc")) '"$user" \
      --arg path "/proc/$(cat "$FILE_DIR/pid")/ns/pid" config.json >"$FILE_DIR/second/config.json"
    tries 40
    while again; do
      "${R[@]}" create --bundle "$FILE_DIR/second" second </dev/null >/dev/null 2>&1 3>&- || { [ -n "$user" ]; break; }
      "${R[@]}" start second
      "${R[@]}" delete -f second
    done
  done
  sort -u rootfs/won | head
  rm -r "$FILE_DIR/second"
  [ ! -s rootfs/won ]
}

# agent MODE: what supervises a container, in $AGENT. It writes what it was told and did.
agent() {
  cat >"$FILE_DIR/agent.py" <<'END'
import array, fcntl, json, os, socket, struct, sys, time
RECV, SEND = 0xC0502100, 0xC0182101
path, mode, log = sys.argv[1], sys.argv[2], open(sys.argv[3], "w", buffering=1)
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen(1)
connection, _ = server.accept()
data, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_LEN(4))
fds = array.array("i", ancillary[0][2])
print("told", json.loads(data)["state"]["id"], len(fds), file=log)
connection.close()
if mode == "dies":
    sys.exit()
request = bytearray(80)
fcntl.ioctl(fds[0], RECV, request)
ident, pid = struct.unpack_from("=QI", request)
print("asked", file=log)
while mode == "waits" and os.path.exists("/proc/%d" % pid):
    time.sleep(0.05)
time.sleep(0.5)
try:
    fcntl.ioctl(fds[0], SEND, struct.pack("=QqiI", ident, 0, -95, 0))
    print("answered", file=log)
except OSError as error:
    print("late", error.errno, file=log)
END
  rm -f "$FILE_DIR/agent.sock"
  python3 "$FILE_DIR/agent.py" "$FILE_DIR/agent.sock" "$1" "$FILE_DIR/agent.log" 3>&- &
  AGENT=$!
  eventually test -S "$FILE_DIR/agent.sock"
}

# supervised CALL...: these ask the agent.
supervised() {
  edit_config . '.process.noNewPrivileges = false
    | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: $path, syscalls: [{names: $ARGS.positional, action: "SCMP_ACT_NOTIFY"}]}' \
    --arg path "$FILE_DIR/agent.sock" --args "$@"
}

@test "a seccomp supervisor that is late, dies, or is not there" {
  supervised mkdir mkdirat
  agent answers
  inside 'mkdir /tmp/x; ls -l /proc/self/fd /proc/1/fd | grep -c seccomp; echo on'
  wait "$AGENT"
  [ "$status" -eq 0 ]
  [[ $output == *"/tmp/x"*"not supported"*0*on ]]
  [ "$(xargs <"$FILE_DIR/agent.log")" = "told box 1 asked answered" ]
  # Nobody answers: the call is one that the kernel does not have.
  agent dies
  inside 'mkdir /tmp/x; echo on'
  wait "$AGENT"
  [ "$status" -eq 0 ]
  [[ $output == *"/tmp/x"*"not implemented"*on ]]
  # Nobody is there: it does not run.
  rm "$FILE_DIR/agent.sock"
  inside 'touch /ran'
  refused
  [[ $output == *listenerPath* ]]
  [ ! -e "$FILE_DIR/state/box" ]
}

@test "a seccomp supervisor of exec itself, and one that answers for a process that is gone" {
  # The filter is in force when the command is executed, and its supervisor may be gone.
  supervised execve execveat
  agent dies
  inside 'touch /ran'
  wait "$AGENT"
  refused
  [[ $output == *"unction not implemented"* ]]
  agent answers
  inside 'touch /ran'
  wait "$AGENT"
  refused
  [[ $output == *"not supported"* ]]
  # It holds `start` for as long as it likes; whoever gives up can delete the container.
  agent waits
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" create box </dev/null >/dev/null 2>&1 3>&-
  "${R[@]}" start box 3>&- &
  local starting=$!
  eventually grep -q asked "$FILE_DIR/agent.log"
  sleep 0.5
  kill "$starting" # which it still is
  ! wait "$starting" || return 1
  "${R[@]}" delete -f box
  wait "$AGENT"
  [ "$(xargs <"$FILE_DIR/agent.log")" = "told box 1 asked late 2" ]
}

@test "CVE-2024-21626: no folder of the host as working folder, and no descriptor of it" {
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box >/dev/null 2>&1 3>&-
  exec 7<"$FILE_DIR" 8</
  for fd in $(seq 3 20); do
    ln -sfn "/proc/self/fd/$fd" rootfs/work
    for cwd in "/proc/self/fd/$fd" /work; do
      run "${R[@]}" exec --cwd "$cwd" box cat sentinel ".$FILE_DIR/sentinel"
      [[ $output != *secret* ]]
    done
  done
  run "${R[@]}" exec box ls /proc/self/fd
  exec 7<&- 8<&-
  [ "$(echo $output)" = "0 1 2 3" ] # 3: ls's own
  "${R[@]}" delete -f box
  exec 7<"$FILE_DIR" 8</
  for fd in $(seq 3 12); do
    edit_config . '.process.cwd = $cwd' --arg cwd "/proc/self/fd/$fd"
    inside "cat sentinel .$FILE_DIR/sentinel"
    [[ $output != *secret* ]]
  done
  exec 7<&- 8<&-
}

@test "CVE-2022-0811: one sysctl does not carry another" {
  for key in kernel.shm_rmid_forced+kernel.core_pattern net/../kernel/core_pattern \
    fs.mqueue.msg_max/../../../kernel/core_pattern kernel/core_pattern kernel.core_pattern \
    net.ipv4.ip_forward=1:kernel.core_pattern; do
    edit_config . '.linux.sysctl = {($key): "|/bin/false"}' --arg key "$key"
    inside 'touch /ran'
    refused
  done
  edit_config . '.linux.sysctl = {"net.ipv4.ip_unprivileged_port_start": "1\n2"}'
  inside 'touch /ran'
  refused
  # The host's namespace, by its path or by none.
  edit_config . '.linux.sysctl = {"net.ipv4.ip_unprivileged_port_start": "7"} | (.linux.namespaces[] | select(.type == "network")).path = "/proc/1/ns/net"'
  inside 'touch /ran'
  refused
  edit_config . '.linux.namespaces |= map(select(.type != "network"))'
  inside 'touch /ran'
  refused
}

@test "CVE-2022-29162: no capability is inheritable or ambient unless config.json says so" {
  sets='grep -E "^Cap(I|A)" /proc/self/status | cut -f2 | sort -u'
  for uid in 0 1000; do
    edit_config . '.process.user = {uid: $uid, gid: $uid} | .process.args = ["sleep", "1000"]' --argjson uid $uid
    "${R[@]}" run -d box >/dev/null 2>&1 3>&-
    for extra in "" "--cap CAP_NET_ADMIN"; do
      # shellcheck disable=SC2086
      run "${R[@]}" exec $extra box sh -c "$sets"
      [ "$output" = 0000000000000000 ] || [ "$extra" != "" ]
      # What `exec --cap` gives an ordinary user must be ambient, and it is that one alone.
      [[ ${lines[0]} == 0000000000000000 || ${lines[0]} == 0000000000001000 ]]
    done
    run "${R[@]}" exec box sh -c "$sets"
    [ "$output" = 0000000000000000 ]
    "${R[@]}" delete -f box
    inside "$sets"
    [ "$output" = 0000000000000000 ]
  done
}

@test "CVE-2023-25809: read-only cgroups are, with a cgroup namespace and without" {
  cat >rootfs/bin/walk <<'END'
#!/bin/sh
find /sys/fs/cgroup -type d 2>/dev/null | while read -r d; do mkdir "$d/made" 2>/dev/null && echo "made $d/made"; done
for f in $(find /sys/fs/cgroup -name cgroup.procs -o -name tasks -o -name release_agent -o -name notify_on_release 2>/dev/null); do
  (echo 0 >>"$f") 2>/dev/null && echo "wrote $f"
done
echo walked
END
  chmod +x rootfs/bin/walk
  [[ $(jq -c '.mounts[] | select(.type == "cgroup") | .options' config.json) == *'"ro"'* ]]
  for namespace in true false; do
    for readonly in true false; do
      edit_config . '.linux.namespaces |= (map(select(.type != "cgroup")) + if $ns then [{type: "cgroup"}] else [] end) | .root.readonly = $ro' --argjson ns $namespace --argjson ro $readonly
      inside walk
      [ "$output" = walked ]
    done
  done
}

@test "CVE-2022-0492: no release_agent to write, no cgroup hierarchy to mount" {
  inside 'mkdir -p /tmp/c; for c in net_cls net_prio perf_event memory; do mount -t cgroup -o $c none /tmp/c 2>/dev/null && echo mounted $c; done; mount -t cgroup2 none /tmp/c 2>/dev/null && echo mounted 2; find / -name release_agent 2>/dev/null | while read -r f; do (echo /x >>"$f") 2>/dev/null && echo wrote "$f"; done; echo done'
  [ "$output" = "done" ]
}

@test "GHSA-g54h-m393-cpwq: only the devices of the configuration can be opened" {
  disk=$(lsblk -dnro MAJ:MIN | head -1)
  edit_config . '.process.capabilities |= with_entries(.value += ["CAP_MKNOD"])'
  inside "cd /tmp; for d in 'c 1 1' 'c 1 11' 'c 10 200' 'c 10 229' 'c 4 1' 'b ${disk/:/ }'; do mknod d \$d && { (exec <d) 2>/dev/null && echo \"opened \$d\"; rm d; }; done; echo done"
  [ "$output" = "done" ]
}

@test "GHSA-5g49-rx9x-qfc6: cgroup names do not climb, and no other's cgroup is taken" {
  for path in /../../climbed a/../../../climbed ../climbed; do
    edit_config . '.linux.cgroupsPath = $path' --arg path "$path"
    inside 'touch /ran'
    refused
  done
  [ -z "$(find /sys/fs/cgroup -maxdepth 2 -name climbed)" ]
  cp "$FILE_DIR/saved.json" config.json
  for key in ../../pids.max $'memory.max\n' a/b; do
    edit_config . '.linux.resources.unified = {($key): "max"}' --arg key "$key"
    inside 'touch /ran'
    refused
  done
  cp "$FILE_DIR/saved.json" config.json
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box >/dev/null 2>&1 3>&-
  for path in ../.. /../.. pids:/../x pids:../..; do
    run "${R[@]}" exec --cgroup "$path" box true
    [ "$status" -ne 0 ]
  done
  run "${R[@]}" exec --cgroup / box true
  [ "$status" -eq 0 ]
}

@test "CVE-2021-43784: sizes that do not fit a message" {
  edit_config . '.process.args = ["sh", "-c", "env | wc -c"] | .process.env += [range(12) | "V\(.)=" + ("x" * 100000)]'
  run "${R[@]}" run box
  [ "$status" -eq 0 ]
  [ "$output" -gt 1200000 ]
  cp "$FILE_DIR/saved.json" config.json
  edit_config . '(.linux.namespaces[] | select(.type == "network")).path = "/" + ("n" * 70000)'
  inside 'touch /ran'
  refused
  cp "$FILE_DIR/saved.json" config.json
  chmod 755 "$FILE_DIR" && chown -R 2000:2000 rootfs
  edit_config . '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [range(300) | {containerID: ., hostID: (2000 + 2 * .), size: 1}] | .linux.gidMappings = .linux.uidMappings | .mounts |= map(.options |= ((. // []) | map(select(startswith("gid=") | not))))'
  inside 'wc -l </proc/self/uid_map'
  [ "$output" = 300 ]
  edit_config . '.linux.uidMappings = [range(341) | {containerID: ., hostID: (2000 + 2 * .), size: 1}]'
  inside 'touch /ran'
  refused
}

@test "CVE-2025-23266: hooks get nothing of the image's environment" {
  printf '#!/bin/sh\n{ env; pwd; } >%s/hook.$1\n' "$FILE_DIR" >"$FILE_DIR/hook"
  chmod +x "$FILE_DIR/hook"
  edit_config . '.process.env += ["LD_PRELOAD=/proc/self/cwd/evil.so", "CANARY=1"] | .hooks = (["prestart", "createRuntime", "createContainer", "poststart", "poststop"] | map({key: ., value: [{path: ($dir + "/hook"), args: ["hook", .]}]}) | from_entries)' --arg dir "$FILE_DIR"
  inside 'env'
  [[ $output == *CANARY* ]]
  for kind in prestart createRuntime createContainer poststart poststop; do
    [ -s "$FILE_DIR/hook.$kind" ]
    run grep -E 'LD_PRELOAD|CANARY|^PATH=.*image|BATS' "$FILE_DIR/hook.$kind"
    [ "$status" -eq 1 ]
  done
}

@test "CVE-2017-5226: no key is pushed into the terminal of the caller" {
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box >/dev/null 2>&1 3>&-
  for how in "exec box attack tty" "run other"; do
    edit_config . '.process.args = ["attack", "tty"] | .linux.cgroupsPath = "/ocirun-attacks-other"'
    run timeout 60 python3 - "${R[@]}" $how <<'END'
import os, pty, select, sys
pid, fd = pty.fork()
if pid == 0:
    if os.fork() == 0:
        os.execvp(sys.argv[1], sys.argv[1:])
    os.wait()
    # What was pushed is what the caller's shell would read next.
    if select.select([0], [], [], 0.5)[0]:
        print('pushed', os.read(0, 100))
    os._exit(0)
while True:
    try:
        data = os.read(fd, 4096)
    except OSError:
        break
    if not data:
        break
    sys.stdout.write(data.decode())
END
    [ -z "$output" ]
  done
}

@test "CVE-2016-0728: the caller's keys stay out of the container, and out of an exec" {
  edit_config . '.process.args = ["sh", "-c", "{ attack key ocirun-canary; echo none; } >/found; sleep 1000"]'
  # In a session keyring of the test's own, which ends with it.
  run python3 - "$FILE_DIR" "${R[@]}" <<'END'
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
KEYCTL, ADD_KEY, JOIN, SESSION = 250, 248, 1, -3
libc.syscall(KEYCTL, JOIN, b'ocirun-test')
assert libc.syscall(ADD_KEY, b'user', b'ocirun-canary', b'x', 1, SESSION) > 0
def run(*words):
    return subprocess.run(list(words), stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
runtime = sys.argv[2:]
print('host:' + run(sys.argv[1] + '/bundle/rootfs/bin/attack', 'key', 'ocirun-canary'))
subprocess.run(runtime + ['run', '-d', 'box'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print('exec:' + run(*runtime, 'exec', 'box', 'sh', '-c', 'attack key ocirun-canary; echo none'))
END
  [[ $output == *"host:key found"* && $output == *"exec:none"* ]]
  eventually grep -q none rootfs/found
  [ "$(cat rootfs/found)" = none ]
}

@test "a system call of another architecture does not pass the filter" {
  edit_config . '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"], syscalls: [{names: ["mkdir"], action: "SCMP_ACT_ERRNO"}]} | .process.args = ["attack", "int80"]'
  run "${R[@]}" run box
  [ "$status" -eq 159 ] # SIGSYS
  [[ $output != *getpid* ]]
}

@test "an exec is confined as the container is" {
  edit_config . '.process.args = ["sleep", "1000"] | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir"], action: "SCMP_ACT_ERRNO"}]}'
  for nnp in true false; do
    edit_config . '.process.noNewPrivileges = $nnp' --argjson nnp $nnp
    "${R[@]}" run -d box >/dev/null 2>&1 3>&-
    for shown in 'grep -E "^(Seccomp|NoNewPrivs|Cap|Uid|Gid|Groups)" /proc/%s/status' 'cat /proc/%s/limits' 'cat /proc/%s/cgroup' \
      'for n in mnt pid net ipc uts cgroup user; do readlink /proc/%s/ns/$n; done'; do
      # shellcheck disable=SC2059
      [ "$("${R[@]}" exec box sh -c "$(printf "$shown" 1)")" = "$("${R[@]}" exec box sh -c "$(printf "$shown" self)")" ]
    done
    "${R[@]}" delete -f box
  done
}

@test "a hostile config.json: depth, length, NUL bytes, numbers that are none" {
  hostile() {
    run timeout 60 bash -c 'ulimit -v 1500000; "$@"' - "${R[@]}" run box
    refused
    [ "${#output}" -lt 4000 ]
  }
  python3 -c 'print("[" * 100000 + "]" * 100000)' >config.json && hostile
  python3 -c 'print("{\"a\":" * 100000 + "1" + "}" * 100000)' >config.json && hostile
  python3 -c 'print("{\"ociVersion\": \"" + "x" * 40000000 + "\"}")' >config.json && hostile
  : >config.json && hostile
  head -c 100000 /dev/urandom >config.json && hostile
  for edit in '.process.args = ["sh", "-c\u0000x"]' '.root.path = "rootfs\u0000x"' '.mounts[0].source = "proc\u0000"' \
    '.linux.maskedPaths = ["/proc/kcore\u0000x"]' '.hostname = "a\u0000b"' '.annotations = {"a\u0000b": "c"}' \
    '.linux.devices = [{path: "/dev/a\u0000", type: "c", major: 1, minor: 3}]' '.linux.resources.memory.limit = 1e400' \
    '.linux.resources.pids.limit = 9223372036854775808' '.process.user.uid = 4294967296' '.process.user.uid = -1' \
    '.process.user.uid = 1.5' '.linux.resources = 7' '.mounts = {}' '.process.rlimits = [{type: "RLIMIT_X", hard: 1, soft: 1}]' \
    '.process.execCPUAffinity = {initial: ("0-65535," * 200000 + "99999999999")}' \
    '.linux.resources.devices = [{allow: true, access: "rwmx"}]' '.linux.seccomp = {defaultAction: "SCMP_ACT_FOO"}'; do
    cp "$FILE_DIR/saved.json" config.json
    jq "$edit" config.json | sed 's/1.7976931348623157e+308/1e400/' >c && mv c config.json
    hostile
  done
  # Long, but right.
  cp "$FILE_DIR/saved.json" config.json
  edit_config . '.annotations = ([range(100000) | {key: "k\(.)", value: "v"}] | from_entries) | .process.execCPUAffinity = {initial: ("0-65535," * 200000 + "0")} | .process.args = ["true"]'
  run timeout 60 "${R[@]}" run box
  [ "$status" -eq 0 ]
}

@test "a number that is another process's by now is neither signalled nor waited for" {
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
  pid=$("${R[@]}" state box | jq .pid)
  kill -9 "$pid"
  gone() { [ ! -e "/proc/$pid" ]; }
  eventually gone
  "$ATTACK" number "$pid" || skip "the number went to somebody else"
  RACER=$pid
  run "${R[@]}" kill box KILL
  [ "$status" -eq 1 ]
  [[ $output == *"container not running"* ]] || { echo "$output"; return 1; }
  run "${R[@]}" exec box true
  [ "$status" -eq 255 ]
  "${R[@]}" delete -f box
  grep -q "^State:.S" "/proc/$pid/status"
}

@test "a cgroup that has taken the place of the container's is left alone" {
  local name=ocirun-attacks_processes cgroup
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d --pid-file "$FILE_DIR/pid" box </dev/null >/dev/null 2>&1 3>&-
  sleep 1000 3>&- &
  RACER=$!
  # The container's process is moved away, as only the host's root can.
  cgroups_named "$name" >"$FILE_DIR/cgroups"
  while read -r cgroup; do
    cat "$FILE_DIR/pid" >"${cgroup%/*}/cgroup.procs"
    rmdir "$cgroup" && mkdir "$cgroup"
    [ ! -e "${cgroup%/*}/cpuset.cpus" ] || for file in cpuset.cpus cpuset.mems; do cat "${cgroup%/*}/$file" >"$cgroup/$file"; done
    echo $RACER >"$cgroup/cgroup.procs"
  done <"$FILE_DIR/cgroups"
  [ -s "$FILE_DIR/cgroups" ]
  for command in 'exec box true' 'pause box' 'update --pids-limit 1 box'; do
    run "${R[@]}" $command
    [ "$status" -ne 0 ] || { echo "$command: $output"; return 1; }
    [[ $output == *"no such file or directory"* || $output == *"can't do it"* ]] || { echo "$command: $output"; return 1; }
  done
  run "${R[@]}" ps -f json box
  [[ $output == "[]" || $output == null ]] || { echo "$output"; return 1; }
  "${R[@]}" kill --all box KILL
  gone() { [ ! -e "/proc/$(cat "$FILE_DIR/pid")" ]; }
  eventually gone
  run "${R[@]}" delete -f box
  [ "$status" -eq 0 ]
  kill -0 $RACER
  while read -r cgroup; do grep -qx $RACER "$cgroup/cgroup.procs"; done <"$FILE_DIR/cgroups"
  kill $RACER && wait $RACER || RACER=
}

# It says what it would say to systemd's bus, which is not there.
@test "a helper that lies where the caller stands is not run" {
  [ -x "$(dirname "$OCIRUN")/ocirun-systemd" ] || skip "this runtime has no helper"
  edit_config . '.linux.cgroupsPath = ""'
  printf '#!/bin/sh\necho ran >"%s/ran"\n' "$OUT" >ocirun-systemd && chmod +x ocirun-systemd
  for name in "$OCIRUN" ocirun; do
    run env PATH="$(dirname "$OCIRUN"):$PATH" unshare -m --propagation private sh -c \
      'mount -t tmpfs none /run && mkdir -p /run/systemd/system && exec "$@"' sh "$name" --root "$FILE_DIR/state" --systemd-cgroup run box
    [ "$status" -eq 1 ]
    [[ $output == *"connecting to the system bus"* ]] || { echo "$output"; return 1; }
  done
  rm ocirun-systemd
  [ ! -e "$OUT/ran" ]
}
