#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Create, start, state, kill, delete, exec: the life of a container, and what goes wrong in it.
load ../lib/runtime

# args WORD...: the container's command.
args() {
  edit_config . '.process.args = $words' --argjson words "$(printf '%s\n' "$@" | jq -R . | jq -s .)"
}

# start_sleeper: a running container named box.
start_sleeper() {
  args sleep 1000
  "${R[@]}" run -d box >"$FILE_DIR/box.out" 2>&1 3>&-
}

@test "an exec in a paused container whose runtime is killed does not begin when it is resumed" {
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
  "${R[@]}" pause box
  "${R[@]}" exec --ignore-paused box touch /ran </dev/null >/dev/null 2>&1 3>&- &
  runtime=$!
  # It stands still when the container's cgroup has one more.
  entered() { [ "$(cat $(find /sys/fs/cgroup -path '*/box/cgroup.procs') | sort -u | wc -l)" = 2 ]; }
  eventually entered
  kill -KILL "$runtime"
  wait "$runtime" || [ $? -eq 137 ] # dead, and not about to die
  "${R[@]}" resume box
  alone() { [ "$(cat $(find /sys/fs/cgroup -path '*/box/cgroup.procs') | sort -u | wc -l)" = 1 ]; }
  eventually alone
  "${R[@]}" exec box true
  [ ! -e rootfs/ran ]
  "${R[@]}" delete -f box
}

@test "run gives output and exit status, and leaves nothing" {
  args sh -c 'echo out; echo err >&2; exit 7'
  run "${R[@]}" run box
  [ "$status" -eq 7 ]
  [[ $output == *out* && $output == *err* ]]
  [ "$("${R[@]}" list -q)" = "" ]
  [ -z "$(find /sys/fs/cgroup -name box)" ]
}

@test "create waits, start runs, state tells" {
  args sh -c 'echo started; sleep 1000'
  "${R[@]}" create box >"$FILE_DIR/out" 2>&1 3>&-
  [ "$("${R[@]}" state box | jq -r .status)" = created ]
  [ ! -s "$FILE_DIR/out" ]
  "${R[@]}" start box
  [ "$("${R[@]}" state box | jq -r .status)" = running ]
  eventually grep -q started "$FILE_DIR/out"
  run "${R[@]}" start box
  [ "$status" -eq 1 ]
  [[ $output == *"cannot start an already running container"* ]]
}

@test "an id is taken once, and must be a name" {
  start_sleeper
  run "${R[@]}" create box
  [ "$status" -eq 1 ]
  [[ $output == *"container with given ID already exists"* ]]
  for id in .. a/b 'a b' .hidden; do
    run "${R[@]}" create "$id"
    [ "$status" -eq 1 ]
    [[ $output == *"invalid container ID format"* ]]
  done
}

@test "what does not exist is said so" {
  for command in "state no" "start no" "kill no" "delete no" "exec no true" "pause no"; do
    # shellcheck disable=SC2086
    run "${R[@]}" $command
    [ "$status" -ne 0 ]
    [[ $output == *"container does not exist"* ]]
  done
  "${R[@]}" delete -f no
}

@test "kill sends the signal; delete refuses a running container unless forced" {
  rm -f rootfs/trapped
  args sh -c 'trap "exit 9" HUP; touch /trapped; while :; do sleep 0.1; done'
  "${R[@]}" run -d box >/dev/null 2>&1 3>&-
  eventually test -e rootfs/trapped
  run "${R[@]}" delete box
  [ "$status" -eq 1 ]
  [[ $output == *"is not stopped: running"* ]]
  run "${R[@]}" kill box NOSUCH
  [ "$status" -eq 1 ]
  "${R[@]}" kill box HUP
  stopped() { [ "$("${R[@]}" state box | jq -r .status)" = stopped ]; }
  eventually stopped
  run "${R[@]}" kill box
  [[ $output == *"container not running"* ]]
  "${R[@]}" delete box
}

