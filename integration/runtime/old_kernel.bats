#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Kernels that lack a system call, with ENOSYS, and seccomp profiles that are older than it, as
# around this runtime in another container, with EPERM: each has another way.
load ../lib/runtime

setup_file() {
  runtime_setup_file
  chmod 755 "$FILE_DIR"
  mkdir -p "$FILE_DIR/source/sub"
  echo owned >"$FILE_DIR/source/file"
}

teardown_file() {
  find /sys/fs/cgroup -depth -name ocirun-old -exec rmdir {} +
  rm -rf "$FILE_DIR"
}

setup() {
  runtime_setup
  edit_config . '.process.args = ["sleep", "1000"] | .linux.cgroupsPath = "/ocirun-old/box"
    | .mounts += [{destination: "/m/made", type: "bind", source: $s, options: ["rbind", "ro", "nosuid"]}]' --arg s "$FILE_DIR/source"
}

user_namespace() {
  edit_config . '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
    | .linux.gidMappings = .linux.uidMappings'
}

state_is() { [ "$("${R[@]}" state box | jq -r .status)" = "$1" ]; }

# What a process in the container sees, which must not depend on the kernel: who and where it is, what
# is hidden from it, what it has open, and its place in each namespace and cgroup.
LOOK='id -u; cat /m/made/file; touch /m/made/x 2>&1; cat /proc/keys | wc -c; touch /proc/sys/kernel/x 2>&1
  ls /proc/self/fd | xargs; grep -c . /proc/self/mountinfo; cut -d: -f2- /proc/self/cgroup; hostname
  for n in mnt net pid ipc uts cgroup; do [ "$(readlink /proc/1/ns/$n)" = "$(readlink /proc/self/ns/$n)" ] && echo same $n; done'

# lives: a whole life by a runtime that is denied $DENIED.
lives() {
  local old=("$OCIRUN_TEST_BIN/deny" "${DENIED[@]}" -- "${R[@]}") seen
  "${R[@]}" run -d box >/dev/null 2>&1 3>&-
  seen=$("${R[@]}" exec box sh -c "$LOOK")
  "${R[@]}" delete -f box
  "${old[@]}" run -d box >/dev/null 2>"$FILE_DIR/error" 3>&- || { cat "$FILE_DIR/error"; return 1; }
  [ "$("${R[@]}" exec box sh -c "$LOOK")" = "$seen" ]
  run "${old[@]}" exec box sh -c "$LOOK"
  [ "$status" -eq 0 ] && [ "$output" = "$seen" ] || { diff <(echo "$output") <(echo "$seen"); return 1; }
  "${old[@]}" pause box && state_is paused
  "${old[@]}" resume box && state_is running
  run "${old[@]}" delete box
  [ "$status" -eq 1 ] && [[ $output == *"is not stopped"* ]]
  "${old[@]}" kill box KILL
  eventually state_is stopped
  run "${old[@]}" kill box TERM
  [ "$status" -eq 1 ] && [[ $output == *"container not running"* ]]
  "${old[@]}" delete box
  "${old[@]}" run -d box >/dev/null 2>&1 3>&-
  "${old[@]}" delete -f box
  [ -z "$(find /sys/fs/cgroup -path '*/ocirun-old/box')" ]
}

# lacks CALL...: lives without them, whichever way they are refused; ENOSYS is 38, EPERM 1.
lacks() {
  local errno
  for errno in 38 1; do
    DENIED=("${@/%/=$errno}")
    lives || { echo "without ${DENIED[*]}"; return 1; }
  done
}

@test "without clone3" {
  lacks clone3
  user_namespace
  lacks clone3
}

@test "without close_range nothing of the caller's stays open" {
  lacks close_range
  edit_config . '.process.args = ["sh", "-c", "ls /proc/self/fd | xargs"]'
  run "$OCIRUN_TEST_BIN/deny" close_range=38 -- "${R[@]}" run box 7</etc/passwd 900</etc/passwd
  [ "$status" -eq 0 ] && [ "$output" = "0 1 2 3" ]
  run "$OCIRUN_TEST_BIN/deny" close_range=38 -- "${R[@]}" run --preserve-fds 1 box 3</etc/passwd 7</etc/passwd
  [ "$status" -eq 0 ] && [ "$output" = "0 1 2 3 4" ]
}

@test "without pidfds" {
  lacks pidfd_open
  lacks pidfd_send_signal
  lacks pidfd_open pidfd_send_signal
  user_namespace
  lacks pidfd_open
}

