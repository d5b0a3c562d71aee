#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Standard streams and terminals through the daemon: all input arrives, whoever is slow.

load ../lib/daemon

setup_file() {
  daemon_setup
  head -c 50000000 /dev/urandom >"$FILE_DIR/big"
  SUM=$(sha256sum <"$FILE_DIR/big")
  export SUM
  "$OCICTL" run -d --name box busybox sleep 1000
}

# in_terminal COLUMNS ROWS COMMAND...: the command in a terminal of that size; its output.
in_terminal() {
  python3 - "$@" <<'END'
import fcntl, os, pty, struct, sys, termios
pid, master = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', int(sys.argv[2]), int(sys.argv[1]), 0, 0))
    os.execvp(sys.argv[3], sys.argv[3:])
out = b''
while True:
    try:
        data = os.read(master, 4096)
    except OSError:
        break
    if not data:
        break
    out += data
sys.stdout.write(out.decode().replace('\r', ''))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
}

@test "run -i: 50 MB of input arrive whole, also when the command reads late" {
  [ "$("$OCICTL" run -i --rm busybox sha256sum <"$FILE_DIR/big")" = "$SUM" ]
  [ "$("$OCICTL" run -i --rm busybox sh -c 'sleep 2; sha256sum' <"$FILE_DIR/big")" = "$SUM" ]
}

@test "exec -i: 50 MB of input arrive whole, also when the command reads late" {
  [ "$("$OCICTL" exec -i box sha256sum <"$FILE_DIR/big")" = "$SUM" ]
  [ "$("$OCICTL" exec -i box sh -c 'sleep 2; sha256sum' <"$FILE_DIR/big")" = "$SUM" ]
}

@test "50 MB in and out again at once" {
  [ "$("$OCICTL" run -i --rm busybox cat <"$FILE_DIR/big" | sha256sum)" = "$SUM" ]
}

@test "a client that reads late has all of the output" {
  readers=()
  for last in 40000 400000; do
    for command in "run --rm busybox" "exec box"; do
      # shellcheck disable=SC2086
      ("$OCICTL" $command seq $last | (sleep 4; tail -1) | grep -qx $last) 3>&- &
      readers+=($!)
    done
  done
  for reader in "${readers[@]}"; do wait "$reader"; done
}

@test "output comes while the input is stuck" {
  run "$OCICTL" exec -i box sh -c 'seq 100000 | tail -1; sleep 1; echo done' <"$FILE_DIR/big"
  [ "${lines[0]}" = 100000 ]
  [ "${lines[1]}" = done ]
}

@test "run -it and exec -it: the terminal has the client's size from the first moment" {
  [ "$(in_terminal 101 41 "$OCICTL" run -it --rm busybox stty size)" = "41 101" ]
  [ "$(in_terminal 102 42 "$OCICTL" exec -it box stty size)" = "42 102" ]
}

@test "attach gives a running terminal the client's size" {
  "$OCICTL" run -dit --name sized busybox sh -c 'until [ "$(stty size)" = "33 99" ]; do sleep 0.1; done; exit 6'
  run in_terminal 99 33 timeout 15 "$OCICTL" attach sized
  [ "$status" -eq 6 ]
}