@test "exec: output, status, environment, folder, user, limits of the container" {
  start_sleeper
  run "${R[@]}" exec box sh -c 'echo hi; exit 3'
  [ "$status" -eq 3 ]
  [ "$output" = hi ]
  [ "$("${R[@]}" exec -e A=b --cwd /etc -u 33:33 box sh -c 'echo $A $(pwd) $(id -u) $(id -g)')" = "b /etc 33 33" ]
  [ "$("${R[@]}" exec box hostname)" = "$("${R[@]}" state box | jq -r '.hostname // "ocirun"')" ]
  pid=$("${R[@]}" state box | jq .pid)
  inside=$("${R[@]}" exec box readlink /proc/self/ns/pid)
  [ "$inside" = "$(readlink "/proc/$pid/ns/pid")" ]
  "${R[@]}" exec -d --pid-file "$FILE_DIR/pid" box sleep 999
  [ "$(cat "/proc/$(cat "$FILE_DIR/pid")/cgroup")" = "$(cat "/proc/$pid/cgroup")" ]
  "${R[@]}" ps box | grep -q 'sleep 999'
}

@test "an exec of nothing says what is missing" {
  start_sleeper
  run "${R[@]}" exec box nosuch
  [ "$status" -eq 255 ]
  [[ $output == *'exec: "nosuch": executable file not found in $PATH'* ]]
  run "${R[@]}" exec box /etc/passwd
  [[ $output == *'exec: "/etc/passwd": permission denied'* ]]
}

@test "pause holds, resume goes on, exec into a paused container is refused" {
  start_sleeper
  "${R[@]}" pause box
  [ "$("${R[@]}" state box | jq -r .status)" = paused ]
  run "${R[@]}" exec box true
  [ "$status" -eq 255 ]
  [[ $output == *"cannot exec in a paused container"* ]]
  "${R[@]}" resume box
  [ "$("${R[@]}" state box | jq -r .status)" = running ]
  "${R[@]}" pause box
  "${R[@]}" delete -f box
}

@test "a create that fails leaves nothing and says why in text and in the log" {
  args /no/such/program
  run "${R[@]}" --log "$FILE_DIR/log.json" --log-format json create box
  [ "$status" -eq 1 ]
  [[ $output == *'exec: "/no/such/program": stat /no/such/program: no such file or directory'* ]]
  [ "$(tail -1 "$FILE_DIR/log.json" | jq -r .level)" = error ]
  tail -1 "$FILE_DIR/log.json" | jq -r .msg | grep -q 'no such file'
  [ ! -e "$FILE_DIR/state/box" ]
  [ -z "$(find /sys/fs/cgroup -name box)" ]
}

@test "a wrong type in config.json is named by its path" {
  edit_config . '.process.terminal = 1'
  run "${R[@]}" create box
  [ "$status" -eq 1 ]
  [[ $output == *"process.terminal: must be true or false, not number"* ]]
  edit_config . '.process.terminal = false | .linux.intelRdt = {closID: "a"}'
  run "${R[@]}" create box
  [[ $output == *"linux.intelRdt: this host has no resctrl filesystem mounted"* ]]
}

