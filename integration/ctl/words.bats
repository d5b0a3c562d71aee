#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What is typed, and what ocictl says to it: Docker 20.10's grammar, words and exit codes.

load ../lib/daemon

# says CODE STDERR ARGUMENT...: the exit code, and the whole of stderr.
says() {
  local code=$1 wanted=$2
  shift 2
  run --separate-stderr "$OCICTL" "$@"
  # shellcheck disable=SC2154
  [ "$status" -eq "$code" ] && [ "$stderr" = "$wanted" ] && return
  printf '%s: code %s, wanted %s\n%s\n--- wanted\n%s\n' "$*" "$status" "$code" "$stderr" "$wanted"
  return 1
}

# refuses WORDS ARGUMENT...: 125, the words, and where to read on; nothing is made.
refuses() {
  local words=$1 verb=$2
  says 125 "$words
See 'ocictl $verb --help'." "${@:2}"
}

usage() { # VERB ERROR USAGE ABOUT
  printf '"ocictl %s" %s.\nSee '"'ocictl %s --help'"'.\n\nUsage:  ocictl %s %s\n\n%s' "$1" "$2" "$1" "$1" "$3" "$4"
}

@test "the number of words, for every verb" {
  many='[OPTIONS] CONTAINER [CONTAINER...]'
  says 1 "$(usage stop 'requires at least 1 argument' "$many" 'Stop one or more running containers')" stop
  says 1 "$(usage run 'requires at least 1 argument' '[OPTIONS] IMAGE [COMMAND] [ARG...]' 'Run a command in a new container')" run
  says 1 "$(usage rename 'requires exactly 2 arguments' 'CONTAINER NEW_NAME' 'Rename a container')" rename a
  says 1 "$(usage images 'requires at most 1 argument' '[OPTIONS] [REPOSITORY[:TAG]]' 'List images')" images a b
  says 1 "$(usage ps 'accepts no arguments' '[OPTIONS]' 'List containers')" ps x
  says 1 "$(usage port 'requires at least 1 and at most 2 arguments' 'CONTAINER [PRIVATE_PORT[/PROTO]]' 'List port mappings or a specific mapping for the container')" port
  says 1 "$(usage 'container inspect' 'requires at least 1 argument' "$many" 'Display detailed information on one or more containers')" container inspect
  for verb in create start restart kill pause unpause rm rmi wait inspect; do
    run "$OCICTL" $verb
    [ "$status" -eq 1 ]
    [ "${lines[0]}" = "\"ocictl $verb\" requires at least 1 argument." ]
  done
  for verb in logs attach pull history; do
    run "$OCICTL" $verb
    [ "$status" -eq 1 ]
    [ "${lines[0]}" = "\"ocictl $verb\" requires exactly 1 argument." ]
  done
  for verb in "exec x" "tag x"; do
    run "$OCICTL" $verb
    [ "$status" -eq 1 ]
    [[ ${lines[0]} =~ "2 arguments." ]]
  done
}

@test "options: unknown, without a value, with a wrong one, and every form that is right" {
  refuses 'unknown flag: --foo' run --foo busybox
  refuses "unknown shorthand flag: 'Z' in -Z" run -itZ busybox
  refuses "flag needs an argument: 't' in -t" stop -t
  refuses 'flag needs an argument: --name' run --name
  refuses 'invalid argument "x" for "-t, --time" flag: strconv.ParseInt: parsing "x": invalid syntax' stop -t x a
  refuses 'invalid argument "maybe" for "-d, --detach" flag: strconv.ParseBool: parsing "maybe": invalid syntax' run -d=maybe busybox
  [ "$("$OCICTL" run --rm=true -d=false -it=false -e=X=1 -eY=2 -- busybox sh -c 'echo $X $Y; exit 0')" = "1 2" ]
  [ -z "$("$OCICTL" ps -aq)" ]
}

@test "commands: unknown ones, groups, help" {
  says 1 "ocictl: 'nosuch' is not an ocictl command.
See 'ocictl --help'" nosuch
  says 1 'unknown help topic: nosuch' help nosuch
  run "$OCICTL" help stop
  [ "$status" -eq 0 ]
  [[ $output =~ "Usage:  ocictl stop [OPTIONS] CONTAINER [CONTAINER...]" ]]
  [ "$output" = "$("$OCICTL" stop --help)" ]
  run "$OCICTL" image nosuch
  [ "$status" -eq 1 ]
  "$OCICTL" system info | grep -q 'Server Version'
  "$OCICTL" container ls -a
  "$OCICTL" container list -a
  "$OCICTL" image list
  "$OCICTL" --version | grep -q '^ocictl version '
}

