#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What comes back and what stays down: restart policies, a shim that is killed, and the daemon's own
# restart.

load ../lib/daemon

state_of() { "$OCICTL" inspect -f "{{.State.$2}}" "$1"; }
is() { [ "$(state_of "$1" Status)" = "$2" ]; }

# kill_shim NAME: sets ID and PID of the container.
kill_shim() {
  ID=$("$OCICTL" inspect -f '{{.Id}}' "$1")
  PID=$(state_of "$1" Pid)
  [ -n "$(states)" ]
  kill -KILL "$(cat "$FILE_DIR/state/containers/$ID/shim.pid")"
}
# left_nothing: of the container $ID with the process $PID.
left_nothing() {
  [ ! -e "/proc/$PID" ] && [ -z "$(states)" ] && [ -z "$(find /sys/fs/cgroup -type d -name "$ID")" ]
}
# states: what the runtime has of it, in a folder of each namespace.
states() { find "$FILE_DIR/state/runtime" -mindepth 2 -maxdepth 2 -name "$ID"; }

@test "rm -f of a container that is being restarted removes it, each time" {
  for i in $(seq 30); do
    "$OCICTL" run -d --name "r$i" --restart always busybox false >/dev/null
  done
  for i in $(seq 30); do "$OCICTL" rm -f "r$i"; done
  [ -z "$("$OCICTL" ps -aq)" ]
}

@test "stop of a container that waits for its restart keeps it down" {
  "$OCICTL" run -d --name waits --restart always busybox false
  eventually is waits restarting
  "$OCICTL" stop waits
  is waits exited
  "$OCICTL" rm waits
}

@test "a shim that is killed: the container ends with 137, nothing is left, and it starts again" {
  "$OCICTL" run -d --name box busybox sleep 1000
  kill_shim box
  [ "$(timeout 15 "$OCICTL" wait box)" = 137 ]
  eventually left_nothing
  "$OCICTL" start box
  [ "$("$OCICTL" exec box echo again)" = again ]
  kill_shim box
  "$OCICTL" rm -f box
  eventually left_nothing  # init of the machine reaps it
}

@test "an exec -d of a daemon that was killed is not kept by the shim" {
  "$OCICTL" run -d --name box busybox sleep 1000
  "$OCICTL" exec -d box sh -c 'until [ -e /end ]; do sleep 0.1; done'
  ID=$("$OCICTL" inspect -f '{{.Id}}' box)
  EXEC=$("$OCICTL" inspect -f '{{json .ExecIDs}}' box | jq -r '.[0]')
  ADDRESS=$(cat "$FILE_DIR/state/containers/$ID/address")
  kill_ocid
  [[ $("$OCIRUN_TEST_BIN/shimctl" "$ADDRESS" state "$ID" "$EXEC") == "RUNNING "* ]]
  start_ocid
  "$OCICTL" exec box touch /end
  forgotten() { run "$OCIRUN_TEST_BIN/shimctl" "$ADDRESS" state "$ID" "$EXEC" && [[ $output == "5 process "* ]]; }
  eventually forgotten
  is box running
  "$OCICTL" rm -f box
}

@test "a shim that is killed while there is no daemon" {
  "$OCICTL" run -d --name box busybox sleep 1000
  ID=$("$OCICTL" inspect -f '{{.Id}}' box)
  PID=$(state_of box Pid)
  kill_ocid
  kill -KILL "$(cat "$FILE_DIR/state/containers/$ID/shim.pid")"
  [ -e "/proc/$PID" ]
  start_ocid
  [ "$(state_of box ExitCode)" = 137 ]
  eventually left_nothing  # init of the machine reaps it
  "$OCICTL" start box
  "$OCICTL" rm -f box
}

@test "shim, daemon and container are killed in every order: the end is known, and nothing is left" {
  for order in "shim ocid init" "shim init ocid" "ocid shim init" "ocid init shim" "init shim ocid" "init ocid shim"; do
    "$OCICTL" run -d --name box busybox sleep 1000
    ID=$("$OCICTL" inspect -f '{{.Id}}' box)
    PID=$(state_of box Pid)
    shim=$(cat "$FILE_DIR/state/containers/$ID/shim.pid")
    for victim in $order; do
      case $victim in
        shim) kill -KILL "$shim" || true ;;  # it ends itself when the container has, and was deleted
        ocid) kill_ocid ;;
        init) kill -KILL "$PID" || true ;;
      esac
    done
    start_ocid
    eventually is box exited
    [ "$(state_of box ExitCode)" = 137 ]
    eventually left_nothing  # init of the machine reaps it
    "$OCICTL" rm box
  done
}

