#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# ocishim as the shim of a stock containerd: what a user of `ctr` sees, and what containerd's own
# shim for runc does beside it.
load ../lib/containerd

IMAGE=docker.io/library/busybox:latest

setup_file() {
  make_file_dir
  containerd_setup "${FILE_DIR##*/}" 'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]'
  import_image docker.io/library/busybox '["sh"]'
}
teardown_file() { containerd_teardown; }

run_box() { run_ctr run --runtime "$RUNTIME" "$@"; }
status_of() { run_ctr task ls | awk -v id="$1" '$1 == id { print $3 }'; }
has_status() { [ "$(status_of "$1")" = "$2" ]; }

# shim_pid ID: the process that listens at the shim's socket.
shim_pid() { cat "$(bundle_of "$1")/shim.pid"; }
remove_box() {
  run_ctr task kill -s KILL "$1" 2>/dev/null || true
  eventually no_running "$1"
  run_ctr task delete "$1" >/dev/null 2>&1 || true
  run_ctr container delete "$1"
}
no_running() { [[ $(status_of "$1") != RUNNING ]]; }

teardown() {
  local id
  for id in $(run_ctr container ls -q); do remove_box "$id"; done
}


@test "run: output on both streams, input to its end, the status" {
  # ctr tells the end of its input to a task that it knows already, or never.
  code=0
  (printf 'one\ntwo\n'; eventually has_status guest RUNNING) | run_box --rm $IMAGE guest sh -c 'wc -l; echo err >&2; exit 7' >"$FILE_DIR/out" 2>"$FILE_DIR/err" || code=$?
  [ "$code" = 7 ]
  [ "$(tr -d ' ' <"$FILE_DIR/out")" = 2 ]
  grep -q err "$FILE_DIR/err"
  [ -z "$(run_ctr container ls -q)" ]
  nothing_left
}

@test "a hundred thousand lines arrive, whoever is faster" {
  run_box --rm $IMAGE guest sh -c 'i=0; while [ $i -lt 100000 ]; do echo "line $i"; i=$((i+1)); done' >"$FILE_DIR/out"
  [ "$(wc -l <"$FILE_DIR/out")" = 100000 ]
  [ "$(tail -1 "$FILE_DIR/out")" = "line 99999" ]
}

@test "a command that is not there is told once; a stopped container takes no exec" {
  run run_box --rm $IMAGE guest nosuch
  [ "$status" -ne 0 ]
  [ "$(grep -c nosuch <<<"$output")" = 1 ]
  run_box -d $IMAGE guest true
  eventually has_status guest STOPPED
  run run_ctr task exec --exec-id e1 guest true
  [ "$status" = 1 ]
  [[ $output == *"cannot exec in a stopped container"* ]]
}

@test "options as containerd and its clients make them for a name that they don't know" {
  printf '# ours\nRoot = "%s"\nNoNewKeyring = true\n' "$FILE_DIR/other" >"$FILE_DIR/options.toml"
  run_box -d --runtime-config-path "$FILE_DIR/options.toml" $IMAGE guest sleep 1000
  [ "$(ls "$FILE_DIR/other/$(cat "$FILE_DIR/namespace")")" = guest ]
  remove_box guest
  echo 'NoSuch = 1' >>"$FILE_DIR/options.toml"
  run run_box --rm --runtime-config-path "$FILE_DIR/options.toml" $IMAGE guest true
  [[ $output == *'line 4: "NoSuch": no such option'* ]]
  # The owner of the pipes goes in an older message. The guest's root goes through this folder.
  chmod 711 "$FILE_DIR"
  # shellcheck disable=SC2016
  run run_box --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 $IMAGE guest sh -c 'echo $(cat /proc/self/uid_map) >/dev/stderr'
  [ "$status" = 0 ]
  [ "${lines[-1]}" = "0 100000 65536" ]
}

@test "exec: its output and status; a terminal, and its size" {
  run_box -d $IMAGE guest sleep 1000
  run run_ctr task exec --exec-id e1 guest sh -c 'echo hi; exit 3'
  [ "$status" = 3 ]
  [ "$output" = hi ]
  run run_ctr task exec --exec-id e2 guest nosuch
  [ "$status" -ne 0 ]
  [[ $output == *'executable file not found'* ]]
  # shellcheck disable=SC2046
  on_terminal sh -c 'stty rows 33 cols 77; exec "$@"' - $(ctr_command) task exec -t --exec-id e3 guest sh -c 'until [ "$(stty size)" = "33 77" ]; do sleep 0.1; done; tty; stty size' </dev/null >"$FILE_DIR/out" 3>&-
  grep -q /dev/pts/ "$FILE_DIR/out"
  grep -q '33 77' "$FILE_DIR/out"
}