@test "a terminal: the shell has one, of the size of ours" {
  edit_config . '.process.terminal = true'
  args sh -c 'tty; stty size; exit 5'
  run python3 - "${R[@]}" run box <<'END'
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 111, 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
out = b''
while True:
    try:
        data = os.read(fd, 4096)
    except OSError:
        break
    if not data:
        break
    out += data
print(out.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
  [[ $output == */dev/pts/0* ]]
  [[ $output == *"33 111"* ]]
  [[ $output == *" 5" ]]
}

@test "many at once all work, and nothing is left" {
  args true
  for i in $(seq 20); do "${R[@]}" run "many-$i" >>"$FILE_DIR/many.log" 2>&1 3>&- & pids+=($!); done
  failed=0
  for pid in "${pids[@]}"; do wait "$pid" || failed=$((failed + 1)); done
  cat "$FILE_DIR/many.log"
  [ $failed -eq 0 ]
  [ "$("${R[@]}" list -q)" = "" ]
}

@test "a create that is killed at any moment leaves nothing that delete -f does not remove" {
  edit_config . '.process.args = ["sleep", "1000"] | .linux.cgroupsPath = "/ocirun-killed/box"'
  left() {
    ls -A "$FILE_DIR/state" | grep -v -x -F -e .locks -e .seccomp
    ls -A "$FILE_DIR/state/.locks"
    find /sys/fs/cgroup -path "*/ocirun-killed/box*"
    pgrep -f "$FILE_DIR/state"
  }
  none_left() { [ -z "$(left)" ]; }
  for i in {1..60}; do
    { timeout -s KILL "0.00$((RANDOM % 9))$((RANDOM % 10))" "${R[@]}" create box </dev/null; } >/dev/null 2>&1 3>&- || true
    "${R[@]}" delete -f box
  done
  eventually none_left || { left; return 1; }
  find /sys/fs/cgroup -depth -name ocirun-killed -exec rmdir {} +
  edit_config . 'del(.linux.cgroupsPath)'
}

@test "a create that is killed while a hook of its init runs can be deleted" {
  edit_config . '.process.args = ["true"] | .linux.cgroupsPath = "/ocirun-killed/box" | .hooks.createContainer = [{path: "/bin/sleep", args: ["sleep", "1211"]}]'
  "${R[@]}" create box </dev/null >/dev/null 2>&1 3>&- &
  local creating=$!
  # A number of its own: others have a sleep, too, while this runs.
  in_hook() { pgrep -f "^sleep 1211$" >/dev/null && [ -n "$(find /sys/fs/cgroup -path "*/ocirun-killed/box")" ]; }
  eventually in_hook
  kill -9 $creating
  local began=$SECONDS
  "${R[@]}" delete -f box
  [ $((SECONDS - began)) -lt 8 ]
  [ -z "$(find /sys/fs/cgroup -path "*/ocirun-killed/box")" ]
  [ ! -e "$FILE_DIR/state/box" ]
  find /sys/fs/cgroup -depth -name ocirun-killed -exec rmdir {} +
  edit_config . 'del(.linux.cgroupsPath, .hooks)'
}

@test "deletes at once leave no lock" {
  edit_config . '.process.args = ["true"]'
  for i in {1..10}; do
    "${R[@]}" create box </dev/null >/dev/null 2>&1 3>&-
    for j in 1 2 3; do "${R[@]}" delete box >/dev/null 2>&1 3>&- & done
    wait
  done
  [ -z "$(ls -A "$FILE_DIR/state/.locks")" ]
}

@test "a start that fails has ended by the time it is told" {
  printf garbage >rootfs/garbage && chmod +x rootfs/garbage
  edit_config . '.process.args = ["/garbage"]'
  for i in {1..20}; do
    "${R[@]}" create box </dev/null >/dev/null 2>&1 3>&-
    run "${R[@]}" start box
    [ "$status" -eq 1 ]
    "${R[@]}" delete box
  done
  edit_config . '.process.args = [""]'
  run "${R[@]}" run box
  [[ $output == *'exec: "": executable file not found in $PATH' ]]
}

@test "a command for a container that never was leaves no lock of it" {
  for command in start pause resume kill delete state "delete -f" "exec -- true"; do
    run "${R[@]}" ${command%% *} $([[ $command != *-f ]] || echo -f) nosuch $([[ $command != exec* ]] || echo true)
  done
  [ ! -e "$FILE_DIR/state/.locks/nosuch" ]
}

# typed_wrong LINE ARGUMENT...: one line says so, with the status of runc.
typed_wrong() {
  local line=$1
  shift
  run "$OCIRUN" "$@"
  echo "$output"
  [ "$status" -eq 1 ] && [ "$output" = "ocirun: $line" ]
}

@test "what is typed wrong is told in one line, and help is shown where it is asked for" {
  typed_wrong "No help topic for 'nosuch'" nosuch
  typed_wrong 'exec: unknown flag: --nosuch' exec --nosuch box true
  typed_wrong '"exec" requires a minimum of 1 argument(s): ocirun exec [options] <container-id> [argument...]' exec
  typed_wrong '"start" requires exactly 1 argument(s): ocirun start [options] <container-id>' start a b
  typed_wrong 'run: invalid argument "1001" for "--preserve-fds" flag: must be from 0 to 1000' run --preserve-fds 1001 box
  typed_wrong 'invalid argument "xml" for "--log-format" flag: must be one of text, json' --log-format xml list
  typed_wrong '--root must not be /' --root /a/../.. list
  typed_wrong '--root must not be empty' --root '' list
  for asked in "" --help help "help exec" "exec --help" "exec -h"; do
    # shellcheck disable=SC2086
    run "$OCIRUN" $asked
    [ "$status" -eq 0 ] && [ "${lines[0]}" = NAME: ]
  done
  run "$OCIRUN" --log "$FILE_DIR/usage.log" start
  grep -q 'requires exactly 1' "$FILE_DIR/usage.log"
}
