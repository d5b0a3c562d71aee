#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Attacks through paths: links, exchanged names, mounts and devices that are not what they are called.
load ../lib/attacks

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
  while again "$started"; do
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

@test "a mask is not missed because another container renames /proc" {
  mkdir -p rootfs/other
  # Twice the same name: what is made read-only is still masked.
  edit_config . '.linux.readonlyPaths += ["/proc"]'
  race "$FILE_DIR/bundle/rootfs/proc" "$FILE_DIR/bundle/rootfs/other"
  started=0
  tries 60
  while again "$started"; do
    inside 'for d in /proc /other; do cd $d; [ ! -e version ] || { [ -c keys ] && [ -c timer_list ] && echo masked || echo unhidden; }; done'
    [[ $output != *unhidden* ]]
    [[ $output != *masked* ]] || started=$((started + 1))
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
  while again "$started"; do
    inside "cat /mnt/mine /mnt$FILE_DIR/sentinel"
    [[ $output != *secret* ]]
    [[ $output != *mine* ]] || started=$((started + 1))
  done
  # That no start came through would be no proof: nothing has looked for the secret then.
  [ "$started" -gt 0 ]
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
  run on_terminal "${R[@]}" run box
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
    run on_terminal "${R[@]}" run box
    refused
  done
  # With a devpts of its own and a console that is a link.
  rm "$FILE_DIR/dev/pts/"*
  edit_config . '.mounts += [{destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666"]}]'
  run on_terminal "${R[@]}" run box
  refused
}

@test "CVE-2026-88264: a console that is a link makes no file outside" {
  edit_config . '.process.terminal = true | .process.args = ["touch", "/ran"] | .mounts |= map(select(.destination | startswith("/dev") | not)) | .mounts += [{destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666"]}]'
  mkdir -p rootfs/dev/pts
  for readonly in false true; do
    ln -sfn "$OUT/made" rootfs/dev/console
    edit_config . '.root.readonly = $readonly' --argjson readonly $readonly
    run on_terminal "${R[@]}" run box
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

@test "a device of the host that is bound in the place of a default one keeps its owner and mode" {
  mknod "$OUT/null" c 1 3 && chmod 0600 "$OUT/null" && chown nobody "$OUT/null"
  edit_config . '.mounts += [{destination: "/dev/null", type: "bind", source: $node, options: ["bind"]}] | .linux.devices += [{type: "c", path: "/dev/null", major: 1, minor: 3, fileMode: 511, uid: 9}]' --arg node "$OUT/null"
  inside 'stat -c %t,%T /dev/null'
  [ "$status" -eq 0 ]
  [ "$output" = 1,3 ] && [ "$(stat -c %a:%U "$OUT/null")" = 600:nobody ]
}