@test "a terminal for the container itself, and attach to it" {
  # shellcheck disable=SC2046
  on_terminal $(ctr_command) run --runtime $RUNTIME -d -t $IMAGE guest sh </dev/null 3>&-
  types "$FILE_DIR/attached" 'echo $((6*7))' 42 exit |
    on_terminal $(ctr_command) task attach guest >"$FILE_DIR/attached" 3>&-
  grep -q 42 "$FILE_DIR/attached"
}

@test "pause, resume, pids, metrics, and the status after a kill" {
  run_box -d $IMAGE guest sleep 1000
  run_ctr task pause guest
  has_status guest PAUSED
  run_ctr task resume guest
  has_status guest RUNNING
  run_ctr task exec -d --exec-id e1 guest sleep 1000
  run_ctr task ps guest >"$FILE_DIR/out"
  [ "$(tail -n +2 "$FILE_DIR/out" | wc -l)" = 2 ]
  grep -q e1 "$FILE_DIR/out"
  run_ctr task metrics --format json guest >"$FILE_DIR/out"
  if on_cgroup_v2; then
    jq -e '.pids.current >= 2 and .memory.usage > 0 and .cpu.usage_usec > 0' "$FILE_DIR/out"
  else
    jq -e '.pids.current >= 2 and .memory.usage.usage > 0 and .cpu.usage.total > 0' "$FILE_DIR/out"
  fi
  run_ctr task kill -s KILL guest
  eventually has_status guest STOPPED
  run run_ctr task kill -s KILL guest
  [[ $output == *"not found"* ]]
  run run_ctr task delete guest
  [[ $output == *"non-zero exit code 137"* ]]
}

# watch_events: what containerd tells from now on goes to $FILE_DIR/events.
watch_events() {
  rm -f "$FILE_DIR/events"
  $(ctr_command) events >"$FILE_DIR/events" 2>/dev/null 3>&- &
  EVENTS=$!
  eventually heard begun
}
# heard WORD: an event of our own, an image's new label, has come.
heard() {
  run_ctr image label $IMAGE "heard=$1" >/dev/null
  grep -q "/images/update .*\"$1\"" "$FILE_DIR/events"
}
# seen COUNT TOPIC: so many of the tasks' events.
seen() { [ "$(grep -c " /tasks/$2" "$FILE_DIR/events")" -ge "$1" ]; }
# end_events COMMAND...: when that is true. Whatever else the shims tell has come when they are gone.
end_events() {
  eventually "$@"
  no_shim() { [ -z "$(shims)" ]; }
  eventually no_shim
  eventually heard ended
  kill "$EVENTS"
  wait "$EVENTS" || true
}

# events_of RUNTIME: the topics of a container's life, in their order.
events_of() {
  local kind=$1
  watch_events
  run_ctr run --runtime "$kind" -d $IMAGE guest sleep 1000
  run_ctr task exec --exec-id e1 guest true
  run_ctr task pause guest
  run_ctr task resume guest
  run_ctr task kill -s TERM guest
  run_ctr task kill -s KILL guest
  eventually has_status guest STOPPED
  run_ctr task delete guest
  run_ctr container delete guest
  run_ctr run --runtime "$kind" --rm $IMAGE guest true
  end_events seen 13
  grep -o ' /tasks/.*' "$FILE_DIR/events" | jq -R -r 'capture("^ (?<topic>[^ ]+) (?<event>.*)$") | .topic + " " + (.event | fromjson | [.id, .exec_id, .exit_status, (.pid != null), (.rootfs | type)] | tostring)'
}

@test "the events are those of runc's shim, in their order" {
  events_of io.containerd.runc.v2 >"$FILE_DIR/expected"
  events_of "$RUNTIME" >"$FILE_DIR/seen"
  [ "$(wc -l <"$FILE_DIR/expected")" = 13 ]
  diff "$FILE_DIR/expected" "$FILE_DIR/seen"
}

