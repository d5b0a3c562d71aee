#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Containers through the daemon: what a person types, and what kill -9 of the daemon leaves whole.

load ../lib/daemon

@test "hello-world needs no registry" {
  [[ $("$OCICTL" run --rm hello-world) =~ ^"Hello from" ]]
}

@test "exit codes 125, 126, 127 and 128+n" {
  run "$OCICTL" run --rm --no-such busybox true
  [ "$status" -eq 125 ]
  run "$OCICTL" run --rm busybox /etc
  [ "$status" -eq 126 ]
  run -127 "$OCICTL" run --rm busybox no-such-command
  run "$OCICTL" run --rm busybox sh -c 'sleep 100 & kill -9 $!; wait $!'
  [ "$status" -eq 137 ]
  run "$OCICTL" run --rm busybox sh -c 'exit 7'
  [ "$status" -eq 7 ]
  [ -z "$("$OCICTL" ps -aq)" ]
}

@test "streams are apart, input ends, and nothing is lost at the end" {
  run --separate-stderr "$OCICTL" run --rm busybox sh -c 'echo out; echo err >&2'
  [ "$output" = out ]
  # shellcheck disable=SC2154
  [ "$stderr" = err ]
  [ "$(printf 'a\nb\n' | "$OCICTL" run -i --rm busybox wc -l)" -eq 2 ]
  [ "$("$OCICTL" run --rm busybox sh -c 'seq 200000' | tail -1)" = 200000 ]
}

@test "kill -9 of the daemon: containers run on, statuses and log lines are whole" {
  "$OCICTL" run -d --name k1 busybox sh -c 'i=0; while [ $i -lt 100000 ]; do echo line $i; i=$((i+1)); done; sleep 1; exit 9'
  "$OCICTL" run -d --name k2 -p "127.0.0.1:$(free_port):80" busybox sleep 1000
  kill_ocid
  start_ocid
  kill_ocid
  sleep 2
  start_ocid
  eventually [ "$("$OCICTL" wait k1)" -eq 9 ]
  [ "$("$OCICTL" logs k1 | awk '$2 != NR - 1 {exit 1} END {print NR}')" -eq 100000 ]
  [ "$("$OCICTL" inspect -f '{{.State.Status}}' k2)" = running ]
  [ "$("$OCICTL" exec k2 echo alive)" = alive ]
  "$OCICTL" rm -f k1 k2
}

@test "kill -9 of the daemon amid a run: the next one knows it, and starts clean without" {
  "$OCICTL" run --rm --name amid busybox sleep 1000 3>&- &
  client=$!
  runs() { [ "$("$OCICTL" inspect -f '{{.State.Running}}' amid)" = true ]; }
  eventually runs
  kill_ocid
  start_ocid
  "$OCICTL" rm -f amid
  code=0
  wait "$client" || code=$?
  [ "$code" -eq 137 ]
  [ "$("$OCICTL" run --rm --name amid busybox echo again)" = again ]
}

# folders: the containers that have one, and those that have a record, as one list each.
folders() { ls "$FILE_DIR/root/containers" "$FILE_DIR/root/overlay/containers" | grep -x '[0-9a-f]\{64\}' | sort -u; }
records() { "$OCICTL" ps -aq --no-trunc | sort; }

@test "kill -9 of the daemon at any moment: no container without its folders, no folder without its container" {
  for after in 0.01 0.02 0.04 0.06 0.1 0.15; do
    "$OCICTL" run --rm busybox true >/dev/null 2>&1 3>&- &
    "$OCICTL" run -d busybox true >/dev/null 2>&1 3>&- &
    sleep "$after"
    kill_ocid
    start_ocid  # which the clients ask what became of their containers
    wait %1 %2 || true
  done
  mkdir -p "$FILE_DIR/root/containers/$(printf 'a%.0s' {1..64})" "$FILE_DIR/root/overlay/containers/$(printf 'b%.0s' {1..64})/upper"
  gone=$("$OCICTL" create --rm busybox true)
  kill_ocid
  start_ocid
  [ "$(folders)" = "$(records)" ]
  ! records | grep -q "$gone" || return 1
  remove_containers
  [ -z "$(folders)" ]
}

