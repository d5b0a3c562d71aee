#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# ocishim under containerd's CRI service, as on a node of Kubernetes.
load ../lib/containerd

setup_file() {
  make_file_dir
  mkdir "$FILE_DIR/logs"
  # On the host's network: there are no CNI plugins. A root without CAP_SYS_RESOURCE may not lower a
  # score. The namespace of the service is always this one.
  containerd_setup k8s.io "
[plugins.\"io.containerd.grpc.v1.cri\"]
  sandbox_image = \"docker.io/library/guest:latest\"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins.\"io.containerd.grpc.v1.cri\".cni]
    conf_dir = \"$FILE_DIR/cni\"
  [plugins.\"io.containerd.grpc.v1.cri\".containerd]
    default_runtime_name = \"ocirun\"
  [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.ocirun]
    runtime_type = \"$RUNTIME\"
[plugins.\"io.containerd.internal.v1.opt\"]
  path = \"$FILE_DIR/opt\""
  import_image docker.io/library/guest '["sleep","100000"]'
}
teardown_file() { containerd_teardown; }

@test "a pod: one shim, its log, exec, limits, statistics, its end" {
  coproc "$REPO/integration/shim/cri-client" "$FILE_DIR/containerd.sock" ocirun docker.io/library/guest:latest "$FILE_DIR/logs" 2>"$FILE_DIR/err" 3>&-
  client=$COPROC_PID to=${COPROC[1]}
  exec 4<&"${COPROC[0]}"
  while read -r -t 60 line <&4; do
    echo "$line" >>"$FILE_DIR/said"
    [[ $line == state* ]] && break
  done
  cat "$FILE_DIR/said" "$FILE_DIR/err"
  grep -q "^exec b'in.n' b'no.n' 7$" "$FILE_DIR/said"
  grep -q '^exec after update 0$' "$FILE_DIR/said"
  grep -q '^stats \[1, 2, 3' "$FILE_DIR/said"
  grep -q '^state 1$' "$FILE_DIR/said"
  # The pod's sandbox and its container have one shim.
  [ "$(shims | wc -l)" = 1 ]
  grep -q ' stdout F out$' "$FILE_DIR/logs/0.log"
  grep -q ' stderr F err$' "$FILE_DIR/logs/0.log"
  echo >&"$to"
  cat <&4 >>"$FILE_DIR/said"
  wait "$client"
  grep -q '^stopped 2 3$' "$FILE_DIR/said"
  nothing_left
}