@test "the next daemon gives nobody the address of a container that ran on" {
  ip_of() { "$OCICTL" inspect -f '{{.NetworkSettings.IPAddress}}' "$1"; }
  "$OCICTL" run -d --name one busybox sleep 1000
  "$OCICTL" run -d --name two busybox sleep 1000
  kill_ocid
  start_ocid
  "$OCICTL" run -d --name three busybox sleep 1000
  [ "$(for name in one two three; do ip_of $name; done | sort -u | wc -l)" = 3 ]
  "$OCICTL" rm -f one two three
}

@test "a container that waits for its restart is restarted by the next daemon" {
  "$OCICTL" run -d --name twice --restart always -v "$FILE_DIR:/f" busybox sh -c 'echo x >>/f/runs; [ -e /f/stay ] && exec sleep 1000; exit 1'
  eventually is twice restarting
  # In a back-off that is long enough to kill the daemon in it.
  many() { [ "$(wc -l <"$FILE_DIR/runs")" -ge 4 ]; }
  eventually many
  eventually is twice restarting
  kill_ocid
  touch "$FILE_DIR/stay"
  start_ocid
  eventually is twice running
  "$OCICTL" rm -f twice
}

@test "with the daemon, always starts what a person stopped, unless-stopped and no do not" {
  "$OCICTL" run -d --name always --restart always busybox sleep 1000
  "$OCICTL" run -d --name unless --restart unless-stopped busybox sleep 1000
  "$OCICTL" run -d --name failure --restart on-failure busybox sleep 1000
  "$OCICTL" run -d --name no busybox sleep 1000
  "$OCICTL" create --name never --restart always busybox sleep 1000
  "$OCICTL" stop -t 0 always unless failure no
  kill_ocid
  start_ocid
  eventually is always running
  is unless exited
  is failure exited
  is no exited
  is never created
  "$OCICTL" start unless
  kill_ocid
  start_ocid
  is unless running
  "$OCICTL" rm -f always unless failure no never
}

# record_of ID: as the database has it. put_back ID: the same, from stdin.
record_of() {
  python3 - "$FILE_DIR/root/meta.db" "$1" <<'END'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(db.execute("SELECT record FROM containers WHERE id = ?", (sys.argv[2],)).fetchone()[0])
END
}
put_back() {
  python3 -c '
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("UPDATE containers SET running = 0, record = ? WHERE id = ?", (sys.stdin.read().strip(), sys.argv[2]))
db.commit()' "$FILE_DIR/root/meta.db" "$1"
}

@test "a daemon that is killed after a start, before it has noted it: nothing of that run is left" {
  ID=$("$OCICTL" create --name box busybox sleep 1000)
  record_of "$ID" >"$FILE_DIR/record"
  for _ in {1..5}; do
    "$OCICTL" start box
    PID=$(state_of box Pid)
    shim=$(cat "$FILE_DIR/state/containers/$ID/shim.pid")
    kill_ocid
    put_back "$ID" <"$FILE_DIR/record"
    start_ocid
    is box created
    gone() { ! kill -0 "$shim" 2>/dev/null && [ ! -e "/proc/$PID" ]; }
    eventually gone
  done
  "$OCICTL" rm box
}

@test "a shim that hangs holds up neither the next daemon nor the other containers" {
  "$OCICTL" run -d --name hangs busybox sh -c 'trap "exit 3" TERM; sleep 1000 & wait'
  "$OCICTL" run -d --name fine busybox sleep 1000
  shim=$(cat "$FILE_DIR/state/containers/$("$OCICTL" inspect -f '{{.Id}}' hangs)/shim.pid")
  kill -STOP "$shim"
  kill_ocid
  start_ocid
  is fine running
  is hangs running
  "$OCICTL" rm -f fine
  kill -CONT "$shim"
  "$OCICTL" stop hangs
  [ "$(state_of hangs ExitCode)" = 3 ]
  "$OCICTL" rm hangs
}
