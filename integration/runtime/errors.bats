#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What callers of a runtime read in its errors, a row each: containerd's shim and go-runc, Docker,
# Podman, CRI-O. The words are runc's, and OCIRUN=PATH of a new runc passes as well.
#
#   containerd  process/utils.go  "does not exist": gone. "container not running", "process already
#               finished", "no such process": a kill that came late. The text of an error is the last
#               line of level "error" in the JSON log, whose time must be one.
#   Docker      daemon/errors.go  "permission denied", "is a directory": 126. "executable file not
#               found", "no such file or directory": 127. "not a directory": a hint about mounts.
#   Podman      libpod/oci_util.go  "permission denied", "operation not permitted": 126. "executable
#               file not found in", "no such file or directory": 127. state: "does not exist".
#   CRI-O       runtime_oci.go  state and delete: "does not exist".
load ../lib/common

# variant NAME JQ: a bundle of that configuration.
variant() {
  mkdir -p "$FILE_DIR/$1"
  jq --arg root "$FILE_DIR/bundle/rootfs" --arg dir "$FILE_DIR" ".root.path = \$root | $2" "$FILE_DIR/bundle/config.json" \
    >"$FILE_DIR/$1/config.json"
}

# Containers in every state, named after it.
setup_file() {
  make_file_dir
  make_bundle "$FILE_DIR/bundle"
  R=("$OCIRUN" --root "$FILE_DIR/state")
  variant sleeps '.process.args = ["sleep", "1000"]'
  variant missing-command '.process.args = ["nosuch"]'
  variant missing-path '.process.args = ["/no/such"]'
  variant no-program '.process.args = ["/etc/passwd"]'
  variant folder '.process.args = ["/etc"]'
  variant below-file '.process.args = ["/etc/passwd/x"]'
  variant terminal '.process.terminal = true'
  variant no-rootfs '.root.path = "/no/such/rootfs"'
  variant no-source '.mounts += [{destination: "/mnt", type: "bind", source: "/no/such/source", options: ["bind"]}]'
  variant onto-file '.mounts += [{destination: "/etc/passwd", type: "bind", source: $dir, options: ["bind"]}]'
  variant bad-cwd '.process.cwd = "/etc/passwd"'
  variant bad-env '.process.env = ["NOEQ"]'
  variant failing-hook '.hooks = {createRuntime: [{path: "/bin/false"}]}'
  for id in running paused stopped; do "${R[@]}" run -d -b "$FILE_DIR/sleeps" $id </dev/null >"$FILE_DIR/$id.log" 2>&1 3>&-; done
  "${R[@]}" create -b "$FILE_DIR/sleeps" created </dev/null >"$FILE_DIR/created.log" 2>&1 3>&-
  "${R[@]}" create -b "$FILE_DIR/sleeps" paused-early </dev/null >"$FILE_DIR/paused-early.log" 2>&1 3>&-
  "${R[@]}" pause paused
  "${R[@]}" pause paused-early
  "${R[@]}" kill stopped KILL
  is_stopped() { [ "$("${R[@]}" state stopped | jq -r .status)" = stopped ]; }
  eventually is_stopped
}
teardown_file() {
  for id in running paused paused-early stopped created; do "$OCIRUN" --root "$FILE_DIR/state" delete -f $id; done
  rm -rf "$FILE_DIR"
}
setup() {
  R=("$OCIRUN" --root "$FILE_DIR/state")
  cd "$FILE_DIR"
}

