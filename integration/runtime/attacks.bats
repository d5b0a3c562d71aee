#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Attacks on the runtime, by the number under which each became known: docs/security.md says which
# property each one tries. They are done and not described: what counts is what the host has
# afterwards, a file of ours that must not be read, moved or written. OCIRUN may name another
# runtime, one that is known to fall for some of them: that is how these tests are tested.
load ../lib/common

ATTACK=$OCIRUN_TEST_BIN/attack

setup_file() {
  make_file_dir
  make_bundle "$FILE_DIR/bundle"
  # A cgroup of this file's own: others have a box, too, while this runs.
  edit_config "$FILE_DIR/bundle" '.linux.cgroupsPath = "/ocirun-attacks"'
  cp "$ATTACK" "$FILE_DIR/bundle/rootfs/bin/attack"
}
teardown_file() { rm -rf "$FILE_DIR"; }

setup() {
  R=("$OCIRUN" --root "$FILE_DIR/state")
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

# tries N ... while again: an attack is tried N times, and where a start is slow (with a sanitizer) as
# often as 8 s allow, but 15 times at the least. TRY is how often it was.
tries() {
  TRY=0 TRIES=$1 TRY_UNTIL=$((SECONDS + 8))
}
again() {
  [ $TRY -lt "$TRIES" ] && { [ $TRY -lt 15 ] || [ $SECONDS -lt $TRY_UNTIL ]; } || return 1
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

# with_terminal COMMAND...: runs it on a terminal of its own.
with_terminal() { run timeout 60 script -qec "$(printf '%q ' "$@")" /dev/null; }

@test "CVE-2019-5736: the runtime's own program can't be written from inside" {
  before=$(sha256sum "$OCIRUN")
  edit_config . '.process.args = ["sleep", "1000"] | .process.noNewPrivileges = false | .process.capabilities |= with_entries(.value += ["CAP_SYS_PTRACE","CAP_DAC_OVERRIDE","CAP_SYS_ADMIN"])'
  printf '#!/proc/self/exe\n' >rootfs/bin/again
  cat >rootfs/bin/overwrite <<'END'
#!/bin/sh
while :; do
  for p in /proc/[0-9]*; do
    case $(readlink $p/exe) in
      *ocirun*|*runc*|*"(deleted)"*)
        attack exe ${p#/proc/} >>/won
        (echo pwned >>$p/exe) 2>/dev/null && echo written >>/won
        ;;
    esac
  done
done
END
  chmod +x rootfs/bin/again rootfs/bin/overwrite
  "${R[@]}" run -d box >/dev/null 2>&1 3>&-
  "${R[@]}" exec -d box overwrite >/dev/null 2>&1 3>&-
  tries 40
  while again; do
    "${R[@]}" exec box again >/dev/null 2>&1 || true
    "${R[@]}" exec box /proc/self/exe --version >/dev/null 2>&1 || true
  done
  [ ! -s rootfs/won ]
  [ "$(sha256sum "$OCIRUN")" = "$before" ]
}

@test "CVE-2016-9962: while an exec enters, the container can't reach the host through it" {
  edit_config . '.process.args = ["sh", "-c", "attack spy $0 >/won", $path] | .process.capabilities |= with_entries(.value += ["CAP_SYS_PTRACE","CAP_DAC_READ_SEARCH"])' --arg path "$FILE_DIR/sentinel"
  "${R[@]}" run -d box >/dev/null 2>&1 3>&-
  exec 7<"$FILE_DIR" # what a careless caller leaves open
  tries 100
  while again; do "${R[@]}" exec box true; done
  exec 7<&-
  head -3 rootfs/won
  [ ! -s rootfs/won ]
}

@test "CVE-2024-21626: no folder of the host as working folder, and no descriptor of it" {
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box >/dev/null 2>&1 3>&-
  exec 7<"$FILE_DIR" 8</
  for fd in $(seq 3 20); do
    ln -sfn "/proc/self/fd/$fd" rootfs/work
    for cwd in "/proc/self/fd/$fd" /work; do
      run "${R[@]}" exec --cwd "$cwd" box cat sentinel ".$FILE_DIR/sentinel"
      [[ $output != *secret* ]]
    done
  done
  run "${R[@]}" exec box ls /proc/self/fd
  exec 7<&- 8<&-
  [ "$(echo $output)" = "0 1 2 3" ] # 3: ls's own
  "${R[@]}" delete -f box
  exec 7<"$FILE_DIR" 8</
  for fd in $(seq 3 12); do
    edit_config . '.process.cwd = $cwd' --arg cwd "/proc/self/fd/$fd"
    inside "cat sentinel .$FILE_DIR/sentinel"
    [[ $output != *secret* ]]
  done
  exec 7<&- 8<&-
}

@test "CVE-2019-16884: nothing but a procfs on /proc, and nothing over its files" {
  for place in "/proc" "/proc tmpfs" /proc/self "/proc/sys tmpfs" /proc/1/attr /dev/../proc/self /link/attr; do
    cp "$FILE_DIR/saved.json" config.json
    ln -sfn /proc/self rootfs/link
    # shellcheck disable=SC2086
    mount_over $place
    inside 'touch /ran'
    refused
  done
  # A part of the host's procfs is none either.
  cp "$FILE_DIR/saved.json" config.json
  edit_config . '.mounts |= (map(select(.destination != "/proc")) + [{destination: "/proc", type: "bind", source: "/proc/tty", options: ["bind"]}])'
  inside 'touch /ran'
  refused
}

@test "CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: /proc and /sys that are links" {
  mkdir rootfs/bad
  for name in proc sys; do
    mv "rootfs/$name" rootfs/real && ln -s /bad "rootfs/$name"
    inside 'touch /ran'
    refused
    [[ $output == *"must be mounted on ordinary directory"* ]]
    rm "rootfs/$name" && mv rootfs/real "rootfs/$name"
  done
  ln -s /bad rootfs/exchanged
  race "$FILE_DIR/bundle/rootfs/proc" "$FILE_DIR/bundle/rootfs/exchanged"
  started=0
  tries 60
  while again; do
    inside 'grep -E " - (proc|sysfs) " /proc/self/mountinfo | cut -d" " -f5 | sort -u | xargs echo mounts:'
    # Where it started, they are on the folders that they were to be on, which may have been renamed
    # since, and not where the link leads.
    if [[ $output == "mounts: /"* ]]; then
      started=$((started + 1))
      for place in ${output##*mounts:}; do [[ $place =~ ^/(proc|sys|exchanged)(/|$) ]]; done
    fi
    [ -z "$(ls rootfs/bad)" ]
  done
  [ "$started" -gt 0 ]
}

@test "CVE-2021-30465: an exchanged link takes no mount to the host" {
  mkdir -p "$FILE_DIR/volume/a" "$FILE_DIR/evil" "$FILE_DIR/later/source"
  ln -s "$FILE_DIR/later" "$FILE_DIR/volume/b"
  ln -sfn / "$FILE_DIR/evil/source"
  echo mine >"$FILE_DIR/later/source/mine"
  edit_config . '.mounts += [
    {destination: "/v", type: "bind", source: ($dir + "/volume"), options: ["bind"]},
    {destination: "/v/a", type: "bind", source: ($dir + "/evil"), options: ["bind"]},
    {destination: "/mnt", type: "bind", source: ($dir + "/later/source"), options: ["bind"]}]' --arg dir "$FILE_DIR"
  race "$FILE_DIR/volume/a" "$FILE_DIR/volume/b"
  started=0
  tries 100
  while again; do
    inside "cat /mnt/mine /mnt$FILE_DIR/sentinel"
    [[ $output != *secret* ]]
    [[ $output != *mine* ]] || started=$((started + 1))
  done
  [ "$started" -gt $((TRY / 2)) ]
  [ "$(ls "$FILE_DIR/later")" = source ]
}

@test "CVE-2024-45310: targets of mounts are made in the container only" {
  mkdir -p "$FILE_DIR/volume/a"
  ln -s "$OUT" "$FILE_DIR/volume/b"
  edit_config . '.mounts += [
    {destination: "/v", type: "bind", source: ($dir + "/volume"), options: ["bind"]},
    {destination: "/v/a/new/folder", type: "tmpfs", source: "tmpfs"},
    {destination: "/v/a/file", type: "bind", source: ($dir + "/sentinel"), options: ["bind"]}] | .process.cwd = "/v/a/work"' --arg dir "$FILE_DIR"
  race "$FILE_DIR/volume/a" "$FILE_DIR/volume/b"
  tries 100
  while again; do
    inside true
    rm -rf "$FILE_DIR"/volume/?/new "$FILE_DIR"/volume/?/file "$FILE_DIR"/volume/?/work || true # it is raced against, too
    [ -z "$(ls -A "$OUT")" ]
  done
}

@test "CVE-2024-45310: a target that would block or act when it is opened" {
  mkfifo rootfs/fifo
  mknod rootfs/tty c 4 1
  edit_config . '.mounts += [
    {destination: "/fifo", type: "bind", source: ($dir + "/sentinel"), options: ["bind"]},
    {destination: "/tty", type: "bind", source: ($dir + "/sentinel"), options: ["bind"]}]' --arg dir "$FILE_DIR"
  inside 'cat /fifo /tty'
  [ "$status" -eq 0 ]
  [ "$(echo $output)" = "secret secret" ]
}

