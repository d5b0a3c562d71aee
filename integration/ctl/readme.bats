#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What README.md tells a person to type works as it stands there.

load ../lib/common

setup_file() { make_file_dir; }
teardown_file() { rm -rf "$FILE_DIR"; }

# The code block of README.md behind the line that contains $1.
block() {
  awk -v after="$1" 'index($0, after) {on = 1} on && /^```/ {if (inside) exit; inside = 1; next} inside' "$REPO/README.md"
}

@test "the runtime alone, step by step, from a folder as a fresh clone has it" {
  mkdir -p "$FILE_DIR/clone/build/release" "$FILE_DIR/bin"
  ln -s "$OCIRUN_BIN" "$FILE_DIR/clone/build/release/bin"
  ln -s "$REPO/contrib" "$FILE_DIR/clone/contrib"
  # sudo with its own PATH, as Debian configures it.
  printf '#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin exec "$@"\n' >"$FILE_DIR/bin/sudo"
  chmod +x "$FILE_DIR/bin/sudo"
  block "The runtime alone" >"$FILE_DIR/steps"
  [ -s "$FILE_DIR/steps" ]
  cd "$FILE_DIR/clone"
  PATH=$FILE_DIR/bin:$PATH run "$BATS_TEST_DIRNAME/on-terminal" 'see:#' 'type:echo pid $$\n' 'see:pid 1' \
    'type:exit 7\n' -- sh -e "$FILE_DIR/steps"
  [ "$status" -eq 7 ]
}

@test "every file that it links to is there" {
  grep -oE '\]\([^)#]+\)' "$REPO/README.md" | tr -d '()]' | while read -r link; do
    case $link in
      http*) ;;
      docs/performance.md) ;; # comes with the measurements
      *) [ -e "$REPO/$link" ] || { echo "$link is not there"; exit 1; } ;;
    esac
  done
}

@test "every program that it names by path is one that the build makes" {
  grep -oE 'build/release/bin/[a-z]+' "$REPO/README.md" | sort -u | while read -r path; do
    [ -x "$OCIRUN_BIN/${path##*/}" ] || { echo "$path"; exit 1; }
  done
}
