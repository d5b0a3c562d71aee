#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# ocishim and ocirun below a stock Docker: what a user of `docker` sees. Docker before 23 knows its
# shim by the name of runc's alone, and runtimes by the path of a program. SHIM and RUNTIME_PROGRAM
# name others, Docker's own: so these tests are tested.
load ../lib/containerd

: "${SHIM:=$OCISHIM}" "${RUNTIME_PROGRAM:=$OCIRUN}"
NAME=io.containerd.ocirun.v2

setup_file() {
  command -v dockerd >/dev/null || skip "docker.io is not installed"
  make_file_dir
  # Not the host's, if it has one, which dockerd would take.
  containerd_setup "${FILE_DIR##*/}" 'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]'
  ln -s "$SHIM" "$FILE_DIR/path/containerd-shim-runc-v2"
  # Its key would be /etc/docker/key.json.
  echo "{\"deprecated-key-path\": \"$FILE_DIR/key.json\"}" >"$FILE_DIR/daemon.json"
  export DOCKER_HOST=unix://$FILE_DIR/docker.sock DOCKER_CONFIG=$FILE_DIR/config
  start_dockerd
  "$REPO/contrib/images/make-busybox" "$FILE_DIR/rootfs"
  tar -C "$FILE_DIR/rootfs" -c . | docker import - busybox >/dev/null
}

teardown_file() {
  [ -n "${FILE_DIR:-}" ] || return 0
  end_process "$FILE_DIR/docker.pid"
  # A daemon that was killed leaves its folder mounted on itself, for good.
  ! mountpoint -q "$FILE_DIR/docker" || umount "$FILE_DIR/docker"
  ! grep -F "$FILE_DIR" /proc/self/mounts || return 1
  containerd_teardown
}

teardown() {
  docker ps -aq | xargs -r docker rm -f >/dev/null
}

