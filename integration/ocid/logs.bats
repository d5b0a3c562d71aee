#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Logs by Docker's options: rotated, compressed, not kept; and reading them while that goes on.

bats_require_minimum_version 1.5.0
load ../lib/daemon

@test "max-size, max-file and compress: logs reads through all files, and from their end" {
  "$OCICTL" run -d --name many --log-opt max-size=20k --log-opt max-file=500 --log-opt compress=true busybox sh -c 'seq 10000; sleep 1000'
  log=$("$OCICTL" inspect -f '{{.LogPath}}' many)
  # The last line is always in the newest file, and all others are compressed in the end.
  packed() { grep -q '"10000' "$log" && [ -e "$log.1.gz" ] && [ -z "$(find "${log%/*}" -name "${log##*/}.*[0-9]")" ]; }
  eventually packed
  "$OCICTL" stop -t 0 many
  [ "$("$OCICTL" inspect -f '{{json .HostConfig.LogConfig}}' many)" = '{"Type":"json-file","Config":{"compress":"true","max-file":"500","max-size":"20k"}}' ]
  cmp <("$OCICTL" logs many) <(seq 10000)
  [ "$("$OCICTL" logs --tail 3 many)" = "$(seq 9998 10000)" ]
  cmp <("$OCICTL" logs --tail 9000 many) <(seq 1001 10000)
  middle=$("$OCICTL" logs -t many | sed -n 5000p)
  cmp <("$OCICTL" logs --since "${middle%% *}" many | tail -n 5001) <(seq 5000 10000)
  "$OCICTL" rm many
}

@test "logs -f sees every line once while the log rotates and is compressed" {
  "$OCICTL" run -d --name busy --log-opt max-size=50k --log-opt max-file=1000 --log-opt compress=true busybox sh -c 'i=0; while [ $i -lt 40000 ]; do seq $i $((i + 99)); i=$((i + 100)); usleep 1000; done; sleep 1'
  "$OCICTL" logs -f busy >"$FILE_DIR/followed"
  cmp "$FILE_DIR/followed" <(seq 0 39999)
  cmp <("$OCICTL" logs busy) <(seq 0 39999)
  "$OCICTL" rm busy
}

@test "--log-driver none keeps nothing; what is not known is refused by name" {
  [ "$("$OCICTL" run --name quiet --log-driver none busybox echo shown)" = shown ]
  [ "$("$OCICTL" inspect -f '{{.LogPath}}' quiet)" = "" ]
  run "$OCICTL" logs quiet
  [ "$status" -eq 1 ]
  [[ $output == *"configured logging driver does not support reading"* ]]
  "$OCICTL" rm quiet
  refused() {
    local text=$1
    shift
    run "$OCICTL" run --rm "$@" busybox true
    [ "$status" -eq 125 ] && [[ $output == *"$text"* ]]
  }
  refused "--log-driver syslog is not supported" --log-driver syslog
  refused "unknown log opt 'labels' for json-file log driver" --log-opt labels=a
  refused "invalid size: '10x'" --log-opt max-size=10x
  refused "max-file cannot be less than 1" --log-opt max-file=0
  refused "compress cannot be true when max-file is less than 2" --log-opt compress=true
  refused "unknown log opt 'max-size' for none" --log-driver none --log-opt max-size=1m
}

@test "logs of a container that was killed for its memory, and inspect's State" {
  run "$OCICTL" run --name greedy -m 16m --memory-swap 16m busybox sh -c 'echo begun; x=a; while :; do x=$x$x; done'
  [ "$status" -eq 137 ]
  [ "$("$OCICTL" inspect -f '{{.State.Status}} {{.State.OOMKilled}} {{.State.ExitCode}} {{.State.Pid}}' greedy)" = "exited true 137 0" ]
  [ "$("$OCICTL" logs greedy)" = begun ]
  "$OCICTL" rm greedy
}