@test "a full disk: run says so and leaves nothing, and what frees space still works" {
  mkdir -p "$FILE_DIR/small"
  mount -t tmpfs -o size=24m tmpfs "$FILE_DIR/small"
  "$OCID" --config /dev/null --root "$FILE_DIR/small/root" --state "$FILE_DIR/small-state" \
    --listen "unix://$FILE_DIR/small.sock" >>"$FILE_DIR/ocid.log" 2>&1 3>&- &
  echo $! >"$FILE_DIR/small.pid"
  small() { "$OCICTL" -H "unix://$FILE_DIR/small.sock" "$@"; }
  eventually small version >/dev/null 2>&1
  small create --name before busybox true
  dd if=/dev/zero of="$FILE_DIR/small/fill" bs=4k status=none || true
  codes="" said="" left=""
  for _ in 1 2 3; do
    run small run --rm busybox true
    codes+="$status " said+=$output
    left+=$(small ps -aq | wc -l)
  done
  small rm before || codes+="rm failed"
  left+=$(small ps -aq | wc -l)
  left+=$(ls -A "$FILE_DIR/small/root/containers" "$FILE_DIR/small/root/overlay/containers" "$FILE_DIR/small-state/containers" | grep -vc ':$\|^$' || true)
  rm "$FILE_DIR/small/fill"
  again=$(small run --rm busybox echo again)
  end_process "$FILE_DIR/small.pid"
  umount "$FILE_DIR/small"
  echo "$codes|$left|$said"
  [ "$codes" = "125 125 125 " ]
  [[ $said == *"no space left on device"* || $said == *"disk is full"* ]]
  [ "$left" = 11100 ]
  [ "$again" = again ]
}

@test "a published port answers on the host, is refused twice, and is free afterwards" {
  port=$(free_port)
  "$OCICTL" run -d --name web -p "$port:80" busybox httpd -f -h /etc
  fetched() { wget -q -O - "http://127.0.0.1:$port/hostname" >"$FILE_DIR/got"; }
  eventually fetched
  [ "$(cat "$FILE_DIR/got")" = "$("$OCICTL" inspect -f '{{.Config.Hostname}}' web)" ]
  run "$OCICTL" run -d --name web2 -p "$port:80" busybox httpd -f
  [ "$status" -eq 125 ]
  [[ $output =~ "port is already allocated" ]]
  "$OCICTL" rm -f web web2
  "$OCICTL" run -d --name web3 -p "$port:80" busybox sleep 100
  "$OCICTL" rm -f web3
}

@test "two daemons on one host, each with a network of its own" {
  other=unix://$FILE_DIR/other.sock
  "$OCID" --config /dev/null --root "$FILE_DIR/other" --state "$FILE_DIR/other-state" --listen "$other" >>"$FILE_DIR/ocid.log" 2>&1 3>&- &
  echo $! >"$FILE_DIR/other.pid"
  eventually "$OCICTL" -H "$other" version >/dev/null 2>&1
  # The bridge goes with the last daemon, and comes with the first container.
  stop_ocid
  start_ocid
  first=$("$OCICTL" -H "$other" run -d --name one busybox httpd -f -h /etc)
  second=$("$OCICTL" run -d --name two busybox httpd -f -h /etc)
  seen=""
  for daemon in "$other" "$OCID_HOST"; do
    name=one && [ "$daemon" = "$other" ] || name=two
    ip=$("$OCICTL" -H "$daemon" inspect -f '{{.NetworkSettings.IPAddress}}' "$name")
    seen+="${ip%.*.*} "
    eventually curl -sf -m 10 -o /dev/null "http://$ip/passwd" || seen+="deaf "
  done
  "$OCICTL" -H "$other" rm -f "$first"
  "$OCICTL" rm -f "$second"
  end_process "$FILE_DIR/other.pid"
  echo "$seen"
  read -r a b rest <<<"$seen"
  [ -n "$a" ] && [ -n "$b" ] && [ -z "$rest" ] && [ "$a" != "$b" ]
}

