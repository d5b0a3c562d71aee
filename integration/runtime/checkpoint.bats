#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# checkpoint and restore. Where criu works on this kernel (`criu check`) the real thing; elsewhere that
# the failure is one plain line, and that the container runs on.
load ../lib/runtime

setup_file() {
  runtime_setup_file
  # What counts is seen in the root file system, which outlives the checkpoint. The cgroup is at the
  # top, whatever the tests run in.
  edit_config "$FILE_DIR/bundle" '.linux.cgroupsPath = "/ocirun-test-box" | .process.args = ["sh", "-c", $loop]' --arg loop '
    i=0; while :; do i=$((i + 1)); echo $i >/count.new; mv /count.new /count; sleep 0.2; done'
}

teardown() {
  runtime_teardown
  rm -rf "$FILE_DIR"/{image,parent,work} "$FILE_DIR/bundle/rootfs/count"
}

criu_works() { criu check >/dev/null 2>&1; }
needs_criu() { criu_works || skip "criu check fails on this machine"; }
lacks_criu() { ! criu_works || skip "criu works on this machine"; }

# criu can't save a file that is outside of the container, as which a file for the output would count.
begin() { "${R[@]}" --log "$FILE_DIR/log" run -d box </dev/null >/dev/null 2>&1 3>&-; }
checkpoint() { "${R[@]}" checkpoint --image-path "$FILE_DIR/image" --work-path "$FILE_DIR/work" "$@" box; }
restore() {
  "${R[@]}" restore -d --image-path "$FILE_DIR/image" --work-path "$FILE_DIR/work" "$@" box </dev/null >/dev/null 2>"$FILE_DIR/out" 3>&-
}
status_of_box() { "${R[@]}" state box | jq -r .status; }
counts_on() {
  local before
  before=$(cat rootfs/count 2>/dev/null || echo 0)
  eventually eval "[ \"\$(cat rootfs/count 2>/dev/null || echo 0)\" -gt $before ]"
}

@test "without criu the line says so, and the container runs on" {
  begin
  run -1 env PATH=/nowhere "${R[@]}" checkpoint --image-path "$FILE_DIR/image" box
  [[ $output == "ocirun: criu is not installed"*"apt install criu"* ]]
  counts_on
  [ "$(status_of_box)" = running ]
}

@test "a criu that refuses: its reason in one line, and the container runs on" {
  lacks_criu
  command -v criu >/dev/null || skip "criu is not installed"
  begin
  run -1 checkpoint
  [[ $output == "ocirun: criu failed: "* ]]
  [ "${#lines[@]}" -eq 1 ]
  # Its own words, from its log.
  reason=$(grep -m 1 'Error (' "$FILE_DIR/work/dump.log" | sed 's/.*): //')
  [ -n "$reason" ]
  [[ $output == *"$reason"* && $output == *"$FILE_DIR/work/dump.log"* ]]
  counts_on
  [ "$(status_of_box)" = running ]

  "${R[@]}" delete -f box
  echo '[]' >"$FILE_DIR/image/descriptors.json"
  run -1 "${R[@]}" restore -d --image-path "$FILE_DIR/image" --work-path "$FILE_DIR/work" box
  [[ $output == "ocirun restore failed: criu failed: "*"$FILE_DIR/work/restore.log"* ]]
  [ -z "$("${R[@]}" list -q)" ]
  [ -z "$(find "$FILE_DIR/state" -mindepth 1 -name 'box*')" ]
  [ -z "$(find /sys/fs/cgroup -name ocirun-test-box)" ]
  run ! grep criu-root /proc/self/mountinfo
}

@test "options are refused before anything is done" {
  run -1 checkpoint
  [[ $output == *"container does not exist"* ]]
  begin
  mkdir -p "$FILE_DIR/image"
  run -1 checkpoint --parent-path "$FILE_DIR/parent"
  [[ $output == *"--parent-path must be relative"* ]]
  run -1 checkpoint --parent-path ../parent
  [[ $output == *"invalid --parent-path"*"no such file or directory"* ]]
  touch "$FILE_DIR/parent"
  run -1 checkpoint --parent-path ../parent
  [[ $output == *"invalid --parent-path"*"not a directory"* ]]
  run -1 checkpoint --page-server 1.2.3.4
  [[ $output == *"Use --page-server ADDRESS:PORT"* ]]
  run -1 checkpoint --manage-cgroups-mode hard
  [[ $output == *"invalid manage-cgroups-mode value"* ]]
  run -1 checkpoint --empty-ns pid
  [[ $output == *'namespace "pid" is not supported'* ]]
  run -1 checkpoint --status-fd 99
  [[ $output == *"invalid --status-fd argument 99"* ]]
  [ "$(status_of_box)" = running ]
  run -1 restore
  [[ $(cat "$FILE_DIR/out") == *"container with given ID already exists"* ]]
  "${R[@]}" kill box KILL
  eventually eval '[ "$("${R[@]}" state box | jq -r .status)" = stopped ]'
  run -1 checkpoint
  [[ $output == *"container cannot be checkpointed in stopped state"* ]]
}

@test "a container goes and comes back, twice, as an ordinary one" {
  needs_criu
  begin
  counts_on
  for _ in 1 2; do
    checkpoint
    run -1 "${R[@]}" state box
    [ -z "$(find /sys/fs/cgroup -name ocirun-test-box)" ]
    count=$(cat rootfs/count)
    restore --pid-file "$FILE_DIR/pid"
    counts_on
    [ "$(cat rootfs/count)" -gt "$count" ]
    [ "$(status_of_box)" = running ]
    [ "$("${R[@]}" state box | jq .pid)" = "$(cat "$FILE_DIR/pid")" ]
    grep -q ocirun-test-box "/proc/$(cat "$FILE_DIR/pid")/cgroup"
    [ "$("${R[@]}" exec box echo hello)" = hello ]
    "${R[@]}" events --stats box | jq -e .data.pids.current
    rm -r "$FILE_DIR/image"
  done
  run ! grep criu-root /proc/self/mountinfo
  "${R[@]}" kill box KILL
  eventually eval '[ "$("${R[@]}" state box | jq -r .status)" = stopped ]'
  "${R[@]}" delete box
}