@test "CVE-2025-31133: what masks a path is the null device and nothing that is called so" {
  host_name=$(cat /proc/sys/kernel/hostname)
  for null in link dangling fifo file zero missing; do
    rm -rf "$FILE_DIR/dev" && mkdir "$FILE_DIR/dev"
    case $null in
      link) ln -s /proc/sys/kernel/hostname "$FILE_DIR/dev/null" ;;
      dangling) ln -s /nowhere "$FILE_DIR/dev/null" ;;
      fifo) mkfifo "$FILE_DIR/dev/null" ;;
      file) echo file >"$FILE_DIR/dev/null" ;;
      zero) mknod "$FILE_DIR/dev/null" c 1 5 ;;
    esac
    cp "$FILE_DIR/saved.json" config.json
    dev_of "$FILE_DIR/dev"
    edit_config . '.linux.maskedPaths = ["/proc/timer_list", "/proc/keys"]'
    inside 'for f in timer_list keys; do stat -c %t:%T /proc/$f; grep " /proc/$f " /proc/self/mountinfo | grep -c " - proc "; done'
    [ "$status" -eq 0 ] || refused
    [ "$status" -ne 0 ] || [ "$(echo $output)" = "1:3 0 1:3 0" ]
  done
  [ "$(cat /proc/sys/kernel/hostname)" = "$host_name" ]
}

