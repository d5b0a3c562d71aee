#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What comes back and what stays down: restart policies, a shim that is killed, and the daemon's own
# restart.

bats_require_minimum_version 1.5.0
load ../lib/common

setup_file() {
  make_file_dir
  start_ocid
}

teardown_file() {
  remove_containers
  stop_ocid
  rm -rf "$FILE_DIR"
}

state_of() { "$OCICTL" inspect -f "{{.State.$2}}" "$1"; }
is() { [ "$(state_of "$1" Status)" = "$2" ]; }

# kill_shim NAME: sets ID and PID of the container.
kill_shim() {
  ID=$("$OCICTL" inspect -f '{{.Id}}' "$1")
  PID=$(state_of "$1" Pid)
  kill -KILL "$(cat "$FILE_DIR/state/containers/$ID/shim.pid")"
}
# left_nothing: of the container $ID with the process $PID.
left_nothing() {
  [ ! -e "/proc/$PID" ] && [ ! -e "$FILE_DIR/state/runtime/$ID" ] &&
    [ -z "$(find /sys/fs/cgroup -type d -name "$ID")" ]
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