@test "a container starts with no capability, system call or path more than Docker gives" {
  [ "$("$OCICTL" run --rm busybox sh -c 'grep CapEff /proc/self/status | cut -f2')" = 00000000a80425fb ]
  [ "$("$OCICTL" run --rm busybox sh -c 'grep Seccomp: /proc/self/status | cut -f2')" = 2 ]
  run "$OCICTL" run --rm busybox mount -t tmpfs tmpfs /mnt
  [ "$status" -ne 0 ]
  run "$OCICTL" run --rm busybox sh -c 'echo x >/proc/sysrq-trigger'
  [ "$status" -ne 0 ]
}

@test "what is not supported is refused by name" {
  for option in --init "--userns=private" "--security-opt=seccomp=/x" "-v=named:/x"; do
    run "$OCICTL" run --rm "$option" busybox true
    [ "$status" -eq 125 ]
    [[ $output =~ "not supported" ]]
  done
  [ -z "$("$OCICTL" ps -aq)" ]
}

# refused MESSAGE OPTION...: run says so in one line and makes nothing.
refused() {
  run --separate-stderr "$OCICTL" run "${@:2}" busybox true
  [ "$status" -eq 125 ] || { echo "status $status for ${*:2}"; return 1; }
  [[ ${stderr_lines[0]} == *"$1"* ]] || { echo "$stderr"; return 1; }
}

@test "what contradicts itself or asks for more than there is is refused at once" {
  refused "Conflicting options" --rm --restart always
  refused "maximum retry count cannot be used with restart policy 'always'" --restart always:3
  refused "Minimum memory limit allowed is 6MB" -m 4m
  refused "You should always set the Memory limit when using Memoryswap limit" --memory-swap 64m
  refused "Minimum memoryswap limit should be larger than memory limit" -m 64m --memory-swap 32m
  refused "range of CPUs is from 0.01 to $(nproc).00, as there are only $(nproc) CPUs available" --cpus 999
  refused "Nano CPUs and CPU Quota cannot both be set" --cpus 1 --cpu-quota 50000
  refused "the minimum allowed cpu-shares is 2" --cpu-shares 1
  refused "Requested CPUs are not available - requested 8000, available: " --cpuset-cpus 8000
  refused "Duplicate mount point: /x" -v /tmp:/x -v /var:/x
  refused "Invalid signal: SIGNOPE" --stop-signal SIGNOPE
  refused "was found but does not match the specified platform: wanted linux/arm64" --platform linux/arm64
  [ -z "$("$OCICTL" ps -aq)" ]
}

@test "a file is not mounted on a folder, and the message says so" {
  run "$OCICTL" run --rm -v /etc/passwd:/bin busybox true
  [ "$status" -ne 0 ]
  [[ $output == *"Are you trying to mount a directory onto a file (or vice-versa)?"* ]]
  # As in Docker it is the start that says so, and the container keeps 127.
  "$OCICTL" create --name crossed -v /etc/passwd:/bin busybox true
  run "$OCICTL" start crossed
  [ "$status" -eq 1 ]
  [ "$("$OCICTL" inspect -f '{{.State.Status}} {{.State.ExitCode}}' crossed)" = "created 127" ]
  "$OCICTL" rm crossed
  run "$OCICTL" run --rm -v /etc:/etc/passwd busybox true
  [ "$status" -ne 0 ]
  [[ $output == *"Are you trying to mount a directory onto a file (or vice-versa)?"* ]]
}

@test "-v with propagation: what is mounted on one side is seen on the other, as far as it was asked for" {
  mkdir "$FILE_DIR/both"
  mount -t tmpfs tmpfs "$FILE_DIR/both"
  mount --make-shared "$FILE_DIR/both"
  mkdir "$FILE_DIR/both/"{in,out}
  for word in rshared rslave rprivate; do
    "$OCICTL" run -d --name "$word" --cap-add SYS_ADMIN -v "$FILE_DIR/both:/both:$word" busybox sleep 1000
    mount -t tmpfs tmpfs "$FILE_DIR/both/in" && touch "$FILE_DIR/both/in/host"
    "$OCICTL" exec "$word" sh -c 'mount -t tmpfs tmpfs /both/out && touch /both/out/container'
    echo "$word" $("$OCICTL" exec "$word" ls /both/in) $(ls "$FILE_DIR/both/out") >>"$FILE_DIR/seen"
    "$OCICTL" rm -f "$word"
    umount "$FILE_DIR/both/in"
    ! mountpoint -q "$FILE_DIR/both/out" || umount "$FILE_DIR/both/out"
  done
  umount "$FILE_DIR/both"
  [ "$(xargs <"$FILE_DIR/seen")" = "rshared host container rslave host rprivate" ]
}