@test "CVE-2025-52565: the console is a terminal of the container's own devpts" {
  edit_config . '.process.terminal = true | .process.args = ["sh", "-c", "stat -c %t /dev/console; tty"]'
  with_terminal "${R[@]}" run box
  [[ $output == *88*/dev/pts/0* ]]
  # Whatever the image makes of the multiplexer's name: no start, and the host's pty is untouched.
  for ptmx in link file fifo host-node; do
    rm -rf "$FILE_DIR/dev" && mkdir -p "$FILE_DIR/dev/pts"
    for n in 0 1 2 3; do ln -s /proc/sys/kernel/core_pattern "$FILE_DIR/dev/pts/$n"; done
    ln -s /proc/sysrq-trigger "$FILE_DIR/dev/console"
    case $ptmx in
      link) ln -s /dev/ptmx "$FILE_DIR/dev/pts/ptmx" ;;
      file) touch "$FILE_DIR/dev/pts/ptmx" ;;
      fifo) mkfifo "$FILE_DIR/dev/pts/ptmx" ;;
      host-node) mknod "$FILE_DIR/dev/pts/ptmx" c 1 3 ;;
    esac
    dev_of "$FILE_DIR/dev"
    edit_config . '.process.args = ["touch", "/ran"]'
    with_terminal "${R[@]}" run box
    refused
  done
  # With a devpts of its own and a console that is a link.
  rm "$FILE_DIR/dev/pts/"*
  edit_config . '.mounts += [{destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666"]}]'
  with_terminal "${R[@]}" run box
  refused
}

@test "CVE-2026-88264: a console that is a link makes no file outside" {
  edit_config . '.process.terminal = true | .process.args = ["touch", "/ran"] | .mounts |= map(select(.destination | startswith("/dev") | not)) | .mounts += [{destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666"]}]'
  mkdir -p rootfs/dev/pts
  for readonly in false true; do
    ln -sfn "$OUT/made" rootfs/dev/console
    edit_config . '.root.readonly = $readonly' --argjson readonly $readonly
    with_terminal "${R[@]}" run box
    [ -z "$(ls -A "$OUT")" ]
  done
}

