#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Sessions that outlive the daemon: it is killed amid attach, exec and run, and no byte is lost in
# either direction, nor the exit code.

bats_require_minimum_version 1.5.0
load ../lib/daemon

setup_file() {
  daemon_setup
  "$OCICTL" run -d --name box busybox sleep 10000
}

setup() { rm -f "$FILE_DIR"/{out,err,now,in}; }

# Numbers with pauses, for the whole of a session.
NUMBERS='i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); usleep 5000; done'

restart_ocid() {
  kill_ocid
  sleep 0.5
  start_ocid
}
has_begun() { [ -s "$1" ]; }
is_whole() { cmp "$1" <(seq 0 399); }

@test "run: the output goes on while there is no daemon, and the code comes from the next one" {
  "$OCICTL" run --name one busybox sh -c "$NUMBERS; exit 7" >"$FILE_DIR/out" 2>"$FILE_DIR/err" 3>&- &
  client=$!
  eventually has_begun "$FILE_DIR/out"
  restart_ocid
  code=0
  wait $client || code=$?
  [ $code = 7 ]
  is_whole "$FILE_DIR/out"
  [ "$("$OCICTL" logs one | tail -1)" = 399 ]
  "$OCICTL" rm one
}

@test "run --rm that ends while there is no daemon: the client waits for its code" {
  "$OCICTL" run --rm --name gone busybox sh -c "$NUMBERS; exit 8" >"$FILE_DIR/out" 2>"$FILE_DIR/err" 3>&- &
  client=$!
  eventually has_begun "$FILE_DIR/out"
  kill_ocid
  eventually is_whole "$FILE_DIR/out"
  eventually grep -q "Waiting for it to return" "$FILE_DIR/err"
  start_ocid
  code=0
  wait $client || code=$?
  [ $code = 8 ]
  run "$OCICTL" inspect gone
  [ "$status" -eq 1 ]
}

@test "exec -i: what is typed and what is printed go on while there is no daemon" {
  (i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); sleep 0.005; done) |
    "$OCICTL" exec -i box sh -c 'cat; exit 9' >"$FILE_DIR/out" 2>"$FILE_DIR/err" 3>&- &
  client=$!
  eventually has_begun "$FILE_DIR/out"
  restart_ocid
  code=0
  wait $client || code=$?
  [ $code = 9 ]
  is_whole "$FILE_DIR/out"
}

@test "exec -it: a terminal stays one over two restarts, and its size still follows" {
  cat >"$FILE_DIR/terminal.py" <<'END'
import fcntl, os, pty, re, signal, struct, sys, termios, time
pid, master = pty.fork()
def resize(columns):
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
out = b''
def expect(text):
    global out
    end = time.time() + 30
    while text not in out:
        assert time.time() < end, out
        out += os.read(master, 4096)
    out = out[out.index(text) + len(text):]
def restart():
    # The test restarts the daemon when it sees the file, and takes it away.
    open(sys.argv[1], 'w').close()
    while os.path.exists(sys.argv[1]): time.sleep(0.05)
expect(b'# ')
for word in (b'one', b'two'):
    os.write(master, b'echo be""fore-' + word + b'\n'); expect(b'\r\nbefore-' + word)
    restart()
    os.write(master, b'echo af""ter-' + word + b'\n'); expect(b'\r\nafter-' + word)
resize(77)
os.kill(pid, signal.SIGWINCH)
os.write(master, b'until [ "$(stty size)" = "24 77" ]; do usleep 50000; done; echo fit""ted\n'); expect(b'\r\nfitted')
os.write(master, b'exit 11\n')
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
  python3 "$FILE_DIR/terminal.py" "$FILE_DIR/now" "$OCICTL" exec -it box sh >"$FILE_DIR/out" 2>&1 3>&- &
  client=$!
  for _ in 1 2; do
    eventually test -e "$FILE_DIR/now"
    restart_ocid
    rm "$FILE_DIR/now"
  done
  code=0
  wait $client || code=$?
  cat "$FILE_DIR/out"
  [ $code = 11 ]
}

@test "attach goes on, and another one comes to it afterwards" {
  "$OCICTL" run -di --name shell busybox sh -c 'while read line; do echo "got $line"; done; exit 12'
  mkfifo "$FILE_DIR/in"
  exec 8<>"$FILE_DIR/in"
  "$OCICTL" attach shell <"$FILE_DIR/in" >"$FILE_DIR/out" 3>&- 8>&- &
  client=$!
  echo one >&8
  eventually grep -q 'got one' "$FILE_DIR/out"
  kill_ocid
  echo two >&8
  eventually grep -q 'got two' "$FILE_DIR/out"
  start_ocid
  # The second one's end of input is the container's.
  run "$OCICTL" attach shell <<<three
  [ "$status $output" = "12 got three" ]
  code=0
  wait $client || code=$?
  exec 8>&-
  grep -q 'got three' "$FILE_DIR/out"
  [ $code = 12 ]
  "$OCICTL" rm shell
}

@test "who cannot reach the shim's socket has the streams through the daemon" {
  hidden() {
    unshare -m sh -c 'mount -t tmpfs none "$1" && shift && exec "$@"' sh "$FILE_DIR/state/containers" "$@"
  }
  [ "$(seq 100000 | hidden "$OCICTL" run -i --rm busybox sha256sum)" = "$(seq 100000 | sha256sum)" ]
  [ "$(seq 100000 | hidden "$OCICTL" exec -i box sha256sum)" = "$(seq 100000 | sha256sum)" ]
  run hidden "$OCICTL" exec box sh -c 'exit 5'
  [ "$status" -eq 5 ]
  run hidden "$OCICTL" run --rm busybox sh -c 'echo err >&2; exit 6'
  [ "$status $output" = "6 err" ]
}
