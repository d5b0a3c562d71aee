# SPDX-License-Identifier: Apache-2.0
#
# Shared by every bats file: `load ../lib/common`.
#
# The programs under test come from the environment (ctest sets it), with the release build as
# default: OCIRUN, OCISHIM, OCID, OCICTL. Everything is made below one folder of the test file,
# $FILE_DIR, and ended by the process ids that were noted.

bats_require_minimum_version 1.5.0 # `run -2 COMMAND`, `run ! COMMAND`

REPO=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
: "${OCIRUN_BIN:=$REPO/build/release/bin}"
: "${OCIRUN:=$OCIRUN_BIN/ocirun}" "${OCISHIM:=$OCIRUN_BIN/ocishim}" "${OCID:=$OCIRUN_BIN/ocid}"
: "${OCICTL:=$OCIRUN_BIN/ocictl}" "${OCIRUN_TEST_BIN:=$(dirname "$OCIRUN_BIN")/test}"

# make_file_dir: a folder for this test file, on disk (overlayfs refuses to stack on some others).
make_file_dir() {
  FILE_DIR=$(mktemp -d "/var/tmp/ocirun-test.XXXXXX")
  export FILE_DIR
}

# end_process PIDFILE: TERM, then KILL after 10 s; waits until it is gone. Its own processes only.
end_process() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || return 0
}

# eventually COMMAND...: tries for 60 s, which costs nothing where it is true at once.
eventually() {
  local end=$((SECONDS + 60))
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

# Every controller on the unified hierarchy, none on v1.
on_cgroup_v2() { [ -e /sys/fs/cgroup/cgroup.controllers ]; }

# free_port: of those that the kernel gives to no connection meanwhile.
free_port() {
  python3 - <<'END'
import random, socket
while True:
    with socket.socket() as s:
        try:
            s.bind(("", random.randrange(20000, 30000)))
        except OSError:
            continue
        print(s.getsockname()[1])
        break
END
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# on_terminal COMMAND...: runs it on a terminal of its own. The limit is outside of it: a shell between the
# terminal and `timeout` would leave the command in the background, where it may not set the terminal.
on_terminal() { timeout --foreground 60 script -qec "$(printf '%q ' "$@")" /dev/null; }

# types OUT LINE TEXT LAST: standard input of a terminal whose output is the file OUT. A shell there is
# asked for prompts until one comes; then LINE is typed, and LAST when its answer, TEXT, is there.
types() {
  prompts() { echo && grep -q '#' "$1" 2>/dev/null; }
  eventually prompts "$1"
  echo "$2"
  eventually grep -q "$3" "$1"
  echo "$4"
}

# start_registry [YAML]: a real registry on loopback with its data below $FILE_DIR; sets REGISTRY.
# The argument is appended to its configuration (auth: for one).
start_registry() {
  local port
  port=$(free_port)
  mkdir -p "$FILE_DIR/registry"
  cat >"$FILE_DIR/registry.yml" <<END
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $FILE_DIR/registry}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$port"}
${1:-}
END
  docker-registry serve "$FILE_DIR/registry.yml" >"$FILE_DIR/registry.log" 2>&1 3>&- &
  echo $! >"$FILE_DIR/registry.pid"
  eventually answers "$port"
  export REGISTRY=127.0.0.1:$port
}

stop_registry() { end_process "$FILE_DIR/registry.pid"; }

# push_layout LAYOUT NAME: copies an OCI layout (tag latest) into the registry.
push_layout() {
  skopeo copy -q --insecure-policy --preserve-digests --dest-tls-verify=false "oci:$1:latest" "docker://$REGISTRY/$2"
}

# start_ocid [OPTION...]: a private daemon below $FILE_DIR; sets OCID_HOST for ocictl.
start_ocid() {
  export OCID_HOST=unix://$FILE_DIR/ocid.sock
  [ -e "$FILE_DIR/ocid.yaml" ] || echo '{}' >"$FILE_DIR/ocid.yaml"
  "$OCID" --config "$FILE_DIR/ocid.yaml" --root "$FILE_DIR/root" --state "$FILE_DIR/state" \
    --listen "$OCID_HOST" "$@" >>"$FILE_DIR/ocid.log" 2>&1 3>&- &
  echo $! >"$FILE_DIR/ocid.pid"
  eventually "$OCICTL" version >/dev/null 2>&1 || { cat "$FILE_DIR/ocid.log" >&2; return 1; }
}

stop_ocid() { end_process "$FILE_DIR/ocid.pid"; }

# kill_ocid: the private daemon dies without a word.
kill_ocid() {
  kill -KILL "$(cat "$FILE_DIR/ocid.pid")"
  ocid_is_gone() { ! kill -0 "$(cat "$FILE_DIR/ocid.pid")" 2>/dev/null; }
  eventually ocid_is_gone
}

# remove_containers: everything that the private daemon still has.
remove_containers() {
  local ids
  ids=$("$OCICTL" ps -aq 2>/dev/null) || return 0
  # shellcheck disable=SC2086
  [ -z "$ids" ] || "$OCICTL" rm -f $ids >/dev/null
}

# make_bundle DIR: rootfs of busybox and runc's default config without a terminal.
make_bundle() {
  "$REPO/contrib/images/make-busybox" "$1/rootfs"
  (cd "$1" && "$OCIRUN" spec && jq '.process.terminal = false | .root.readonly = false' config.json >c && mv c config.json)
}

# edit_config DIR JQ-PROGRAM [JQ-OPTION...]: changes DIR/config.json.
edit_config() {
  local dir=$1 program=$2
  shift 2
  jq "$program" "$dir/config.json" "$@" >"$dir/config.json.new" && mv "$dir/config.json.new" "$dir/config.json"
}