@test "CVE-2025-52881: a sysctl is written to a procfs or not at all" {
  edit_config . '.linux.sysctl = {"net.ipv4.ip_unprivileged_port_start": "7"}'
  for place in "/proc/sys tmpfs" "/proc/sys/net" "/proc tmpfs"; do
    cp config.json "$FILE_DIR/sysctl.json"
    # shellcheck disable=SC2086
    mount_over $place
    inside 'touch /ran'
    refused
    cp "$FILE_DIR/sysctl.json" config.json
  done
  # No procfs, but files of the same names: it must not seem to be set.
  mkdir -p rootfs/proc/sys/net/ipv4
  echo 1024 >rootfs/proc/sys/net/ipv4/ip_unprivileged_port_start
  edit_config . '.mounts |= map(select(.destination != "/proc")) | .linux.maskedPaths = [] | .linux.readonlyPaths = []'
  inside 'touch /ran'
  refused
  [ "$(cat rootfs/proc/sys/net/ipv4/ip_unprivileged_port_start)" = 1024 ]
}

@test "CVE-2022-0811: one sysctl does not carry another" {
  for key in kernel.shm_rmid_forced+kernel.core_pattern net/../kernel/core_pattern \
    fs.mqueue.msg_max/../../../kernel/core_pattern kernel/core_pattern kernel.core_pattern \
    net.ipv4.ip_forward=1:kernel.core_pattern; do
    edit_config . '.linux.sysctl = {($key): "|/bin/false"}' --arg key "$key"
    inside 'touch /ran'
    refused
  done
  edit_config . '.linux.sysctl = {"net.ipv4.ip_unprivileged_port_start": "1\n2"}'
  inside 'touch /ran'
  refused
  # The host's namespace, by its path or by none.
  edit_config . '.linux.sysctl = {"net.ipv4.ip_unprivileged_port_start": "7"} | (.linux.namespaces[] | select(.type == "network")).path = "/proc/1/ns/net"'
  inside 'touch /ran'
  refused
  edit_config . '.linux.namespaces |= map(select(.type != "network"))'
  inside 'touch /ran'
  refused
}

@test "CVE-2026-41579, CVE-2026-47766: a /dev that is a link gets no device elsewhere" {
  edit_config . '.mounts |= map(select(.destination | startswith("/dev") | not))'
  echo untouched >"$OUT/ptmx"
  for to in "$OUT" "../../../../../../../../../../$OUT"; do
    rm -rf rootfs/dev && ln -s "$to" rootfs/dev
    inside 'touch /ran'
    [ "$(ls -A "$OUT")" = ptmx ]
    [ "$(cat "$OUT/ptmx")" = untouched ]
    rm -f rootfs/ran
  done
}

@test "CVE-2026-41579: a device's folder that is exchanged for a link" {
  mkdir -p "$FILE_DIR/volume/a"
  ln -s "$OUT" "$FILE_DIR/volume/b"
  touch "$OUT/null" && chmod 600 "$OUT/null"
  edit_config . '.mounts += [{destination: "/v", type: "bind", source: $dir, options: ["bind", "dev"]}] | .linux.devices = [{path: "/v/a/null", type: "c", major: 1, minor: 3, fileMode: 511, uid: 7, gid: 7}]' --arg dir "$FILE_DIR/volume"
  race "$FILE_DIR/volume/a" "$FILE_DIR/volume/b"
  tries 60
  while again; do
    inside true
    [ "$(ls -A "$OUT")" = null ]
    [ "$(stat -c %a:%u:%F "$OUT/null")" = "600:0:regular empty file" ]
    rm -f "$FILE_DIR"/volume/?/null
    touch "$OUT/null" && chmod 600 "$OUT/null"
  done
}

@test "CVE-2026-41579: mode and owner go to the device and to nothing behind its name" {
  mkdir -p "$FILE_DIR/volume"
  touch "$OUT/host" && chmod 600 "$OUT/host"
  mknod "$FILE_DIR/volume/null" c 1 3
  ln -s "$OUT/host" "$FILE_DIR/volume/link"
  edit_config . '.mounts += [{destination: "/v", type: "bind", source: $dir, options: ["bind", "dev"]}] | .linux.devices = [range(30) | {path: "/v/null", type: "c", major: 1, minor: 3, fileMode: (511 - (. % 2)), uid: 7, gid: 7}]' --arg dir "$FILE_DIR/volume"
  race "$FILE_DIR/volume/null" "$FILE_DIR/volume/link"
  tries 60
  while again; do
    inside true
    [ "$(stat -c %a:%u "$OUT/host")" = 600:0 ]
  done
}