# rows: each "STATUS COMMAND... | TEXT". The status, the text on stderr, and the same as the last error
# of the log. Every row that is wrong is told.
rows() {
  local row command text wanted wrong=0
  while IFS= read -r row; do
    [ -n "$row" ] || continue
    wanted=${row%% *} command=${row#* } text=${command#* | } command=${command%% | *}
    rm -f log.json
    # shellcheck disable=SC2086
    run "${R[@]}" --log log.json --log-format json $command </dev/null
    logged=$(jq -rs 'map(select(.level == "error")) | last | select(.time | sub("\\.[0-9]+"; "") | sub("[+-]..:..$"; "Z") | fromdate > 0) | .msg' log.json)
    if [ "$status" -ne "$wanted" ] || [[ $output != *"$text"* ]] || [[ $logged != *"$text"* ]]; then
      printf '%s\n  wanted: %s %s\n  status: %s\n  stderr: %s\n  logged: %s\n' "$command" "$wanted" "$text" "$status" "$output" "$logged"
      wrong=$((wrong + 1))
    fi
  done
  [ $wrong -eq 0 ]
}

@test "a container that is not there" {
  rows <<'END'
1 state no | container does not exist
1 start no | container does not exist
1 kill no | container does not exist
1 kill no KILL | container does not exist
1 delete no | container does not exist
1 pause no | container does not exist
1 resume no | container does not exist
1 ps no | container does not exist
1 update --memory 64M no | container does not exist
1 events --stats no | container does not exist
1 checkpoint no | container does not exist
255 exec no true | container does not exist
END
  "${R[@]}" delete -f no
}

@test "a container that is in another state" {
  rows <<'END'
1 create -b sleeps running | container with given ID already exists
1 run -b sleeps stopped | container with given ID already exists
1 start running | cannot start an already running container
1 start stopped | cannot start a container that has stopped
1 start paused | cannot start a container in the paused state
1 kill stopped | container not running
1 kill stopped KILL | container not running
1 kill stopped 0 | container not running
1 delete running | cannot delete container running that is not stopped: running
1 delete paused | cannot delete container paused that is not stopped: paused
1 pause stopped | container not running
1 pause paused | container not running
1 resume running | container not paused
1 resume stopped | container not paused
1 events --stats stopped | container with id stopped is not running
255 exec stopped true | cannot exec in a stopped container
255 exec --user 4294967295 running id | stands for no id
255 exec --user 0:4294967295 running id | stands for no id
255 exec paused true | cannot exec in a paused container (use --ignore-paused to override)
1 start paused-early | cannot start a container in the paused state
255 exec paused-early true | cannot exec in a paused container (use --ignore-paused to override)
1 delete paused-early | cannot delete container paused-early that is not stopped: paused
END
  "${R[@]}" resume paused-early
  "${R[@]}" start paused-early
}

@test "a command that can't be executed" {
  rows <<'END'
1 create -b missing-command box | exec: "nosuch": executable file not found in $PATH
1 run -b missing-command box | exec: "nosuch": executable file not found in $PATH
1 run -b missing-path box | exec: "/no/such": stat /no/such: no such file or directory
1 run -b no-program box | exec: "/etc/passwd": permission denied
1 run -b folder box | exec: "/etc": is a directory
1 run -b below-file box | not a directory
1 run -b bad-cwd box | not a directory
1 run -b bad-env box | invalid environment variable: missing '='
255 exec running nosuch | exec: "nosuch": executable file not found in $PATH
255 exec running /no/such | exec: "/no/such": stat /no/such: no such file or directory
255 exec running /etc/passwd | exec: "/etc/passwd": permission denied
255 exec running /etc | exec: "/etc": is a directory
255 exec running /etc/passwd/x | not a directory
255 exec --cwd /etc/passwd running true | not a directory
255 exec -e NOEQ running true | invalid environment variable: missing '='
END
}

@test "a bundle that can't become a container" {
  rows <<'END'
1 create -b nowhere box | no such file or directory
1 run -b no-rootfs box | no such file or directory
1 run -b no-source box | no such file or directory
1 run -b onto-file box | not a directory
1 create -b terminal box | cannot allocate tty if runc will detach without setting console socket
1 create -b sleeps a/b | invalid container ID format
1 run -b failing-hook box | error running createRuntime hook #0
END
  [ ! -e state/box ]
}

@test "a signal or an option that nobody knows, and what a process returns" {
  rows <<'END'
1 kill running NOSUCH | unknown signal
1 start | requires exactly 1 argument
END
  exits() {
    local wanted=$1 status=0
    shift
    "${R[@]}" "$@" || status=$?
    [ $status -eq "$wanted" ]
  }
  exits 0 exec running true
  exits 3 exec running sh -c 'exit 3'
  exits 126 exec running sh -c /etc/passwd
  exits 127 exec running sh -c nosuch
  exits 137 exec running sh -c 'kill -KILL $$'
  exits 143 exec running sh -c 'kill -TERM $$'
  exits 0 kill created 0
  exits 0 kill --all stopped KILL
}