@test "a pidfd that is asked for is an error without them" {
  python3 -c 'import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1] + ".new"); s.listen(); os.rename(sys.argv[1] + ".new", sys.argv[1]); s.accept()' "$FILE_DIR/pidfd.sock" 3>&- &
  listener=$!
  eventually test -S "$FILE_DIR/pidfd.sock"
  run "$OCIRUN_TEST_BIN/deny" pidfd_open=38 -- "${R[@]}" run -d --pidfd-socket "$FILE_DIR/pidfd.sock" box
  wait "$listener"
  [ "$status" -eq 1 ] && [[ $output == *"--pidfd-socket: a pidfd needs Linux 5.3"* ]]
}

@test "without pidfds a hook is still waited for, and has its time" {
  edit_config . '.process.args = ["true"] | .hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", "cat >/dev/null; sleep 0.2; echo ran >$FILE"], env: ["PATH=/bin", "FILE=\($f)"], timeout: 10}]' --arg f "$FILE_DIR/ran"
  for denied in pidfd_open clone3; do
    for errno in 38 1; do
      rm -f "$FILE_DIR/ran"
      "$OCIRUN_TEST_BIN/deny" $denied=$errno -- "${R[@]}" run box
      [ "$(cat "$FILE_DIR/ran")" = ran ]
    done
  done
  edit_config . '.hooks.createRuntime[0] |= (.args[2] = "echo slow; sleep 100" | .timeout = 1)'
  run "$OCIRUN_TEST_BIN/deny" pidfd_open=38 -- "${R[@]}" run box
  [ "$status" -eq 1 ] && [[ $output == *"did not end in 1000 ms: slow"* ]]
}

@test "without execveat the runtime still has no program that a container can write to" {
  lacks execveat
  grep -q __asan_init "$OCIRUN" && skip "what is run again is the sanitizer's program"
  cp "$OCIRUN" "$FILE_DIR/ocirun"
  # On a read-only mount, and without attributes of mounts as a sealed copy.
  for denied in execveat=38 execveat=1 "execveat=38 mount_setattr=38"; do
    # shellcheck disable=SC2086
    "$OCIRUN_TEST_BIN/deny" $denied -- "$FILE_DIR/ocirun" --root "$FILE_DIR/state" run box >/dev/null 2>&1 3>&- &
    runtime=$!
    eventually state_is running 2>/dev/null
    exec 8<"/proc/$runtime/exe"
    "${R[@]}" kill box KILL
    wait "$runtime" || true
    # While it runs nobody can write to it anyway.
    run sh -c "echo x >>/proc/self/fd/8"
    exec 8<&-
    [ "$status" -ne 0 ] && [[ $output == *"Read-only file system"* || $output == *"I/O error"* ]] && cmp "$OCIRUN" "$FILE_DIR/ocirun"
  done
}

@test "without openat2" {
  lacks openat2
  user_namespace
  lacks openat2
}

@test "without openat2 what is asked of a path holds, too" {
  edit_config . '.linux.sysctl = {"kernel.msgmax": "7", "net.ipv4.ip_forward": "1"} | .process.terminal = false
    | .process.args = ["sh", "-c", "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward; ls -d /far/away"]
    | .mounts += [{destination: "/dangling/away", type: "tmpfs", source: "tmpfs"}] | .process.cwd = "/new/cwd"'
  ln -s /../../far rootfs/dangling
  run "$OCIRUN_TEST_BIN/deny" openat2=38 -- "${R[@]}" run box
  [ "$status" -eq 0 ] && [ "$(echo $output)" = "7 1 /far/away" ]
  for place in proc sys dev; do
    mv "rootfs/$place" rootfs/real && mkdir rootfs/bad && ln -s /bad "rootfs/$place"
    run "$OCIRUN_TEST_BIN/deny" openat2=38 -- "${R[@]}" run box
    rm "rootfs/$place" && mv rootfs/real "rootfs/$place" && rm -r rootfs/bad
    [ "$status" -eq 1 ] && [[ $output == *"must be mounted on ordinary directory"* || $output == *"must not be a symbolic link"* ]]
  done
  rm -r rootfs/dangling rootfs/far rootfs/new
}

MOUNT_CALLS="fsopen fsconfig fsmount open_tree move_mount"

