#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# `cmake --install` into an empty folder: everything is there, and works from there.
load ../lib/common

setup_file() {
  make_file_dir
  local build
  build=$(dirname "$OCIRUN_BIN")
  [ -e "$build/cmake_install.cmake" ] || skip "the programs are not in the tree that they were built in"
  DESTDIR=$FILE_DIR/dest cmake --install "$build" --prefix /usr >"$FILE_DIR/said"
}
setup() { INSTALLED=$FILE_DIR/dest/usr; }
teardown() {
  [ ! -e "$FILE_DIR/ocid.pid" ] || { remove_containers && stop_ocid; }
}
teardown_file() { rm -rf "$FILE_DIR"; }

@test "the files, and no others" {
  run find "$FILE_DIR/dest" ! -type d ! -path '*/images/*' -printf '%P %m\n'
  diff <(sort <<<"$output") - <<'END'
usr/bin/containerd-shim-ocirun-v2 777
usr/bin/ocictl 755
usr/bin/ocid 755
usr/bin/ocirun 755
usr/bin/ocirun-criu 755
usr/bin/ocirun-systemd 755
usr/bin/ocishim 755
usr/lib/systemd/system/ocid.service 644
usr/share/ocirun/seccomp.json 644
END
  [ "$(ls "$INSTALLED/share/ocirun/images" | paste -sd' ')" = "busybox hello-world" ]
  grep -qx 'ExecStart=/usr/bin/ocid' "$INSTALLED/lib/systemd/system/ocid.service"
  [[ $("$INSTALLED/bin/containerd-shim-ocirun-v2" -v) == *Version* ]]
  [ "$(readlink "$INSTALLED/bin/containerd-shim-ocirun-v2")" = ocishim ]
}

@test "a daemon from there runs its images" {
  OCID=$INSTALLED/bin/ocid OCICTL=$INSTALLED/bin/ocictl
  start_ocid
  "$OCICTL" run --rm hello-world | grep -q .
  [ "$("$OCICTL" run --rm busybox grep Seccomp: /proc/self/status | tr -d '[:space:]')" = Seccomp:2 ]
}