@test "a process that ends at once has started before" {
  watch_events
  for i in $(seq 5); do run_box --rm $IMAGE "guest$i" true; done
  end_events seen 5 delete
  for i in $(seq 5); do
    [ "$(grep "\"guest$i\"" "$FILE_DIR/events" | grep -o '/tasks/[a-z]*' | tr '\n' ' ')" = "/tasks/create /tasks/start /tasks/exit /tasks/delete " ]
  done
}

@test "memory that runs out is told" {
  watch_events
  code=0
  run_box --rm --memory-limit 16777216 $IMAGE guest sh -c 'x=a; while :; do x=$x$x; done' || code=$?
  end_events seen 1 oom
  [ "$code" = 137 ]
}

@test "containerd may be away: the container goes on, and its end is told later" {
  run_box -d --log-uri "file://$FILE_DIR/logs/guest.log" $IMAGE guest sh -c 'while [ ! -e /end ]; do sleep 0.1; echo tick; done; exit 5'
  pid=$(run_ctr task ls | awk '$1 == "guest" { print $2 }')
  stop_containerd
  before=$(wc -l <"$FILE_DIR/logs/guest.log")
  goes_on() { [ "$(wc -l <"$FILE_DIR/logs/guest.log")" -gt "$before" ]; }
  eventually goes_on
  start_containerd
  has_status guest RUNNING
  [ "$(run_ctr task ls | awk '$1 == "guest" { print $2 }')" = "$pid" ]
  run_ctr task exec --exec-id e1 guest touch /end
  eventually has_status guest STOPPED
  run run_ctr task delete guest
  [[ $output == *"non-zero exit code 5"* ]]
}

@test "it ends while containerd is away" {
  run_box -d $IMAGE guest sh -c 'until [ -e /end ]; do sleep 0.1; done; exit 6'
  pid=$(run_ctr task ls | awk '$1 == "guest" { print $2 }')
  stop_containerd
  touch "/proc/$pid/root/end"
  gone() { ! kill -0 "$pid" 2>/dev/null; }
  eventually gone
  start_containerd
  has_status guest STOPPED
  run run_ctr task delete guest
  [[ $output == *"non-zero exit code 6"* ]]
}

@test "a shim that is killed leaves nothing" {
  run_box -d $IMAGE guest sleep 1000
  pid=$(run_ctr task ls | awk '$1 == "guest" { print $2 }')
  socket=$(cat "$(bundle_of guest)/address")
  kill -KILL "$(shim_pid guest)"
  gone() { ! kill -0 "$pid" 2>/dev/null; }
  eventually gone
  no_task() { [ -z "$(status_of guest)" ] || has_status guest STOPPED; }
  eventually no_task
  no_bundle() { [ ! -e "$(bundle_of guest)" ]; }
  eventually no_bundle
  [ ! -e "${socket#unix://}" ]
  nothing_left
}

@test "delete can be done again, and has nothing to do" {
  mkdir "$FILE_DIR/none"
  for _ in 1 2; do
    (cd "$FILE_DIR/none" && "$OCISHIM" -namespace "${FILE_DIR##*/}" -address "$FILE_DIR/containerd.sock" -id none -bundle "$FILE_DIR/none" delete) | od -An -tx1 >"$FILE_DIR/out"
    # DeleteResponse: exit_status (field 2) 137, exited_at.
    grep -q '^ 10 89 01 1a' "$FILE_DIR/out"
  done
}

@test "a logger gets the streams, and says when it is ready" {
  cat >"$FILE_DIR/logger" <<'END'
#!/bin/bash
exec >>"$2" 2>&1
echo "id $CONTAINER_ID arguments $*"
[ "$(env | grep -vcE '^(CONTAINER_(ID|NAMESPACE)|PWD|SHLVL|_)=')" = 0 ] && echo alone
trap '' TERM
[ "$4" = silent ] || printf x >&5
exec 5>&-
sed 's/^/err /' <&4 &
sed 's/^/out /' <&3
wait
END
  chmod +x "$FILE_DIR/logger"
  for kind in binary binary-v2; do
    run_box -d --log-uri "$kind://$FILE_DIR/logger?file=$FILE_DIR/$kind.log&mode=loud" $IMAGE guest sh -c 'echo one; echo two >&2'
    eventually has_status guest STOPPED
    run_ctr task delete guest
    run_ctr container delete guest
    grep -q "^id guest arguments file $FILE_DIR/$kind.log mode loud" "$FILE_DIR/$kind.log"
    grep -q '^alone$' "$FILE_DIR/$kind.log"
    grep -q '^out one$' "$FILE_DIR/$kind.log"
    grep -q '^err two$' "$FILE_DIR/$kind.log"
  done
  run run_box -d --log-uri "binary-v2://$FILE_DIR/logger?file=$FILE_DIR/silent.log&mode=silent" $IMAGE guest true
  [ "$status" -ne 0 ]
  [[ $output == *"the logger ended without being ready"* ]]
  run_ctr container delete guest
  nothing_left
}