@test "--ipc host, also where the host has no /dev/mqueue" {
  [ "$("$OCICTL" run --rm --ipc host busybox readlink /proc/self/ns/ipc)" = "$(readlink /proc/self/ns/ipc)" ]
}

@test "/etc/mtab, no IPv6, and a broadcast address, as Docker gives them" {
  [ "$("$OCICTL" run --rm busybox readlink /etc/mtab)" = /proc/mounts ]
  [ "$("$OCICTL" run --rm --read-only busybox readlink /etc/mtab)" = /proc/mounts ]
  run "$OCICTL" run --rm busybox ip addr
  [[ $output == *" brd 172."*" scope global eth0"* || $output == *" brd 192.168."*" scope global eth0"* ]]
  [[ $output != *inet6* ]]
  if [ -e /proc/sys/net/ipv6 ]; then
    [ "$("$OCICTL" run --rm busybox cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6)" = 1 ]
    [ "$("$OCICTL" run --rm --sysctl net.ipv6.conf.all.disable_ipv6=0 busybox cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6)" = 0 ]
  fi
}

@test "rules of the bridge that somebody removed come back with the next container" {
  local table
  table=ocid_$(sed -n 's/.*, instance \(.*\))$/\1/p' "$FILE_DIR/ocid.log" | tail -1)
  "$OCICTL" run --rm busybox true
  nft list table ip "$table" | grep masquerade
  nft flush table ip "$table"
  "$OCICTL" run --rm busybox true
  nft list table ip "$table" | grep masquerade
  nft delete table ip "$table"
  "$OCICTL" run --rm busybox true
  nft list table ip "$table" | grep masquerade
}

@test "what a container writes is synced, but not with --rm" {
  "$OCICTL" run -d --name kept busybox sleep 1000
  "$OCICTL" run -d --rm --name away busybox sleep 1000
  options_of() { grep " $FILE_DIR/state/containers/$("$OCICTL" inspect -f '{{.Id}}' "$1")/rootfs " /proc/self/mountinfo; }
  [[ $(options_of away) == *[,=]volatile* ]]
  [[ $(options_of kept) != *[,=]volatile* ]]
  "$OCICTL" rm -f kept away
}

@test "twenty containers at once" {
  for i in $(seq 20); do
    "$OCICTL" run --rm busybox echo "c$i" >"$FILE_DIR/c$i" 3>&- &
  done
  wait
  for i in $(seq 20); do [ "$(cat "$FILE_DIR/c$i")" = "c$i" ]; done
  [ -z "$("$OCICTL" ps -aq)" ]
}

@test "a subnet that somebody took while the bridge was away is left to them" {
  # Not `hostname -i`, which asks a name server before /etc/hosts.
  address() { "$OCICTL" run --rm busybox ip -4 -o addr show eth0 | awk '{ sub("/.*", "", $4); print $4 }'; }
  first=$(address)
  stop_ocid
  ip link add "taken$$" type bridge
  ip address add "${first%.*}.77/24" dev "taken$$"
  ip link set "taken$$" up
  start_ocid
  second=$(address) || true
  ip link delete "taken$$"
  [[ $second =~ ^[0-9.]+$ ]]
  [ "${second%.*.*}" != "${first%.*.*}" ]
}

@test "somebody who locks the network namespace does not keep a daemon from its bridge" {
  stop_ocid  # and its bridge is gone
  python3 -c 'import fcntl, time; ns = open("/proc/self/ns/net"); fcntl.flock(ns, fcntl.LOCK_EX); print("locked", flush=True); time.sleep(60)' \
    >"$FILE_DIR/locker" 3>&- &
  locker=$!
  eventually grep -q locked "$FILE_DIR/locker"
  start_ocid
  run timeout -s KILL 20 "$OCICTL" run --rm busybox ip addr show eth0
  kill "$locker"
  [ "$status" -eq 0 ]
}
