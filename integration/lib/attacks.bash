# SPDX-License-Identifier: Apache-2.0
#
# Attacks on the runtime, by the number under which each became known: docs/security.md says which
# property each one tries. They are done and not described: what counts is what the host has
# afterwards, a file of ours that must not be read, moved or written. OCIRUN may name another
# runtime, one that is known to fall for some of them: that is how these tests are tested.
# OCIRUN_WITHOUT="CALL=ERRNO..." denies it system calls: what stands in for them is tried, too.
# `load ../lib/attacks`.

load ../lib/common

ATTACK=$OCIRUN_TEST_BIN/attack

setup_file() {
  make_file_dir
  make_bundle "$FILE_DIR/bundle"
  # A cgroup of this file's own: others have a box, too, while this runs.
  edit_config "$FILE_DIR/bundle" ".linux.cgroupsPath = \"/ocirun-$(basename "$BATS_TEST_FILENAME" .bats)\""
  cp "$ATTACK" "$FILE_DIR/bundle/rootfs/bin/attack"
}
teardown_file() { rm -rf "$FILE_DIR"; }

# All folders of a name in the hierarchies of this host.
cgroups_named() { find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d -name "$1"; }

setup() {
  # shellcheck disable=SC2206
  R=(${OCIRUN_WITHOUT:+"$OCIRUN_TEST_BIN/deny" $OCIRUN_WITHOUT --} "$OCIRUN" --root "$FILE_DIR/state")
  OUT=$FILE_DIR/outside
  rm -rf "$OUT" && mkdir "$OUT"
  echo secret >"$FILE_DIR/sentinel"
  cp "$FILE_DIR/bundle/config.json" "$FILE_DIR/saved.json"
  cp -a "$FILE_DIR/bundle/rootfs" "$FILE_DIR/rootfs.saved"
  cd "$FILE_DIR/bundle"
}
teardown() {
  [ -z "${RACER:-}" ] || { kill -KILL "$RACER"; wait "$RACER" 2>/dev/null || true; }
  "${R[@]}" delete -f box
  # Those that a test made in place of the container's.
  cgroups_named "ocirun-$(basename "$BATS_TEST_FILENAME" .bats)" | xargs -r rmdir
  rm -rf "$FILE_DIR/bundle/rootfs" "$FILE_DIR/volume" && mv "$FILE_DIR/rootfs.saved" "$FILE_DIR/bundle/rootfs"
  cp "$FILE_DIR/saved.json" "$FILE_DIR/bundle/config.json"
}

# inside SCRIPT: runs a shell in the container.
inside() {
  edit_config . '.process.args = ["sh", "-c", $script]' --arg script "$1"
  run timeout 60 "${R[@]}" run box
}

# refused: it did not start, for a reason that is told; the script of `inside` makes /ran.
refused() {
  [ "$status" -ne 0 ] && [ "$status" -ne 124 ] && [ ! -e rootfs/ran ] && [ -n "$output" ]
}

# race A B: exchanges two names until the test ends.
race() {
  "$ATTACK" swap "$1" "$2" 3>&- &
  RACER=$!
}

# tries N ... while again [STARTED]: an attack is tried N times, and where a start is slow (with a
# sanitizer) as often as 8 s allow, but 15 times at the least. Where the exchange lets one start in
# seven succeed, 15 can all fail by chance: while STARTED, how often it did, is 0, it goes on, up to
# 300 times. TRY is how often it was.
tries() {
  TRY=0 TRIES=$1 TRY_UNTIL=$((SECONDS + 8))
}
again() {
  if [ $TRY -ge "$TRIES" ] || { [ $TRY -ge 15 ] && [ $SECONDS -ge $TRY_UNTIL ]; }; then
    [ "${1:-1}" -eq 0 ] && [ $TRY -lt 300 ] || return 1
  fi
  TRY=$((TRY + 1))
}

# mount_over DESTINATION [TYPE]: a bind of an empty folder, or a filesystem.
mount_over() {
  mkdir -p "$FILE_DIR/empty"
  edit_config . '.mounts += [if $type == "" then {destination: $d, type: "bind", source: $dir, options: ["bind"]} else {destination: $d, type: $type, source: $type} end]' \
    --arg d "$1" --arg type "${2:-}" --arg dir "$FILE_DIR/empty"
}

# dev_of DIR: the folder becomes the container's /dev, with the little that a shell needs.
dev_of() {
  edit_config . '.mounts |= (map(select(.destination | startswith("/dev") | not)) + [{destination: "/dev", type: "bind", source: $dir, options: ["bind"]}])' --arg dir "$1"
}
