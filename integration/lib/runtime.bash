# SPDX-License-Identifier: Apache-2.0
#
# For the area that tests the runtime on a bundle (runtime/): `load ../lib/runtime`. Each test begins
# in the bundle, with the config.json of `ocirun spec`, and may make one container, box. A file that
# needs more has functions of its own that call these.

load ../lib/common

runtime_setup_file() {
  make_file_dir
  make_bundle "$FILE_DIR/bundle"
}
runtime_setup() {
  R=("$OCIRUN" --root "$FILE_DIR/state")
  cp "$FILE_DIR/bundle/config.json" "$FILE_DIR/saved.json"
  cd "$FILE_DIR/bundle"
}
runtime_teardown() {
  "${R[@]}" delete -f box
  cp "$FILE_DIR/saved.json" "$FILE_DIR/bundle/config.json"
}

setup_file() { runtime_setup_file; }
teardown_file() { rm -rf "$FILE_DIR"; }
setup() { runtime_setup; }
teardown() { runtime_teardown; }

# inside SCRIPT: runs a shell in the container.
inside() {
  edit_config . '.process.args = ["sh", "-c", $script]' --arg script "$1"
  run "${R[@]}" run box
}

# script_of_nobody: what comes in becomes the script of an ordinary user, in a folder with a bundle and
# the program of his own, where the container `mine` runs; "${AS_NOBODY[@]}" runs it.
script_of_nobody() {
  id nobody >/dev/null || skip "no user nobody"
  local mine=$FILE_DIR/mine
  rm -rf "$mine"
  install -d -o nobody -m 0755 "$mine" "$mine/run"
  chmod 0755 "$FILE_DIR"
  cp -a "$FILE_DIR/bundle/rootfs" "$mine/rootfs" && chown -R nobody "$mine"
  cp "$OCIRUN" "$mine/ocirun"
  cat >"$mine/script" <<'END'
set -e
cd "$1" && export XDG_RUNTIME_DIR=$1/run
./ocirun spec --rootless
jq '.process.terminal = false | .root.readonly = false | .process.args = ["sleep", "1000"]' config.json >c && mv c config.json
./ocirun run -d mine </dev/null >out 2>&1 || { cat out; exit 1; }
# refused COMMAND...: it must fail.
refused() { ! "$@" || { echo "not refused: $*"; exit 9; }; }
END
  cat >>"$mine/script"
  AS_NOBODY=(setpriv --reuid=nobody --regid=nogroup --clear-groups bash "$mine/script" "$mine")
}
