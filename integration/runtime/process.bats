#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What config.json says of the process: scheduling, labels, personality, memory, and what the caller
# hands through to it.
load ../lib/runtime

# known_calls: what a shell and a static program need, as a JSON array; no mkdir.
known_calls() {
  echo '["read","write","open","openat","close","stat","fstat","lstat","newfstatat","poll","mmap","mprotect","munmap","brk",
    "rt_sigaction","rt_sigprocmask","rt_sigreturn","ioctl","access","faccessat","pipe","pipe2","dup","dup2","dup3","getpid","getppid",
    "fork","vfork","clone","clone3","execve","exit","exit_group","wait4","uname","fcntl","getcwd","chdir","readlink","getuid","getgid",
    "geteuid","getegid","setpgid","getpgrp","setsid","arch_prctl","set_tid_address","set_robust_list","rseq","prlimit64","getrandom",
    "gettid","futex","umask","sendto","sendmsg","recvmsg","lseek","capset","capget","prctl","setgroups","setresuid","setresgid","fchown","seccomp"]' | jq -c .
}

@test "scheduler, I/O priority, personality and memory policy" {
  edit_config . '.process.scheduler = {policy: "SCHED_BATCH", nice: 7}
    | .process.ioPriority = {class: "IOPRIO_CLASS_BE", priority: 6}
    | .linux.personality = {domain: "LINUX32"}
    | .linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_STATIC_NODES"]}'
  inside 'cut -d" " -f19,41 /proc/self/stat; ionice -p $$; uname -m; head -1 /proc/self/numa_maps | cut -d" " -f2'
  [ "$status" -eq 0 ]
  [ "${lines[0]}" = "7 3" ]
  [ "${lines[1]}" = "best-effort: prio 6" ]
  [ "${lines[2]}" = i686 ]
  [ "${lines[3]}" = "bind=static:0" ]
}

@test "a policy that the kernel refuses is told with what it needs" {
  edit_config . '.process.scheduler = {policy: "SCHED_DEADLINE", runtime: 20000000, deadline: 10000000, period: 10000000}'
  inside true
  [ "$status" -eq 1 ]
  [[ $output == *"(SCHED_DEADLINE needs 1024 <= runtime <= deadline <= period): invalid argument"* ]]
  [ -e /sys/fs/cgroup/cpu/cpu.rt_runtime_us ] || skip "no cgroup shares out real time here"
  edit_config . '.process.scheduler = {policy: "SCHED_FIFO", priority: 10}'
  inside true
  [ "$status" -eq 1 ]
  [[ $output == *"linux.resources.cpu.realtimeRuntime): operation not permitted"* ]]
  edit_config . '.linux.resources.cpu.realtimeRuntime = 200000'
  inside 'cut -d" " -f40,41 /proc/self/stat'
  [ "$output" = "10 1" ]
}

@test "the caller's CPUs are not the container's; exec has CPUs of its own" {
  all=$(grep Cpus_allowed_list /proc/self/status | cut -f2)
  edit_config . '.process.args = ["sleep", "1000"] | .process.execCPUAffinity = {initial: "0", final: "0"}'
  taskset -c 0 "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
  [ "$(grep Cpus_allowed_list "/proc/$("${R[@]}" state box | jq .pid)/status" | cut -f2)" = "$all" ]
  run "${R[@]}" exec box grep Cpus_allowed_list /proc/self/status
  [ "$output" = $'Cpus_allowed_list:\t0' ]
}

@test "what a process.json does not say is as the container's own process has it" {
  edit_config . '.process.args = ["sleep", "1000"] | del(.process.rlimits)
    | .process.oomScoreAdj = 300 | .process.scheduler = {policy: "SCHED_BATCH", nice: 7} | .process.ioPriority = {class: "IOPRIO_CLASS_BE", priority: 6}'
  "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
  all='grep -E "^(CapPrm|CapEff|CapBnd)" /proc/self/status; cat /proc/self/oom_score_adj; cut -d" " -f19,41 /proc/self/stat; ionice -p $$'
  wanted=$("${R[@]}" exec box sh -c "$all")
  [[ $wanted == *$'\n300\n7 3\nbest-effort: prio 6' ]]
  [[ $wanted != *CapEff:*fff* ]]
  jq -n --arg all "$all" '{args: ["sh", "-c", $all], cwd: "/", env: ["PATH=/bin"]}' >process.json
  [ "$("${R[@]}" exec -p process.json box)" = "$wanted" ]
  jq '.capabilities = {} | .oomScoreAdj = 200' process.json >other.json
  run "${R[@]}" exec -p other.json box
  [[ $output == *CapBnd:*0000000000000000*$'\n200\n'* ]]
}