@test "CVE-2026-88265: a stream that is no null device is not replaced by one" {
  mkdir -p "$FILE_DIR/dev" && rm -rf "$FILE_DIR/dev/null"
  ln -s /tmp/captured "$FILE_DIR/dev/null"
  touch rootfs/tmp/captured
  dev_of "$FILE_DIR/dev"
  edit_config . '.process.user = {uid: 1000, gid: 1000} | .process.args = ["echo", "token"]'
  run bash -c '"$@" </dev/null 2>/dev/null | cat' - "${R[@]}" run box
  [ "$output" = token ]
  [ "$(stat -c %u:%s rootfs/tmp/captured)" = 0:0 ]
}

@test "CVE-2022-29162: no capability is inheritable or ambient unless config.json says so" {
  sets='grep -E "^Cap(I|A)" /proc/self/status | cut -f2 | sort -u'
  for uid in 0 1000; do
    edit_config . '.process.user = {uid: $uid, gid: $uid} | .process.args = ["sleep", "1000"]' --argjson uid $uid
    "${R[@]}" run -d box >/dev/null 2>&1 3>&-
    for extra in "" "--cap CAP_NET_ADMIN"; do
      # shellcheck disable=SC2086
      run "${R[@]}" exec $extra box sh -c "$sets"
      [ "$output" = 0000000000000000 ] || [ "$extra" != "" ]
      # What `exec --cap` gives an ordinary user must be ambient, and it is that one alone.
      [[ ${lines[0]} == 0000000000000000 || ${lines[0]} == 0000000000001000 ]]
    done
    run "${R[@]}" exec box sh -c "$sets"
    [ "$output" = 0000000000000000 ]
    "${R[@]}" delete -f box
    inside "$sets"
    [ "$output" = 0000000000000000 ]
  done
}

@test "CVE-2023-25809: read-only cgroups are, with a cgroup namespace and without" {
  cat >rootfs/bin/walk <<'END'
#!/bin/sh
find /sys/fs/cgroup -type d | while read -r d; do mkdir "$d/made" 2>/dev/null && echo "made $d/made"; done
for f in $(find /sys/fs/cgroup -name cgroup.procs -o -name tasks -o -name release_agent -o -name notify_on_release); do
  (echo 0 >>"$f") 2>/dev/null && echo "wrote $f"
done
echo walked
END
  chmod +x rootfs/bin/walk
  [[ $(jq -c '.mounts[] | select(.type == "cgroup") | .options' config.json) == *'"ro"'* ]]
  for namespace in true false; do
    for readonly in true false; do
      edit_config . '.linux.namespaces |= (map(select(.type != "cgroup")) + if $ns then [{type: "cgroup"}] else [] end) | .root.readonly = $ro' --argjson ns $namespace --argjson ro $readonly
      inside walk
      [ "$output" = walked ]
    done
  done
}

@test "CVE-2022-0492: no release_agent to write, no cgroup hierarchy to mount" {
  inside 'mkdir -p /tmp/c; for c in net_cls net_prio perf_event memory; do mount -t cgroup -o $c none /tmp/c 2>/dev/null && echo mounted $c; done; mount -t cgroup2 none /tmp/c 2>/dev/null && echo mounted 2; find / -name release_agent 2>/dev/null | while read -r f; do (echo /x >>"$f") 2>/dev/null && echo wrote "$f"; done; echo done'
  [ "$output" = "done" ]
}

@test "GHSA-g54h-m393-cpwq: only the devices of the configuration can be opened" {
  disk=$(lsblk -dnro MAJ:MIN | head -1)
  edit_config . '.process.capabilities |= with_entries(.value += ["CAP_MKNOD"])'
  inside "cd /tmp; for d in 'c 1 1' 'c 1 11' 'c 10 200' 'c 10 229' 'c 4 1' 'b ${disk/:/ }'; do mknod d \$d && { (exec <d) 2>/dev/null && echo \"opened \$d\"; rm d; }; done; echo done"
  [ "$output" = "done" ]
}

