#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# ocictl stands for the container's process: signals, the terminal's size, the detach keys, the end.

load ../lib/daemon

on_terminal() { "$BATS_TEST_DIRNAME/on-terminal" "$@"; }

printed() { grep -q "$1" "$FILE_DIR/out"; }

# A container that tells every signal and ends with 40 + its number.
trapping='for s in 1 2 3 10 12 15; do trap "echo got $s; exit $((40 + s))" $s; done
  echo ready; while :; do sleep 0.1; done'

# signal_client SIGNAL COMMAND...: the code of the client, signalled once the container is ready.
signal_client() {
  local signal=$1 client
  shift
  : >"$FILE_DIR/out"
  # Background jobs of a shell ignore INT and QUIT, and what is ignored is not forwarded.
  python3 -c 'import os, signal, sys
for s in (signal.SIGINT, signal.SIGQUIT): signal.signal(s, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' "$@" >"$FILE_DIR/out" 2>&1 3>&- &
  client=$!
  eventually printed ready
  kill -"$signal" "$client"
  code=0
  wait "$client" || code=$?
}

@test "every signal to run reaches the container, whose status comes back" {
  for signal in 1 2 3 10 12 15; do
    signal_client "$signal" "$OCICTL" run --rm busybox sh -c "$trapping"
    [ "$code" -eq $((40 + signal)) ]
    printed "got $signal"
  done
  [ -z "$("$OCICTL" ps -aq)" ]
}

@test "signals reach the container through start --attach and attach, too" {
  "$OCICTL" create --name sig busybox sh -c "$trapping"
  signal_client 10 "$OCICTL" start -a sig
  [ "$code" -eq 50 ]
  "$OCICTL" rm sig
  "$OCICTL" run -d --name sig busybox sh -c \
    'trap "exit 55" 15; while :; do echo ready; sleep 0.1; done'
  signal_client 15 "$OCICTL" attach sig
  [ "$code" -eq 55 ]
  "$OCICTL" rm sig
}

@test "--sig-proxy=false: the signal ends the client, the container runs on" {
  signal_client 15 "$OCICTL" run --sig-proxy=false --name alone busybox sh -c "$trapping"
  [ "$code" -eq 143 ]
  [ "$("$OCICTL" inspect -f '{{.State.Status}}' alone)" = running ]
  "$OCICTL" rm -f alone
}

@test "ctrl-c without -t: the container gets INT and the client its status" {
  run on_terminal see:ready 'type:\x03' -- "$OCICTL" run --rm busybox sh -c "$trapping"
  [ "$status" -eq 42 ]
  [[ $output =~ "got 2" ]]
}

@test "the size of the terminal goes to run, exec and attach, and every change of it" {
  size='trap "stty size" WINCH; stty size; while :; do read -t 1 line && exit 3; done'
  run on_terminal see:'24 80' size:100x30 see:'30 100' size:90x20 see:'20 90' 'type:q\n' -- \
    "$OCICTL" run -it --rm busybox sh -c "$size"
  [ "$status" -eq 3 ]
  "$OCICTL" run -dit --name sized busybox sh -c "$size"
  run on_terminal see:'24 80' size:101x31 see:'31 101' 'type:q\n' -- \
    "$OCICTL" exec -it sized sh -c "$size"
  [ "$status" -eq 3 ]
  run on_terminal see:'24 80' size:102x32 see:'32 102' 'type:q\n' -- "$OCICTL" attach sized
  [ "$status" -eq 3 ]
  "$OCICTL" rm -f sized
}

@test "a signal that ends a client gives the terminal back" {
  "$OCICTL" run -d --name term busybox sleep 1000
  run on_terminal raw:yes signal:TERM raw:no -- "$OCICTL" exec -it term sleep 1000
  [ "$status" -eq 143 ]
  "$OCICTL" rm -f term
}

@test "the detach keys: run is silent with 0, attach and exec say so with 1" {
  run on_terminal see:'#' 'type:\x10\x11' -- "$OCICTL" run -it --name det busybox sh
  [ "$status" -eq 0 ]
  [[ ! $output =~ "escape" ]]
  [ "$("$OCICTL" inspect -f '{{.State.Status}}' det)" = running ]
  run on_terminal raw:yes 'type:\x10\x11' -- "$OCICTL" attach det
  [ "$status" -eq 1 ]
  [[ $output =~ "read escape sequence" ]]
  run on_terminal see:'#' 'type:\x10\x11' -- "$OCICTL" exec -it det sh
  [ "$status" -eq 1 ]
  [[ $output =~ "read escape sequence" ]]
  "$OCICTL" rm -f det
}

@test "run with a restart policy returns at the first exit" {
  run timeout 20 "$OCICTL" run --name again --restart always busybox sh -c 'echo once; exit 0'
  [ "$status" -eq 0 ]
  [ "$output" = once ]
  "$OCICTL" stop -t 0 again
  "$OCICTL" rm again
  run timeout 20 "$OCICTL" run --name again --restart on-failure:1 busybox sh -c 'exit 6'
  [ "$status" -eq 6 ]
  ended() { [ "$("$OCICTL" inspect -f '{{.State.Status}} {{.RestartCount}}' again)" = "exited 1" ]; }
  eventually ended
  "$OCICTL" rm again
}