@test "containers of a group share a shim" {
  run_box -d --annotation io.containerd.runc.v2.group=pod $IMAGE one sleep 1000
  run_box -d --annotation io.containerd.runc.v2.group=pod $IMAGE two sh -c 'sleep 1000'
  [ "$(cat "$(bundle_of one)/address")" = "$(cat "$(bundle_of two)/address")" ]
  [ "$(shims | wc -l)" = 1 ]
  remove_box one
  has_status two RUNNING
  [ "$(run_ctr task exec --exec-id e1 two echo still)" = still ]
  remove_box two
  nothing_left
}

@test "limits are changed while it runs" {
  run_box -d --memory-limit 67108864 $IMAGE guest sleep 1000
  grep -q '"root"' "$(bundle_of guest)/options.json" || [ "$(cat "$(bundle_of guest)/options.json")" = '{}' ]
  [ -e "$(bundle_of guest)/runtime" ]
  # ctr has no command for it: the call itself.
  "$OCIRUN_TEST_BIN/shimctl" "$(cat "$(bundle_of guest)/address")" update guest '{"memory":{"limit":33554432}}'
  if on_cgroup_v2; then
    [ "$(cat "/sys/fs/cgroup/${FILE_DIR##*/}/guest/memory.max")" = 33554432 ]
  else
    [ "$(cat "/sys/fs/cgroup/memory/${FILE_DIR##*/}/guest/memory.limit_in_bytes")" = 33554432 ]
  fi
}

@test "a checkpoint that criu refuses: why, and the container runs on" {
  command -v criu >/dev/null || skip "criu is not installed"
  ! criu check >/dev/null 2>&1 || skip "criu works on this machine"
  run_box -d $IMAGE guest sleep 1000
  run run_ctr container checkpoint --task guest checkpoint:1
  [ "$status" -ne 0 ]
  [[ $output == *"criu failed: "*"path= $(bundle_of guest)/criu-dump.log"* ]]
  [ -s "$(bundle_of guest)/criu-dump.log" ]
  has_status guest RUNNING
}

@test "a checkpoint by containerd, and a container that goes on from it" {
  command -v criu >/dev/null || skip "criu is not installed"
  why=$(criu check 2>&1) || skip "criu does not work on this machine: ${why##*$'\n'}"
  mkdir "$FILE_DIR/counts"
  run_box -d --mount "type=bind,src=$FILE_DIR/counts,dst=/out,options=rbind:rw" $IMAGE guest \
    sh -c 'i=0; while :; do i=$((i + 1)); echo $i >>/out/count; sleep 0.1; done'
  has_counted() { [ "$(tail -1 "$FILE_DIR/counts/count" || echo 0)" -gt "$1" ]; }
  eventually has_counted 5
  run_ctr container checkpoint --task guest checkpoint:1
  has_status guest RUNNING
  remove_box guest
  last=$(tail -1 "$FILE_DIR/counts/count")
  run_ctr container restore --live guest checkpoint:1
  has_status guest RUNNING
  eventually has_counted $((last + 5))
  # From where it was at the checkpoint, a little before its end.
  [ "$(grep -cx 1 "$FILE_DIR/counts/count")" = 1 ]
  [ "$(sort "$FILE_DIR/counts/count" | uniq -d | wc -l)" -lt 200 ]
  run run_ctr task exec --exec-id e1 guest sh -c 'kill -0 1 && echo alive'
  [ "$output" = alive ]
  remove_box guest
  run_ctr image rm checkpoint:1
  nothing_left
}

@test "-info and -v tell what it is" {
  [[ $("$OCISHIM" -v) == *Version* ]]
  "$OCISHIM" -info </dev/null >"$FILE_DIR/out"
  grep -aq io.containerd.ocirun.v2 "$FILE_DIR/out"
  grep -aq features/Features "$FILE_DIR/out"
  grep -aq ociVersionMin "$FILE_DIR/out"
}