@test "GHSA-5g49-rx9x-qfc6: cgroup names do not climb, and no other's cgroup is taken" {
  for path in /../../climbed a/../../../climbed ../climbed; do
    edit_config . '.linux.cgroupsPath = $path' --arg path "$path"
    inside 'touch /ran'
    refused
  done
  [ -z "$(find /sys/fs/cgroup -maxdepth 2 -name climbed)" ]
  cp "$FILE_DIR/saved.json" config.json
  for key in ../../pids.max $'memory.max\n' a/b; do
    edit_config . '.linux.resources.unified = {($key): "max"}' --arg key "$key"
    inside 'touch /ran'
    refused
  done
  cp "$FILE_DIR/saved.json" config.json
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box >/dev/null 2>&1 3>&-
  for path in ../.. /../.. pids:/../x pids:../..; do
    run "${R[@]}" exec --cgroup "$path" box true
    [ "$status" -ne 0 ]
  done
  run "${R[@]}" exec --cgroup / box true
  [ "$status" -eq 0 ]
}

@test "CVE-2021-43784: sizes that do not fit a message" {
  edit_config . '.process.args = ["sh", "-c", "env | wc -c"] | .process.env += [range(12) | "V\(.)=" + ("x" * 100000)]'
  run "${R[@]}" run box
  [ "$status" -eq 0 ]
  [ "$output" -gt 1200000 ]
  cp "$FILE_DIR/saved.json" config.json
  edit_config . '(.linux.namespaces[] | select(.type == "network")).path = "/" + ("n" * 70000)'
  inside 'touch /ran'
  refused
  cp "$FILE_DIR/saved.json" config.json
  chmod 755 "$FILE_DIR" && chown -R 2000:2000 rootfs
  edit_config . '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [range(300) | {containerID: ., hostID: (2000 + 2 * .), size: 1}] | .linux.gidMappings = .linux.uidMappings | .mounts |= map(.options |= ((. // []) | map(select(startswith("gid=") | not))))'
  inside 'wc -l </proc/self/uid_map'
  [ "$output" = 300 ]
  edit_config . '.linux.uidMappings = [range(341) | {containerID: ., hostID: (2000 + 2 * .), size: 1}]'
  inside 'touch /ran'
  refused
}

@test "CVE-2025-23266: hooks get nothing of the image's environment" {
  printf '#!/bin/sh\n{ env; pwd; } >%s/hook.$1\n' "$FILE_DIR" >"$FILE_DIR/hook"
  chmod +x "$FILE_DIR/hook"
  edit_config . '.process.env += ["LD_PRELOAD=/proc/self/cwd/evil.so", "CANARY=1"] | .hooks = (["prestart", "createRuntime", "createContainer", "poststart", "poststop"] | map({key: ., value: [{path: ($dir + "/hook"), args: ["hook", .]}]}) | from_entries)' --arg dir "$FILE_DIR"
  inside 'env'
  [[ $output == *CANARY* ]]
  for kind in prestart createRuntime createContainer poststart poststop; do
    [ -s "$FILE_DIR/hook.$kind" ]
    run grep -E 'LD_PRELOAD|CANARY|^PATH=.*image|BATS' "$FILE_DIR/hook.$kind"
    [ "$status" -eq 1 ]
  done
}

@test "CVE-2017-5226: no key is pushed into the terminal of the caller" {
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box >/dev/null 2>&1 3>&-
  for how in "exec box attack tty" "run other"; do
    edit_config . '.process.args = ["attack", "tty"] | .linux.cgroupsPath = "/ocirun-attacks-other"'
    run timeout 60 python3 - "${R[@]}" $how <<'END'
import os, pty, select, sys
pid, fd = pty.fork()
if pid == 0:
    if os.fork() == 0:
        os.execvp(sys.argv[1], sys.argv[1:])
    os.wait()
    # What was pushed is what the caller's shell would read next.
    if select.select([0], [], [], 0.5)[0]:
        print('pushed', os.read(0, 100))
    os._exit(0)
while True:
    try:
        data = os.read(fd, 4096)
    except OSError:
        break
    if not data:
        break
    sys.stdout.write(data.decode())
END
    [ -z "$output" ]
  done
}