@test "a process.json may come through a pipe, whatever the process may do" {
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
  # The first one that may look at others, for which the runtime executes itself again.
  jq '.process | .args = ["echo", "first"] | .capabilities.bounding += ["CAP_SYS_PTRACE"]' config.json >process.json
  [ "$(jq .mayTrace "$FILE_DIR/state/box/state.json")" = false ]
  [ "$("${R[@]}" exec -p <(cat process.json) box)" = first ]
  [ "$(jq .mayTrace "$FILE_DIR/state/box/state.json")" = true ]
  [ "$("${R[@]}" exec -p /dev/stdin box < <(sed s/first/second/ process.json))" = second ]
}

@test "a working folder that only the process's user may enter" {
  # Its group is not mapped, so that the container's root has no right to override its mode.
  install -d -o 101000 -g 0 -m 0700 "$FILE_DIR/own"
  printf '#!/bin/sh\npwd\n' >"$FILE_DIR/own/tell" && chmod 0755 "$FILE_DIR/own/tell" "$FILE_DIR"
  cp -a rootfs "$FILE_DIR/mapped" && chown -R 100000:100000 "$FILE_DIR/mapped"
  edit_config . '.root.path = $dir + "/mapped" | .linux.namespaces += [{type: "user"}]
    | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings
    | .mounts += [{destination: "/own", type: "bind", source: ($dir + "/own"), options: ["bind"]}]
    | .process.user = {uid: 1000, gid: 1000} | .process.cwd = "/own" | .process.args = ["./tell"]' --arg dir "$FILE_DIR"
  run "${R[@]}" run box
  [ "$output" = /own ]
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
  [ "$("${R[@]}" exec box pwd)" = /own ]
  run "${R[@]}" exec --user 7 box pwd
  [ "$status" -eq 255 ]
  [[ $output == *'chdir to cwd ("/own") set in config.json failed: permission denied'* ]]
}

@test "signals that the caller ignores are not ignored inside, nor in the way" {
  edit_config . '.process.args = ["sh", "-c", "grep SigIgn /proc/self/status; exit 7"]'
  ignoring() { (trap "" PIPE INT CHLD URG && exec timeout -k 1 20 "$@"); }
  run -7 ignoring "${R[@]}" run box
  [ "$output" = $'SigIgn:\t0000000000000000' ]
  edit_config . '.process.args = ["sleep", "1000"]'
  ignoring "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
  grep -q $'SigIgn:\t0000000000000000' "/proc/$("${R[@]}" state box | jq .pid)/status"
  run -7 ignoring "${R[@]}" exec box sh -c 'grep SigIgn /proc/self/status; exit 7'
  [ "$output" = $'SigIgn:\t0000000000000000' ]
}

@test "a label without its module is refused before anything is made" {
  [ -d /sys/fs/selinux/booleans ] && skip "this host has SELinux"
  edit_config . '.process.selinuxLabel = "system_u:system_r:container_t:s0"'
  inside true
  [ "$status" -eq 1 ]
  [[ $output == *"selinux is disabled or not supported"* ]]
  [ ! -e "$FILE_DIR/state/box" ]
}

@test "what the caller passes on: descriptors, socket activation, and nothing else" {
  inside 'echo $LISTEN_FDS $LISTEN_PID; cat <&3; ls /proc/self/fd | wc -l' 3</dev/null
  edit_config . '.process.args = ["sh", "-c", "echo $LISTEN_FDS $LISTEN_PID; cat <&3; ls /proc/self/fd | xargs"]'
  echo passed >"$FILE_DIR/three"
  # A shell can't know the number of what it becomes: LISTEN_PID is set by one that execs.
  run bash -c 'exec 3<"$1" 7</etc/passwd; LISTEN_FDS=1 LISTEN_PID=$$ exec "${@:2}"' - "$FILE_DIR/three" "${R[@]}" run box
  [ "$status" -eq 0 ]
  [ "${lines[0]}" = "1 1" ]
  [ "${lines[1]}" = passed ]
  [ "${lines[2]}" = "0 1 2 3 4" ]  # 4 is ls's own
  run "${R[@]}" run --preserve-fds 600 box 3>&-
  [ "$status" -eq 1 ]
  [[ $output == *"preserved descriptor"*"bad file descriptor"* ]]
  # Descriptors of the runtime's own come into a hole of the caller's.
  run "${R[@]}" run --preserve-fds 8 box 3</dev/null 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- 10</dev/null
  [ "$status" -eq 1 ]
  [[ $output == *"preserved descriptor 4: bad file descriptor"* ]]
}