@test "values that cannot be are refused before anything is made" {
  refuses 'invalid argument "bogus" for "--dns" flag: bogus is not an ip address' run --dns bogus busybox
  refuses 'invalid argument "!" for "--dns-search" flag: ! is not a valid domain' run --dns-search '!' busybox
  refuses 'invalid argument "bogus" for "--add-host" flag: bad format for add-host: "bogus"' run --add-host bogus busybox
  refuses 'invalid argument "a:b" for "--add-host" flag: invalid IP address in add-host: "b"' run --add-host a:b busybox
  refuses "invalid argument \"=x\" for \"-l, --label\" flag: invalid label '=x': empty name" run --label =x busybox
  refuses 'invalid argument "=x" for "-e, --env" flag: invalid environment variable: =x' run -e =x busybox
  refuses 'invalid argument "x" for "--cpus" flag: failed to parse x as a rational number' run --cpus x busybox
  refuses "invalid argument \"12q\" for \"-m, --memory\" flag: invalid size: '12q'" run -m 12q busybox
  refuses 'invalid argument "foo" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR' run -a foo busybox
  refuses 'invalid argument "type=bind" for "--mount" flag: target is required' run --mount type=bind busybox
  refuses 'invalid argument "x" for "--ulimit" flag: invalid ulimit argument: x' run --ulimit x busybox
  refuses "invalid argument \"x\" for \"--sysctl\" flag: sysctl 'x' is not whitelisted" run --sysctl x busybox
  refuses 'ocictl: invalid range format for --expose: x, error: strconv.ParseUint: parsing "x": invalid syntax.' run --expose x busybox
  refuses 'ocictl: Invalid containerPort: x.' run -p x busybox
  refuses 'ocictl: Invalid ip address: a.' run -p a:8080:80 busybox
  refuses 'ocictl: Invalid proto: foo.' run -p 80/foo busybox
  refuses 'ocictl: Invalid ranges specified for container and host Ports: 3-9 and 1-2.' run -p 1-2:3-9 busybox
  refuses 'ocictl: maximum retry count must be an integer.' run --restart on-failure:x busybox
  refuses 'ocictl: Conflicting options: --restart and --rm.' run --rm --restart always busybox
  refuses 'ocictl: invalid value: 200. Valid memory swappiness range is 0-100.' run --memory-swappiness 200 busybox
  refuses 'ocictl: open /none: no such file or directory.' run --env-file /none busybox
  refuses 'invalid argument "bogus" for "-f, --filter" flag: bad format of filter (expected name=value)' ps --filter bogus
  says 1 "Invalid filter 'status=bogus'" ps --filter status=bogus
  says 1 'Conflicting options: -a and -d' run -d -a stdout busybox
  says 1 '"foo" is not a valid value for --type' inspect --type foo x
  [ -z "$("$OCICTL" ps -aq)" ]
}

@test "what is not there, in the words of each verb" {
  for verb in rm logs attach port "start -a" "exec" "container inspect"; do
    [ "$verb" = exec ] && tail=true || tail=
    says 1 'Error: No such container: nope' $verb nope $tail
  done
  for verb in stop kill restart pause unpause wait; do
    says 1 'Error response from daemon: No such container: nope' $verb nope
  done
  says 1 'Error response from daemon: No such container: n1
Error response from daemon: No such container: n2
Error: failed to start containers: n1, n2' start n1 n2
  says 1 'Error response from daemon: No such container: nope
Error: failed to rename container named nope' rename nope x
  says 1 'Error: No such object: nope' inspect nope
  says 1 'Error: No such image: nope' rmi nope
  says 0 'Error: No such container: nope' rm -f nope
  [ -z "$output" ]
}

@test "a pull that fails is told once" {
  run --separate-stderr "$OCICTL" run --rm 127.0.0.1:1/no/such
  [ "$status" -eq 125 ]
  [ "${stderr_lines[0]}" = "Unable to find image '127.0.0.1:1/no/such:latest' locally" ]
  [[ ${stderr_lines[1]} =~ ^"ocictl: Error response from daemon: " ]]
  [ "${stderr_lines[2]}" = "See 'ocictl run --help'." ]
  [ "${#stderr_lines[@]}" -eq 3 ]
}

@test "a daemon that cannot be reached is told in one line, with the reason" {
  says 1 "Cannot connect to the ocid daemon at unix:///nowhere.sock. Is the ocid daemon running?" -H unix:///nowhere.sock ps
  for host in tcp://127.0.0.1:1 /run/x.sock unix://relative foo; do
    says 1 "invalid daemon socket \"$host\": it must be unix:// and an absolute path, as unix:///run/ocid/ocid.sock" -H "$host" ps
  done
  chmod 755 "$FILE_DIR"
  chmod 600 "$FILE_DIR/ocid.sock"
  cp "$OCICTL" "$FILE_DIR/ocictl"
  run setpriv --reuid=65534 --regid=65534 --clear-groups "$FILE_DIR/ocictl" ps
  [ "$status" -eq 1 ]
  [ "$output" = "Got permission denied while trying to connect to the ocid daemon socket at $OCID_HOST: dial unix ${OCID_HOST#unix://}: connect: permission denied" ]
}

