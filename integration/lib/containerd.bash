# SPDX-License-Identifier: Apache-2.0
#
# For tests of the shim under Debian's containerd: `load ../lib/containerd`. Each file has a containerd
# of its own below $FILE_DIR, in a namespace of its own, which names the cgroups.

load ../lib/common

RUNTIME=io.containerd.ocirun.v2

# containerd_setup NAMESPACE [TOML]: the text is the rest of the configuration, behind its own keys.
containerd_setup() {
  # containerd finds a shim by its name in PATH.
  mkdir "$FILE_DIR/path"
  ln -s "$OCISHIM" "$FILE_DIR/path/containerd-shim-ocirun-v2"
  echo "$1" >"$FILE_DIR/namespace"
  cat >"$FILE_DIR/config.toml" <<END
version = 2
root = "$FILE_DIR/root"
state = "$FILE_DIR/state"
${2:-}
[grpc]
  address = "$FILE_DIR/containerd.sock"
END
  start_containerd
}

# import_image NAME COMMAND: busybox as NAME:latest; the command is JSON.
import_image() {
  [ -e "$FILE_DIR/rootfs" ] || "$REPO/contrib/images/make-busybox" "$FILE_DIR/rootfs"
  "$REPO/contrib/images/make-layout" "$FILE_DIR/layout" "$FILE_DIR/rootfs" \
    "{\"Env\":[\"PATH=/usr/sbin:/usr/bin:/sbin:/bin\"],\"Cmd\":$2}"
  tar -C "$FILE_DIR/layout" -cf "$FILE_DIR/image.tar" .
  run_ctr image import --base-name "$1" "$FILE_DIR/image.tar"
}

containerd_teardown() {
  stop_containerd
  # The parents of the containers' cgroups.
  find /sys/fs/cgroup -maxdepth 2 -type d -name "$(cat "$FILE_DIR/namespace")" -exec rmdir {} + || true
  # The runtime's folder of the namespace, which holds its locks.
  local state
  state=/run/containerd/ocirun/$(cat "$FILE_DIR/namespace")
  [ ! -e "$state" ] || { rm -rf "$state/.locks" && rmdir "$state"; }
  # And runc's, with which we are compared: empty, if its containers are gone.
  state=/run/containerd/runc/$(cat "$FILE_DIR/namespace")
  [ ! -e "$state" ] || rmdir "$state"
  rm -rf "$FILE_DIR"
}

start_containerd() {
  PATH="$FILE_DIR/path:$PATH" containerd -c "$FILE_DIR/config.toml" >>"$FILE_DIR/containerd.log" 2>&1 3>&- &
  echo $! >"$FILE_DIR/containerd.pid"
  eventually run_ctr version >/dev/null 2>&1
}
stop_containerd() { end_process "$FILE_DIR/containerd.pid"; }

# What `run_ctr` types, for a terminal of the test's own: on_terminal $(ctr_command) ARGS...
ctr_command() { echo ctr -a "$FILE_DIR/containerd.sock" -n "$(cat "$FILE_DIR/namespace")"; }
# ctr hands TERM on to the container that it runs, and waits.
run_ctr() { timeout -k 5 60 $(ctr_command) "$@" 3>&-; }

# What the shim of a container, and the container, leave to be seen of them.
bundle_of() { echo "$FILE_DIR/state/io.containerd.runtime.v2.task/$(cat "$FILE_DIR/namespace")/$1"; }
shims() { pgrep -f -- "-namespace $(cat "$FILE_DIR/namespace") .* -address $FILE_DIR/" || true; }

# No mount, no state of the runtime, no shim.
nothing_left() {
  ! grep -F "$FILE_DIR/state/io.containerd.runtime" /proc/self/mounts || return 1
  [ -z "$(ls "/run/containerd/ocirun/$(cat "$FILE_DIR/namespace")" 2>/dev/null)" ] || return 1
  no_shim() { [ -z "$(shims)" ]; }
  eventually no_shim
}
