#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Standard streams and terminals through the daemon: all input arrives, whoever is slow.

bats_require_minimum_version 1.5.0
load ../lib/common

setup_file() {
  make_file_dir
  start_ocid
  head -c 50000000 /dev/urandom >"$FILE_DIR/big"
  SUM=$(sha256sum <"$FILE_DIR/big")
  export SUM
  "$OCICTL" run -d --name box busybox sleep 1000
}

teardown_file() {
  remove_containers
  stop_ocid
  rm -rf "$FILE_DIR"
}

@test "run -i: 50 MB of input arrive whole, also when the command reads late" {
  [ "$("$OCICTL" run -i --rm busybox sha256sum <"$FILE_DIR/big")" = "$SUM" ]
  [ "$("$OCICTL" run -i --rm busybox sh -c 'sleep 2; sha256sum' <"$FILE_DIR/big")" = "$SUM" ]
}

@test "exec -i: 50 MB of input arrive whole, also when the command reads late" {
  [ "$("$OCICTL" exec -i box sha256sum <"$FILE_DIR/big")" = "$SUM" ]
  [ "$("$OCICTL" exec -i box sh -c 'sleep 2; sha256sum' <"$FILE_DIR/big")" = "$SUM" ]
}

@test "50 MB in and out again at once" {
  [ "$("$OCICTL" run -i --rm busybox cat <"$FILE_DIR/big" | sha256sum)" = "$SUM" ]
}

@test "output comes while the input is stuck" {
  run "$OCICTL" exec -i box sh -c 'seq 100000 | tail -1; sleep 1; echo done' <"$FILE_DIR/big"
  [ "${lines[0]}" = 100000 ]
  [ "${lines[1]}" = done ]
}
