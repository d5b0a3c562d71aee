#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every step of a start can fail, and then one line says what, and nothing is left.
load ../lib/common

setup_file() {
  make_file_dir
  make_bundle "$FILE_DIR/bundle"
  cd "$FILE_DIR/bundle" && edit_config . '.process.args = ["true"] | .hostname = "h" | .linux.cgroupsPath = "/ocirun-faults/box"
    | .linux.resources.pids = {limit: 100} | .linux.sysctl = {"kernel.msgmax": "7"} | .process.noNewPrivileges = false
    | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["swapon"], action: "SCMP_ACT_ERRNO"}]}'
}
teardown_file() {
  # The folder above the container's cgroup is the caller's, as with runc: it holds other containers'.
  find /sys/fs/cgroup -depth -name ocirun-faults -exec rmdir {} +
  rm -rf "$FILE_DIR"
}

# nothing_left: no state, no cgroup, no process, no mount.
nothing_left() {
  [ "$(ls -A "$FILE_DIR/state" | grep -v -x -F -e .locks -e .seccomp | wc -l)" -eq 0 ] &&
    [ -z "$(ls -A "$FILE_DIR/state/.locks")" ] &&
    [ -z "$(find /sys/fs/cgroup -path "*/ocirun-faults/box")" ] &&
    ! pgrep -f "$FILE_DIR/state" >/dev/null && ! grep -q "$FILE_DIR/bundle/rootfs" /proc/self/mountinfo
}

# fails CALL=ERRNO TEXT: a run for which the call fails reports TEXT in one line and leaves nothing.
fails() {
  run "$OCIRUN_TEST_BIN/deny" "$1" -- "$OCIRUN" --root "$FILE_DIR/state" run --bundle "$FILE_DIR/bundle" box
  [ "$status" -eq 1 ] || { echo "$1: status $status: $output"; return 1; }
  [ "${#lines[@]}" -eq 1 ] || { echo "$1: $output"; return 1; }
  [[ $output == "ocirun run failed: "*"$2"* ]] || { echo "$1: $output"; return 1; }
  eventually nothing_left || { echo "$1: something is left"; ls -AR "$FILE_DIR/state"; find /sys/fs/cgroup -path "*/ocirun-faults/*" -type d; return 1; }
}

@test "each step of a start that fails is named, and leaves nothing" {
  "$OCIRUN" --root "$FILE_DIR/state" run --bundle "$FILE_DIR/bundle" box  # it works when nothing fails
  # EPERM is 1, EIO 5, ENOMEM 12, EINVAL 22, ENOSPC 28.
  fails clone3=12 "clone3: cannot allocate memory"
  fails socketpair=24 "socketpair: too many open files"
  fails setsid=1 "session: setsid: operation not permitted"
  fails keyctl=5 "session: keyctl"
  fails sethostname=1 "hostname: sethostname"
  fails fsopen=12 'mounting "proc" to rootfs at "/proc": fsopen proc: cannot allocate memory'
  fails move_mount=22 "root file system: move_mount: invalid argument"
  fails mknodat=28 "devices: mknod /dev/null: no space left on device"
  fails pivot_root=22 "change root: pivot_root"
  fails umount2=16 "change root: umount .: device or resource busy"
  # A sanitizer asks for limits itself, before the program begins.
  grep -q __asan_init "$OCIRUN" || fails prlimit64=1 "rlimits: setrlimit RLIMIT_NOFILE"
  fails setgroups=5 "setgroups: input/output error"
  fails setresgid=12 "setresgid 0: cannot allocate memory"
  fails capset=1 "capset: operation not permitted"
  fails seccomp=22 "seccomp: invalid argument"
  fails listen=98 "listen"
  # Controllers that share a hierarchy (cpu,cpuacct) have links in a cgroup mount, before those of the devices.
  ! compgen -G '/sys/fs/cgroup/*,*' >/dev/null || fails symlinkat=5 'mounting "cgroup" to rootfs at "/sys/fs/cgroup": symlink cpu'
  edit_config "$FILE_DIR/bundle" '.mounts |= map(select(.type != "cgroup"))'
  fails symlinkat=5 "devices: symlink /dev/fd: input/output error"
}