@test "a limit of descriptors that leaves none to be started through is told" {
  edit_config . '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 3, hard: 3}]'
  inside true
  [ "$status" -eq 1 ]
  [[ $output == *"RLIMIT_NOFILE: the container can't be started"*"too many open files"* ]]
}

@test "readiness goes to the service manager with the main process" {
  python3 - "$FILE_DIR/host.sock" >"$FILE_DIR/heard" 3>&- <<'END' &
import socket, sys, os, array
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1])
for _ in range(3):
    data, fds, _, _ = socket.recv_fds(s, 4096, 4)
    print(data.decode().strip(), flush=True)
    for fd in fds: os.close(fd)
END
  echo $! >"$FILE_DIR/listener.pid"
  eventually test -S "$FILE_DIR/host.sock"
  # busybox has no sd_notify: socat's work is done by a helper that the host lends.
  cat >"$FILE_DIR/notify.py" <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect(sys.argv[1]); s.send(b"STATUS=x\nREADY=1")
END
  edit_config . '.process.args = ["sh", "-c", "test $NOTIFY_SOCKET = /run/notify/notify.sock && sleep 1000"]'
  NOTIFY_SOCKET=$FILE_DIR/host.sock "${R[@]}" create box </dev/null >/dev/null 2>&1 3>&-
  (eventually test -S "$FILE_DIR/state/box/notify/notify.sock" && python3 "$FILE_DIR/notify.py" "$FILE_DIR/state/box/notify/notify.sock") 3>&- &
  NOTIFY_SOCKET=$FILE_DIR/host.sock "${R[@]}" start box
  pid=$("${R[@]}" state box | jq .pid)
  eventually grep -q BARRIER "$FILE_DIR/heard"
  [ "$(xargs <"$FILE_DIR/heard")" = "READY=1 MAINPID=$pid BARRIER=1" ]
  end_process "$FILE_DIR/listener.pid"
}

@test "a pidfd of the process comes over a socket" {
  python3 - "$FILE_DIR/pidfd.sock" 3>&- <<'END' &
import os, socket, sys, signal
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1] + ".new"); s.listen(); os.rename(sys.argv[1] + ".new", sys.argv[1])
c, _ = s.accept(); _, fds, _, _ = socket.recv_fds(c, 100, 1)
signal.pidfd_send_signal(fds[0], signal.SIGKILL)
END
  eventually test -S "$FILE_DIR/pidfd.sock"
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" create --pidfd-socket "$FILE_DIR/pidfd.sock" box </dev/null >/dev/null 2>&1 3>&-
  stopped() { [ "$("${R[@]}" state box | jq -r .status)" = stopped ]; }
  eventually stopped
}

@test "a container that waits for start ends on a signal; kill 0 asks" {
  "${R[@]}" create box </dev/null >/dev/null 2>&1 3>&-
  "${R[@]}" kill box 0
  "${R[@]}" kill box TERM
  stopped() { [ "$("${R[@]}" state box | jq -r .status)" = stopped ]; }
  eventually stopped
  run "${R[@]}" kill box 0
  [ "$status" -eq 1 ]
  [[ $output == *"container not running"* ]]
}

@test "startContainer hooks are confined as the process, with its environment" {
  edit_config . '.process.env += ["ONE=two"] | .process.noNewPrivileges = false
    | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_KILL_PROCESS"}]}
    | .process.rlimits = [{type: "RLIMIT_CORE", soft: 0, hard: 0}]
    | .hooks.startContainer = [{path: "/bin/sh", args: ["sh", "-c", "test $ONE = two && grep -q ^CapEff:.*20000420 /proc/self/status"]}]'
  inside true
  [ "$status" -eq 0 ]
  edit_config . '.hooks.startContainer[0].args[2] = "mkdir /tmp/x"'
  inside true
  [ "$status" -eq 1 ]
  [[ $output == *"error running startContainer hook #0"*"bad system call"* ]]
}

@test "a call that is newer than the profile is answered as by a kernel without it" {
  edit_config . '.linux.seccomp = {defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 13, architectures: ["SCMP_ARCH_X86_64"],
    syscalls: [{names: $names, action: "SCMP_ACT_ALLOW"}]}' --argjson names "$(known_calls)"
  inside 'mkdir /tmp/x; echo status $?'
  [ "$status" -eq 0 ]
  [[ ${lines[0]} == *"/tmp/x"*"Permission denied"* ]]  # one of those that the profile could have named
  cp "$OCIRUN_TEST_BIN/newest_call" rootfs/newest_call
  inside '/newest_call'
  [ "$output" = "Function not implemented" ]
}