# A daemon that leaves the host's network alone.
start_dockerd() {
  dockerd --config-file "$FILE_DIR/daemon.json" -H "$DOCKER_HOST" -p "$FILE_DIR/docker.pid" \
    --data-root "$FILE_DIR/docker" --exec-root "$FILE_DIR/exec" --live-restore \
    --containerd "$FILE_DIR/containerd.sock" --containerd-namespace "${FILE_DIR##*/}" --containerd-plugins-namespace "${FILE_DIR##*/}-plugins" \
    --bridge none --iptables=false --ip-forward=false --ip-masq=false --userland-proxy=false \
    --add-runtime "$NAME=$RUNTIME_PROGRAM" --default-runtime $NAME \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/${FILE_DIR##*/}" >>"$FILE_DIR/dockerd.log" 2>&1 3>&- &
  disown
  eventually docker version >/dev/null 2>&1 || { cat "$FILE_DIR/dockerd.log" >&2; return 1; }
}

# kill_daemons: both die without a word.
kill_daemons() {
  local name
  for name in docker containerd; do
    kill -KILL "$(cat "$FILE_DIR/$name.pid")"
    gone() { ! kill -0 "$(cat "$FILE_DIR/$name.pid")" 2>/dev/null; }
    eventually gone
    rm "$FILE_DIR/$name.pid"
  done
}

run_box() { docker run -d --name box "$@" >/dev/null; }
inspect() { docker inspect -f "$1" box; }
is() { [ "$(inspect "$1")" = "$2" ]; }
ended() { is '{{.State.Status}}' exited; }
box_pid() { inspect '{{.State.Pid}}'; }
shim_of() { awk '/^PPid:/ { print $2 }' "/proc/$1/status"; }

# in_cgroup V1 V2: what a file of the container's cgroup says.
in_cgroup() {
  local id
  id=$(inspect '{{.Id}}')
  if on_cgroup_v2; then
    cat "/sys/fs/cgroup/${FILE_DIR##*/}/$id/$2"
  else
    cat "/sys/fs/cgroup/${1%%.*}/${FILE_DIR##*/}/$id/$1"
  fi
}

# Beside what containerd has: no state of the runtime, no cgroup, no mount of a container.
nothing_of_docker_left() {
  nothing_left
  [ -z "$(ls "$FILE_DIR/exec/runtime-$NAME/${FILE_DIR##*/}")" ] || return 1
  [ -z "$(find /sys/fs/cgroup -mindepth 2 -maxdepth 3 -path "*/${FILE_DIR##*/}/*" -type d)" ] || return 1
  ! grep -F "$FILE_DIR/docker/overlay2/" /proc/self/mounts || return 1
}

@test "run: output on both streams, input to its end, the status, and nothing is left" {
  run --separate-stderr docker run --rm busybox sh -c 'echo out; echo err >&2; exit 3'
  [ "$status" = 3 ]
  [ "$output" = out ]
  # shellcheck disable=SC2154
  [ "${stderr##*$'\n'}" = err ]  # behind a warning, if the host does not forward
  printf 'one\ntwo\n' >"$FILE_DIR/in"
  [ "$(docker run --rm -i busybox wc -l <"$FILE_DIR/in")" = 2 ]
  [ -z "$(docker ps -aq)" ]
  nothing_of_docker_left
}

@test "the runtime by its name, which is run by this shim" {
  run_box --runtime $NAME busybox sleep 1000
  is '{{.HostConfig.Runtime}}' $NAME
  cmp "/proc/$(shim_of "$(box_pid)")/exe" "$SHIM"
  run docker run --rm --runtime io.containerd.nosuch.v2 busybox true
  [ "$status" = 125 ]
}

@test "a hundred thousand lines arrive, and are in the log" {
  docker run --name box busybox seq 100000 >"$FILE_DIR/out"
  [ "$(wc -l <"$FILE_DIR/out")" = 100000 ]
  [ "$(docker logs box | tail -1)" = 100000 ]
}

@test "run -d: the shim is this one; ps, logs and the state, then the end" {
  run_box busybox sh -c 'trap "exit 5" USR1; echo begun; while :; do sleep 0.1; done'
  pid=$(box_pid)
  cmp "$SHIM" "/proc/$(shim_of "$pid")/exe"
  [ "$(docker ps --format '{{.Names}} {{.State}}')" = 'box running' ]
  is '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' 'running 0 false'
  begun() { [ "$(docker logs box)" = begun ]; }
  eventually begun
  docker kill -s USR1 box
  [ "$(docker wait box)" = 5 ]
  is '{{.State.Status}} {{.State.Pid}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}}' 'exited 0 5 false '
  docker start box
  is '{{.State.Status}}' running
}

@test "a command that is not there, or no program" {
  run -127 docker run --rm busybox nosuch
  [[ $output == *'exec: "nosuch": executable file not found in $PATH'* ]]
  run -126 docker run --rm busybox /etc/passwd
  [[ $output == *'permission denied'* ]]
}

@test "exec: output and status, input, user, folder; the container goes on" {
  run_box busybox sleep 1000
  run docker exec box sh -c 'echo hi; exit 3'
  [ "$status" = 3 ]
  [ "$output" = hi ]
  [ "$(echo through | docker exec -i box cat)" = through ]
  [ "$(docker exec -u www-data -w /var/www -e A=b box sh -c 'id -un; pwd; echo $A' | tr '\n' ' ')" = 'www-data /var/www b ' ]
  run -126 docker exec box nosuch
  [[ $output == *'exec: "nosuch": executable file not found in $PATH'* ]]
  docker exec -d box touch /done
  eventually docker exec box test -e /done
  is '{{.State.Status}}' running
}

@test "a terminal with its size, for the container and for exec, and attach to it" {
  on_terminal sh -c 'stty rows 33 cols 77; exec "$@"' - docker run --rm -it busybox sh -c 'until [ "$(stty size)" = "33 77" ]; do sleep 0.1; done; tty; stty size; exit 4' >"$FILE_DIR/out" </dev/null 3>&- && code=0 || code=$?
  [ "$code" = 4 ]
  grep -q /dev/pts/ "$FILE_DIR/out" || grep -q /dev/console "$FILE_DIR/out"
  grep -q '33 77' "$FILE_DIR/out"
  run_box -it busybox sh
  on_terminal sh -c 'stty rows 22 cols 66; exec "$@"' - docker exec -it box sh -c 'until [ "$(stty size)" = "22 66" ]; do sleep 0.1; done; tty; stty size' >"$FILE_DIR/out" </dev/null 3>&-
  grep -q /dev/pts/ "$FILE_DIR/out"
  grep -q '22 66' "$FILE_DIR/out"
  types "$FILE_DIR/attached" 'echo $((6*7))' 42 'exit 6' | on_terminal docker attach box >"$FILE_DIR/attached" 3>&- || [ $? -eq 6 ]
  grep -q 42 "$FILE_DIR/attached"
  eventually ended
  is '{{.State.ExitCode}}' 6
}

@test "stop and kill: 143 by TERM, 137 by KILL; --init is process 1" {
  run_box --init busybox sleep 1000
  docker exec box ps -o pid,args >"$FILE_DIR/out"
  grep -q '^ *1 /sbin/docker-init -- sleep 1000' "$FILE_DIR/out"
  docker stop box
  is '{{.State.ExitCode}}' 143
  docker start box
  docker kill box
  eventually ended
  is '{{.State.ExitCode}}' 137
  docker rm box
  # Process 1 does not hear TERM.
  run_box busybox sleep 1000
  docker stop -t 1 box
  is '{{.State.ExitCode}}' 137
  run docker kill box
  [ "$status" = 1 ]
  [[ $output == *'is not running'* ]]
}

@test "pause holds it, and unpause lets it go on" {
  run_box busybox sh -c 'i=0; while :; do i=$((i + 1)); echo $i; sleep 0.05; done'
  count() { docker logs box | wc -l; }
  has_counted() { [ "$(count)" -gt "$1" ]; }
  eventually has_counted 3
  docker pause box
  is '{{.State.Status}} {{.State.Paused}}' 'paused true'
  [[ $(docker ps --format '{{.Status}}') == *'(Paused)' ]]
  run docker exec box true
  [ "$status" != 0 ]
  [[ $output == *'is paused'* ]]
  # What was on its way may still come; the container says a line each 50 ms.
  holds() { before=$(count) && sleep 1 && [ "$(count)" = "$before" ]; }
  eventually holds
  docker unpause box
  eventually has_counted "$before"
  is '{{.State.Status}}' running
}

@test "limits are set, shown by stats, and updated; top" {
  run_box --memory 64m --pids-limit 50 --cpus 0.5 busybox sleep 1000
  [ "$(in_cgroup memory.limit_in_bytes memory.max)" = 67108864 ]
  [ "$(in_cgroup pids.max pids.max)" = 50 ]
  docker exec -d box sleep 999
  [ "$(docker stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' box | sed 's/^[0-9.]*[KM]iB/N/')" = 'N / 64MiB 2' ]
  docker top box -o pid,args >"$FILE_DIR/out"
  grep -q 'sleep 1000$' "$FILE_DIR/out"
  grep -q 'sleep 999$' "$FILE_DIR/out"
  [ "$(wc -l <"$FILE_DIR/out")" = 3 ]
  docker update --memory 128m --memory-swap 256m --pids-limit 70 box
  [ "$(in_cgroup memory.limit_in_bytes memory.max)" = 134217728 ]
  [ "$(in_cgroup pids.max pids.max)" = 70 ]
  is '{{.HostConfig.Memory}}' 134217728
}

@test "memory that runs out is told" {
  docker run --name box --memory 16m --memory-swap 16m busybox sh -c 'x=a; while :; do x=$x$x; done' || code=$?
  [ "$code" = 137 ]
  is '{{.State.OOMKilled}} {{.State.ExitCode}}' 'true 137'
}

@test "a restart policy, and restart" {
  run_box --restart on-failure:2 busybox sh -c 'echo turn; exit 9'
  gave_up() { is '{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}' '2 exited 9'; }
  eventually gave_up
  [ "$(docker logs box | grep -c turn)" = 3 ]
  docker rm box
  run_box busybox sleep 1000
  pid=$(box_pid)
  docker restart -t 0 box
  [ "$(box_pid)" != "$pid" ]
  is '{{.State.Status}}' running
}

@test "a health check" {
  run_box --health-cmd 'test -e /well' --health-interval 200ms --health-retries 2 busybox sh -c 'touch /well; sleep 1000'
  eventually is '{{.State.Health.Status}}' healthy
  docker exec box rm /well
  eventually is '{{.State.Health.Status}}' unhealthy
}

@test "daemons that are killed find their containers, and what became of them" {
  run_box busybox sh -c 'i=0; while [ ! -e /end ]; do i=$((i + 1)); echo $i; sleep 0.05; done; exit 5'
  docker run -d --name other busybox sh -c 'until [ -e /end ]; do sleep 0.1; done; exit 6' >/dev/null
  pid=$(box_pid)
  other=$(docker inspect -f '{{.State.Pid}}' other)
  shim=$(shim_of "$pid")
  kill_daemons
  touch "/proc/$other/root/end"
  other_gone() { [ ! -e "/proc/$other" ]; }
  eventually other_gone
  [ -e "/proc/$pid" ]
  start_containerd
  start_dockerd
  is '{{.State.Status}} {{.State.Pid}}' "running $pid"
  [ "$(shim_of "$pid")" = "$shim" ]
  [ "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' other)" = 'exited 6' ]
  docker exec box touch /end
  [ "$(docker wait box)" = 5 ]
  # No line is lost, and none is there twice.
  docker logs box >"$FILE_DIR/out"
  diff "$FILE_DIR/out" <(seq "$(tail -1 "$FILE_DIR/out")")
}

@test "a shim that is killed: the container ends, and can be started again" {
  run_box busybox sleep 1000
  pid=$(box_pid)
  kill -KILL "$(shim_of "$pid")"
  eventually ended
  is '{{.State.ExitCode}}' 137
  gone() { [ ! -e "/proc/$pid" ]; }
  eventually gone
  docker start box
  docker exec box true
  docker rm -f box
  nothing_of_docker_left
}