@test "CVE-2016-0728: the caller's keys stay out of the container, and out of an exec" {
  edit_config . '.process.args = ["sh", "-c", "{ attack key ocirun-canary; echo none; } >/found; sleep 1000"]'
  # In a session keyring of the test's own, which ends with it.
  run python3 - "$FILE_DIR" "${R[@]}" <<'END'
import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
KEYCTL, ADD_KEY, JOIN, SESSION = 250, 248, 1, -3
libc.syscall(KEYCTL, JOIN, b'ocirun-test')
assert libc.syscall(ADD_KEY, b'user', b'ocirun-canary', b'x', 1, SESSION) > 0
def run(*words):
    return subprocess.run(list(words), stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
runtime = sys.argv[2:]
print('host:' + run(sys.argv[1] + '/bundle/rootfs/bin/attack', 'key', 'ocirun-canary'))
subprocess.run(runtime + ['run', '-d', 'box'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print('exec:' + run(*runtime, 'exec', 'box', 'sh', '-c', 'attack key ocirun-canary; echo none'))
END
  [[ $output == *"host:key found"* && $output == *"exec:none"* ]]
  [ "$(cat rootfs/found)" = none ]
}

@test "a system call of another architecture does not pass the filter" {
  edit_config . '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"], syscalls: [{names: ["mkdir"], action: "SCMP_ACT_ERRNO"}]} | .process.args = ["attack", "int80"]'
  run "${R[@]}" run box
  [ "$status" -eq 159 ] # SIGSYS
  [[ $output != *getpid* ]]
}

@test "an exec is confined as the container is" {
  edit_config . '.process.args = ["sleep", "1000"] | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["mkdir"], action: "SCMP_ACT_ERRNO"}]}'
  for nnp in true false; do
    edit_config . '.process.noNewPrivileges = $nnp' --argjson nnp $nnp
    "${R[@]}" run -d box >/dev/null 2>&1 3>&-
    for shown in 'grep -E "^(Seccomp|NoNewPrivs|Cap|Uid|Gid|Groups)" /proc/%s/status' 'cat /proc/%s/limits' 'cat /proc/%s/cgroup' \
      'for n in mnt pid net ipc uts cgroup user; do readlink /proc/%s/ns/$n; done'; do
      # shellcheck disable=SC2059
      [ "$("${R[@]}" exec box sh -c "$(printf "$shown" 1)")" = "$("${R[@]}" exec box sh -c "$(printf "$shown" self)")" ]
    done
    "${R[@]}" delete -f box
  done
}

@test "a shared mount below the bundle: nothing comes out of the container" {
  mkdir -p "$FILE_DIR/shared"
  mount -t tmpfs tmpfs "$FILE_DIR/shared"
  mount --make-shared "$FILE_DIR/shared"
  cp -a rootfs "$FILE_DIR/shared/rootfs"
  mounts=$(grep -c "$FILE_DIR" /proc/self/mountinfo)
  failed=
  for propagation in "" shared slave private; do
    edit_config . '.root.path = $root | .linux.rootfsPropagation = $p | .mounts += [{destination: "/below", type: "tmpfs", source: "tmpfs"}]' --arg root "$FILE_DIR/shared/rootfs" --arg p "$propagation"
    inside 'mount | wc -l'
    [ "$status" -eq 0 ] && [ "$(grep -c "$FILE_DIR" /proc/self/mountinfo)" = "$mounts" ] || failed=$propagation:$output
  done
  umount "$FILE_DIR/shared"
  [ -z "$failed" ]
}

@test "without pivot_root there is no second procfs to go through" {
  chmod 755 "$FILE_DIR" && chown -R 100000:100000 rootfs
  edit_config . '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings | .process.capabilities |= with_entries(.value += ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"]) | .process.args = ["sh", "-c", "mount -t proc proc /mnt 2>/dev/null && echo mounted; cd /; mkdir -p /x; chroot /x /bin/true 2>/dev/null; for i in 1 2 3 4 5 6 7 8 9; do cd ..; done; cat .$0 2>/dev/null; echo done", $path]' --arg path "$FILE_DIR/sentinel"
  run "${R[@]}" run --no-pivot box
  [ "$output" = "done" ]
}

@test "a hostile config.json: depth, length, NUL bytes, numbers that are none" {
  hostile() {
    run timeout 60 bash -c 'ulimit -v 1500000; "$@"' - "${R[@]}" run box
    refused
    [ "${#output}" -lt 4000 ]
  }
  python3 -c 'print("[" * 100000 + "]" * 100000)' >config.json && hostile
  python3 -c 'print("{\"a\":" * 100000 + "1" + "}" * 100000)' >config.json && hostile
  python3 -c 'print("{\"ociVersion\": \"" + "x" * 40000000 + "\"}")' >config.json && hostile
  : >config.json && hostile
  head -c 100000 /dev/urandom >config.json && hostile
  for edit in '.process.args = ["sh", "-c\u0000x"]' '.root.path = "rootfs\u0000x"' '.mounts[0].source = "proc\u0000"' \
    '.linux.maskedPaths = ["/proc/kcore\u0000x"]' '.hostname = "a\u0000b"' '.annotations = {"a\u0000b": "c"}' \
    '.linux.devices = [{path: "/dev/a\u0000", type: "c", major: 1, minor: 3}]' '.linux.resources.memory.limit = 1e400' \
    '.linux.resources.pids.limit = 9223372036854775808' '.process.user.uid = 4294967296' '.process.user.uid = -1' \
    '.process.user.uid = 1.5' '.linux.resources = 7' '.mounts = {}' '.process.rlimits = [{type: "RLIMIT_X", hard: 1, soft: 1}]' \
    '.process.execCPUAffinity = {initial: ("0-65535," * 200000 + "99999999999")}' \
    '.linux.resources.devices = [{allow: true, access: "rwmx"}]' '.linux.seccomp = {defaultAction: "SCMP_ACT_FOO"}'; do
    cp "$FILE_DIR/saved.json" config.json
    jq "$edit" config.json | sed 's/1.7976931348623157e+308/1e400/' >c && mv c config.json
    hostile
  done
  # Long, but right.
  cp "$FILE_DIR/saved.json" config.json
  edit_config . '.annotations = ([range(100000) | {key: "k\(.)", value: "v"}] | from_entries) | .process.execCPUAffinity = {initial: ("0-65535," * 200000 + "0")} | .process.args = ["true"]'
  run timeout 60 "${R[@]}" run box
  [ "$status" -eq 0 ]
}

@test "a runtime in a chroot: exec ends in the container, sources are those of the chroot, the host keeps its mounts" {
  jail=$FILE_DIR/jail
  mkdir -p "$jail"/{usr,proc,sys,dev} "$jail$FILE_DIR" "$jail$OCIRUN_BIN"
  for link in bin sbin lib lib64; do cp -a "/$link" "$jail"; done
  echo of the chroot >"$jail/source"
  echo of the container >rootfs/inside
  edit_config . '.process.args = ["sleep", "100"] | .mounts += [{destination: "/got", type: "bind", source: "/source", options: ["bind"]}]'
  cat >"$FILE_DIR/in-jail" <<END
cd "$FILE_DIR/bundle"
trap '"$OCIRUN" --root "$FILE_DIR/state" delete -f box' EXIT
"$OCIRUN" --root "$FILE_DIR/state" run -d \$OPTION box </dev/null >"$FILE_DIR/said" 2>&1 || { cat "$FILE_DIR/said"; exit 1; }
"$OCIRUN" --root "$FILE_DIR/state" exec box cat /inside /got
END
  cat >"$FILE_DIR/around-jail" <<END
mount --bind "$jail" "$jail"
for folder in usr proc sys dev "$FILE_DIR" "$OCIRUN_BIN"; do mount --rbind "/\$folder" "$jail/\$folder"; done
mount --make-rshared /
# Not those of other tests: one goes, here too, with the folder that it is mounted on.
mounts() { awk -v own="$FILE_DIR" 'index(\$5, own) || \$5 !~ /ocirun-test|netns/ {print \$5}' /proc/self/mountinfo; }
before=\$(mounts)
unshare -m --propagation unchanged chroot "$jail" sh "$FILE_DIR/in-jail"
[ "\$(mounts)" = "\$before" ]
END
  for option in --keep --no-pivot; do
    run unshare -m env OPTION=$option sh -e "$FILE_DIR/around-jail"
    echo "$output"
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = "of the container" ]
    [ "${lines[1]}" = "of the chroot" ]
  done
}
