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