@test "--leave-running leaves it running" {
  needs_criu
  begin
  checkpoint --leave-running
  [ -e "$FILE_DIR/image/inventory.img" ]
  counts_on
  [ "$(status_of_box)" = running ]
}

@test "a pre-dump, and a dump of what has changed since" {
  needs_criu
  begin
  "${R[@]}" checkpoint --pre-dump --image-path "$FILE_DIR/parent" box
  counts_on
  checkpoint --parent-path ../parent
  [ -e "$FILE_DIR/image/parent" ]
  restore
  counts_on
}

@test "bind mounts, nested and behind a link, and a cgroup namespace" {
  needs_criu
  mkdir -p "$FILE_DIR"/{outer,inner} rootfs/real
  ln -sfn /real rootfs/link
  edit_config . '.linux.namespaces |= (map(select(.type != "cgroup")) + [{"type": "cgroup"}]) | .mounts += [
    {"destination": "/link/here", "source": $inner, "options": ["bind"]},
    {"destination": "/outer", "source": $outer, "options": ["bind"]},
    {"destination": "/bundle", "source": ".", "options": ["bind"]},
    {"destination": "/outer/for/inner", "source": $inner, "options": ["bind"]}]' \
    --arg outer "$FILE_DIR/outer" --arg inner "$FILE_DIR/inner"
  begin
  touch "$FILE_DIR/inner/file"
  checkpoint
  rm -r "$FILE_DIR/outer/for"
  restore
  "${R[@]}" exec box ls /real/here/file /outer/for/inner/file /bundle/config.json
}

@test "another cgroup, with --manage-cgroups-mode ignore" {
  needs_criu
  begin
  checkpoint --manage-cgroups-mode ignore
  edit_config . '.linux.cgroupsPath = "/ocirun-test-other"'
  restore --manage-cgroups-mode ignore --pid-file "$FILE_DIR/pid"
  grep -q ocirun-test-other "/proc/$(cat "$FILE_DIR/pid")/cgroup"
  [ -z "$(find /sys/fs/cgroup -name ocirun-test-box)" ]
}

@test "a network namespace of somebody else's, and the hooks" {
  needs_criu
  ip netns add ocirun-test-criu
  edit_config . '(.linux.namespaces[] | select(.type == "network")).path = "/run/netns/ocirun-test-criu"
    | .hooks.createRuntime = [{"path": "/bin/sh", "args": ["sh", "-c", "cat >\($dir)/hook"]}]' --arg dir "$FILE_DIR"
  begin
  checkpoint --empty-ns network || { ip netns del ocirun-test-criu; return 1; }
  rm "$FILE_DIR/hook"
  restore --empty-ns network --pid-file "$FILE_DIR/pid" || { ip netns del ocirun-test-criu; return 1; }
  inode=$(stat -Lc %i /run/netns/ocirun-test-criu)
  ip netns del ocirun-test-criu
  [ "$(stat -Lc %i "/proc/$(cat "$FILE_DIR/pid")/ns/net")" = "$inode" ]
  [ "$(jq .pid "$FILE_DIR/hook")" = "$(cat "$FILE_DIR/pid")" ]
}

@test "in the foreground: pipes are connected again, the exit status is the command's" {
  needs_criu
  edit_config . '.process.args = ["sh", "-c", "read x; echo pong $x; exit 7"]'
  # Pipes without a name: those with one criu looks for by their path.
  exec 7<> <(:) 8<> <(:)
  "${R[@]}" run -d box </proc/self/fd/7 >/proc/self/fd/8 2>&1 3>&- 7>&- 8>&-
  checkpoint
  run -7 bash -c "(sleep 2; echo ping) | \"\$@\" | cat; exit \${PIPESTATUS[1]}" - \
    "${R[@]}" restore --image-path "$FILE_DIR/image" --work-path "$FILE_DIR/work" box
  [ "$output" = "pong ping" ]
  [ -z "$("${R[@]}" list -q)" ]
}

@test "a terminal comes back over the console socket" {
  needs_criu
  edit_config . '.process.terminal = true | .process.args = ["sh"]'
  cat >"$FILE_DIR/console.py" <<'END'
import array, os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(2)
masters = []
for _ in range(2):
    connection, _ = listener.accept()
    _, control, _, _ = connection.recvmsg(100, 100)
    masters.append(array.array('i', control[0][2][:4])[0])
os.write(masters[1], b'echo answer-$((40 + 2))\n')
text = b''
while b'answer-42' not in text:
    text += os.read(masters[1], 4096)
print('ANSWERED', flush=True)
END
  python3 "$FILE_DIR/console.py" "$FILE_DIR/console.sock" >"$FILE_DIR/console.out" 2>&1 3>&- &
  console=$!
  eventually test -S "$FILE_DIR/console.sock"
  "${R[@]}" run -d --console-socket "$FILE_DIR/console.sock" box 3>&-
  checkpoint
  run -1 restore
  [[ $(cat "$FILE_DIR/out") == *"cannot allocate tty if runc will detach without setting console socket"* ]]
  restore --console-socket "$FILE_DIR/console.sock"
  eventually grep -q ANSWERED "$FILE_DIR/console.out"
  wait "$console"
}