@test "without the mount calls of 5.2, and without mount_setattr" {
  mkdir -p rootfs/m/sync # there from the first start on: a tmpfs has its mode
  edit_config . '.mounts += [
    {destination: "/m/file", type: "bind", source: ($s + "/file"), options: ["bind", "noexec"]},
    {destination: "/m/sync", type: "tmpfs", source: "tmpfs", options: ["nodev", "size=64k", "sync"]},
    {destination: "/etc", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup", "ro"]}]
    | .root.readonly = true | .linux.rootfsPropagation = "rslave"' --arg s "$FILE_DIR/source"
  LOOK+='
    cut -d" " -f4-6 /proc/self/mountinfo; cat /proc/mounts; ls /etc; cat /m/file; touch /etc/x 2>&1; touch /x 2>&1; df /m/sync; ls -l /dev'
  # shellcheck disable=SC2086
  lacks $MOUNT_CALLS
  # shellcheck disable=SC2086
  lacks $MOUNT_CALLS mount_setattr
  user_namespace
  # shellcheck disable=SC2086
  lacks $MOUNT_CALLS mount_setattr
}

# refused TEXT: a start without the mount calls of 5.2 says so in one line.
refused() {
  # shellcheck disable=SC2086
  run "$OCIRUN_TEST_BIN/deny" ${MOUNT_CALLS// /=38 }=38 mount_setattr=38 -- "${R[@]}" run box
  [ "$status" -eq 1 ] && [ "${#lines[@]}" -eq 1 ] && [[ $output == *"$1"* ]] || { echo "$output"; return 1; }
}

@test "what has no old way is named with the kernel that it needs" {
  cp config.json plain.json
  edit_config . '.mounts[-1].options = ["bind", "rro"]'
  refused "recursive mount options need a newer kernel (mount_setattr, Linux 5.12)"
  edit_config . '.mounts[-1] |= (.options = ["bind"] | .uidMappings = [{containerID: 0, hostID: 3000, size: 1}] | .gidMappings = .uidMappings)'
  refused "an idmapped mount needs Linux 5.12"
  cp plain.json config.json
  edit_config . '.linux.namespaces |= map(select(.type != "mount")) | del(.linux.maskedPaths, .linux.readonlyPaths)'
  refused "a container needs Linux 5.2"
  ! grep -q "$FILE_DIR/bundle" /proc/self/mountinfo
  cp plain.json config.json
  "${R[@]}" run -d box >/dev/null 2>&1 3>&-
  echo '[{"destination": "/late", "type": "tmpfs", "source": "tmpfs"}]' >add.json
  run "$OCIRUN_TEST_BIN/deny" open_tree=38 -- "${R[@]}" mounts add box add.json
  [ "$status" -eq 1 ] && [[ $output == *"to change mounts of a running container needs Linux 5.12"* ]] || { echo "$output"; return 1; }
}

@test "a terminal and devices of the host without the mount calls of 5.2" {
  edit_config . '.process.terminal = true | .process.args = ["sh", "-c", "stat -c %t /dev/console; tty; stat -c %t:%T /dev/null"]'
  # shellcheck disable=SC2086
  run on_terminal "$OCIRUN_TEST_BIN/deny" ${MOUNT_CALLS// /=38 }=38 mount_setattr=38 -- "${R[@]}" run box
  [[ $output == *88*/dev/pts/0*1:3* ]]
  edit_config . '.process.terminal = false | .process.args = ["sh", "-c", "for d in null zero full random urandom tty; do stat -c %t:%T /dev/$d; done; echo x >/dev/null && echo written"]'
  # shellcheck disable=SC2086
  run capsh --drop=cap_mknod -- -c '"$@"' - "$OCIRUN_TEST_BIN/deny" ${MOUNT_CALLS// /=38 }=38 mount_setattr=38 -- "${R[@]}" run box
  [ "$(echo $output)" = "1:3 1:5 1:7 1:8 1:9 5:0 written" ]
}

@test "all of them together" {
  # shellcheck disable=SC2086
  lacks clone3 close_range pidfd_open pidfd_send_signal execveat openat2 $MOUNT_CALLS mount_setattr
  user_namespace
  # shellcheck disable=SC2086
  lacks clone3 close_range pidfd_open pidfd_send_signal execveat openat2 $MOUNT_CALLS mount_setattr
  # Where statx tells no mounts, /proc/self/fdinfo does.
  DENIED=(openat2=38 close_range=38 statx=38)
  lives
}

@test "an ordinary user without any of them" {
  script_of_nobody <<'END'
./ocirun exec mine sh -c 'id -u; [ "$(readlink /proc/1/ns/mnt)" = "$(readlink /proc/self/ns/mnt)" ] && echo same'
./ocirun kill mine KILL
./ocirun delete -f mine
END
  # shellcheck disable=SC2086
  run "$OCIRUN_TEST_BIN/deny" clone3=38 close_range=38 pidfd_open=38 execveat=38 openat2=38 ${MOUNT_CALLS// /=38 }=38 mount_setattr=38 -- \
    "${AS_NOBODY[@]}"
  [ "$status" -eq 0 ] && [ "$(echo $output)" = "0 same" ] || { echo "$output"; return 1; }
}