@test "logs --details and -t, history -H, rmi --no-prune, ps --filter health, an IPv6 port" {
  "$OCICTL" run --name det busybox echo line
  [ "$("$OCICTL" logs --details det)" = " line" ]
  [[ $("$OCICTL" logs -t det) =~ ^[0-9-]{10}T[0-9:]{8}\.[0-9]{9}Z\ line$ ]]
  [[ $("$OCICTL" history -H=false --format '{{.CreatedSince}}' busybox) =~ ^[0-9-]+T[0-9:]+Z ]]
  "$OCICTL" tag busybox again:1
  "$OCICTL" rmi --no-prune again:1
  [ "$("$OCICTL" ps -a --filter health=none --format '{{.Names}}')" = det ]
  [ -z "$("$OCICTL" ps -aq --filter health=healthy)" ]
  says 1 "Invalid filter 'health=bogus'" ps --filter health=bogus
  "$OCICTL" create --name six -p '[::1]:8080:80' busybox
  [ "$("$OCICTL" inspect -f '{{json .HostConfig.PortBindings}}' six)" = '{"80/tcp":[{"HostIp":"::1","HostPort":"8080"}]}' ]
  "$OCICTL" rm det six
}

@test "run --attach takes the streams that it names" {
  run --separate-stderr "$OCICTL" run --rm -a stderr busybox sh -c 'echo out; echo err >&2'
  [ "$output" = "" ]
  [ "$stderr" = err ]
  run --separate-stderr "$OCICTL" run --rm -a STDOUT busybox sh -c 'echo out; echo err >&2'
  [ "$output" = out ]
  [ "$stderr" = "" ]
  # With neither output, only the input is waited for; what was given arrives.
  id=$(head -c 3000000 /dev/zero | timeout 10 "$OCICTL" run -i -a stdin --name taker busybox sh -c 'wc -c; sleep 3; exit 4')
  [[ $id =~ ^[0-9a-f]{64}$ ]]
  [ "$("$OCICTL" inspect -f '{{.State.Running}}' taker)" = true ]
  [ "$("$OCICTL" wait taker)" = 4 ]
  [ "$("$OCICTL" logs taker)" = 3000000 ]
  "$OCICTL" rm taker
}

@test "a template that is none is told in Go's words before the daemon is asked" {
  none=(-H unix:///nowhere.sock)
  says 64 'template parsing error: template: :1: function "foo" not defined' "${none[@]}" inspect -f '{{foo}}' x
  says 64 'template parsing error: template: :1: {{break}} outside {{range}}' "${none[@]}" version -f '{{break}}'
  says 64 'template parsing error: template: :1: unclosed action' "${none[@]}" info -f '{{.ID'
  says 64 'Error parsing format: template: :1: unexpected EOF' "${none[@]}" events --format '{{if .ID}}'
  says 1 'template parsing error: template: :1: function "foo" not defined' ps --format '{{.ID | foo}}'
  says 1 'template parsing error: template: :1:2: executing "" at <.Nope>: can'"'"'t evaluate field Nope in type *formatter.imageContext' images --format '{{.Nope}}'
  says 1 'template parsing error: template: :1:9: executing "" at <.RootFS.Nope>: map has no entry for key "Nope"' inspect -f '{{.RootFS.Nope}}' busybox
  says 1 'Error: No such object: nope' inspect -f '{{.Id}}' nope
  [ "$("$OCICTL" inspect -f '{{range .RepoTags}}{{.}}{{break}}{{end}}' busybox)" = busybox:latest ]
}

@test "tables and templates look as Docker's" {
  [[ $("$OCICTL" images busybox | head -1) =~ ^"REPOSITORY   TAG       IMAGE ID       CREATED" ]]
  [ "$("$OCICTL" ps | tr -s ' ')" = "CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES" ]
  [[ $(TZ=UTC "$OCICTL" images --format '{{.CreatedAt}}' busybox) =~ ^[0-9-]{10}\ [0-9:]{8}\ \+0000\ UTC$ ]]
  "$OCICTL" create --name zone busybox
  for format in 'ps -a' images; do
    # shellcheck disable=SC2086
    [[ $(TZ=XYZ-5:30 "$OCICTL" $format --format '{{.CreatedAt}}' | head -1) =~ ^[0-9-]{10}\ [0-9:]{8}\ \+0530\ XYZ$ ]]
  done
  [[ $(TZ=XYZ-5:30 "$OCICTL" history --format '{{.CreatedAt}}' busybox) =~ ^[0-9-]{10}T[0-9:]{8}\+05:30$ ]]
  "$OCICTL" rm zone
  "$OCICTL" images --format '{{json .}}' busybox | jq -es '.[0] | keys_unsorted == (keys_unsorted | sort)'
  "$OCICTL" image inspect busybox | jq -e '.[0] | .VirtualSize == .Size and has("Container") and has("ContainerConfig")'
}
