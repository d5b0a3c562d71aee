#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Mount options beyond the everyday ones, and the calls that older kernels lack.
load ../lib/runtime

setup_file() {
  runtime_setup_file
  mkdir -p "$FILE_DIR/source/sub"
  echo owned >"$FILE_DIR/source/file"
  chown 1000:2000 "$FILE_DIR/source/file"
  mount -t tmpfs tmpfs "$FILE_DIR/source/sub"
}
teardown_file() {
  umount "$FILE_DIR/source/sub"
  rm -rf "$FILE_DIR"
}

setup() {
  runtime_setup
  DENY=$OCIRUN_TEST_BIN/deny
}

# add_mount JSON: one more mount.
add_mount() { edit_config . '.mounts += [$mount]' --argjson mount "$1"; }
# user_namespace: 0..65535 of the container are 100000.. of the host.
user_namespace() {
  edit_config . '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
    | .linux.gidMappings = .linux.uidMappings'
}

@test "idmapped mounts, with a user namespace and without" {
  add_mount '{"destination": "/m", "type": "bind", "source": "'"$FILE_DIR/source"'", "options": ["bind"],
    "uidMappings": [{"containerID": 1000, "hostID": 3000, "size": 1}], "gidMappings": [{"containerID": 2000, "hostID": 4000, "size": 1}]}'
  inside 'stat -c %u:%g /m/file'
  [ "$status" -eq 0 ] && [ "$output" = 3000:4000 ]
  edit_config . '.mounts[-1].options = ["bind", "idmap=uids=1000-5000-1;gids=2000-6000-1"] | del(.mounts[-1].uidMappings, .mounts[-1].gidMappings)'
  inside 'stat -c %u:%g /m/file'
  [ "$status" -eq 0 ] && [ "$output" = 5000:6000 ]
  chmod 0755 "$FILE_DIR" && user_namespace
  # Without the mount in it: in a user namespace what covers a folder can't be left out.
  mkdir -p "$FILE_DIR/plain" && cp -a "$FILE_DIR/source/file" "$FILE_DIR/plain/"
  edit_config . '.mounts[-1].options = ["bind", "idmap"] | .mounts[-1].source = $s' --arg s "$FILE_DIR/plain"
  inside 'stat -c %u:%g /m/file'
  [ "$status" -eq 0 ] && [ "$output" = 1000:2000 ]
  # As ids of the container, and one that it has not.
  edit_config . '.mounts[-1].options = ["bind", "idmap=uids=@1000-7-1;gids=@2000-8-1"]'
  inside 'stat -c %u:%g /m/file'
  [ "$status" -eq 0 ] && [ "$output" = 7:8 ]
  edit_config . '.mounts[-1].options = ["bind", "idmap=uids=@1000-65536-1;gids=@2000-8-1"]'
  inside true
  [ "$status" -eq 1 ]
  [[ $output == *"no mapping of the container's user namespace holds @1000-65536-1" ]]
}

@test "a source that the container's root can't reach, in a user namespace" {
  mkdir -p "$FILE_DIR/closed/inner" && echo reached >"$FILE_DIR/closed/inner/file" && chmod 0700 "$FILE_DIR/closed"
  chmod 0755 "$FILE_DIR" && user_namespace
  add_mount '{"destination": "/m", "type": "bind", "source": "'"$FILE_DIR/closed/inner"'", "options": ["bind"]}'
  inside 'cat /m/file'
  [ "$status" -eq 0 ] && [ "$output" = reached ]
}

@test "tmpcopyup fills a tmpfs with what it covers; without a mode it has the folder's" {
  mkdir -p rootfs/full/sub && echo content >rootfs/full/file && ln -s file rootfs/full/link && chmod 0750 rootfs/full/sub
  chown 7:8 rootfs/full/file && chmod 0710 rootfs/full
  add_mount '{"destination": "/full", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro"]}'
  inside 'cat /full/link; stat -c %u:%g /full/file; stat -c %a /full/sub /full; touch /full/x'
  [ "${lines[0]}" = content ]
  [ "${lines[1]}" = 7:8 ]
  [ "${lines[2]}" = 750 ] && [ "${lines[3]}" = 710 ]
  [[ ${lines[4]} == *"Read-only file system"* ]]
  [ "$(cat rootfs/full/file)" = content ]
}

@test "tmpcopyup: what the options say of the root counts, and without a folder below it is a tmpfs's" {
  mkdir -p rootfs/told rootfs/own && chmod 0705 rootfs/told rootfs/own && chown 7:8 rootfs/told rootfs/own
  for place in told new-told; do
    add_mount '{"destination": "/'$place'", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "mode=1770", "uid=5", "gid=6"]}'
  done
  for place in own new; do add_mount '{"destination": "/'$place'", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}'; done
  inside 'stat -c "%n %a %u:%g" /told /new-told /own /new'
  [ "${lines[*]}" = "/told 1770 5:6 /new-told 1770 5:6 /own 705 7:8 /new 1777 0:0" ]
}

@test "a bind mount with options has those alone; rro holds below" {
  add_mount '{"destination": "/a", "type": "bind", "source": "'"$FILE_DIR/source"'", "options": ["rbind", "ro"]}'
  add_mount '{"destination": "/b", "type": "bind", "source": "'"$FILE_DIR/source"'", "options": ["rbind", "rro", "nosuid"]}'
  inside 'touch /a/sub/x && echo below a; touch /a/x; touch /b/sub/x; awk "\$2 == \"/b\" {print \$4}" /proc/mounts'
  [ "${lines[0]}" = "below a" ]
  [[ ${lines[1]} == *"/a/x: Read-only"* ]] && [[ ${lines[2]} == *"/b/sub/x: Read-only"* ]]
  [[ ${lines[3]} == ro,nosuid* ]]
}

@test "an option that nobody knows is an error where no filesystem is asked" {
  add_mount '{"destination": "/a", "type": "bind", "source": "'"$FILE_DIR/source"'", "options": ["rbind", "noexce"]}'
  inside true
  [ "$status" -eq 1 ]
  [[ $output == *'unknown option "noexce"'* ]]
  edit_config . '.mounts[-1].options = ["rbind", "sync", "lazytime", "mode=755"]'
  inside true
  [ "$status" -eq 0 ]
  [[ $output == *"option \\\"mode=755\\\" has no effect on a bind mount"* ]]
}

@test "a file on a folder, and a folder on a file: what does not fit is told" {
  add_mount '{"destination": "/etc", "type": "bind", "source": "'"$FILE_DIR/source/file"'", "options": ["bind"]}'
  inside true
  [ "$status" -eq 1 ]
  [[ $output == *"not a directory" ]]
  edit_config . '.mounts[-1] = {destination: "/etc/passwd", type: "bind", source: $dir, options: ["bind"]}' --arg dir "$FILE_DIR/source"
  inside true
  [ "$status" -eq 1 ]
  [[ $output == *"not a directory" ]]
}

@test "rootfsPropagation: of the root alone, and with an r of all mounts" {
  add_mount '{"destination": "/a", "type": "tmpfs", "source": "tmpfs"}'
  shared() { awk '$7 ~ /^shared/ {print $5}' /proc/self/mountinfo; }
  for word in shared rshared; do
    edit_config . '.linux.rootfsPropagation = $word' --arg word $word
    inside "$(declare -f shared); shared | grep -x -e / -e /a | xargs"
    [ "$output" = "$([ $word = shared ] && echo / || echo / /a)" ]
  done
}

@test "a shared bind mount below a shared root: what is mounted on one side is seen on the other, and nothing else" {
  mkdir -p "$FILE_DIR/both" rootfs/mnt
  cat >"$FILE_DIR/around" <<'END'
set -e
count() { grep -c . /proc/self/mountinfo; }
mount -t tmpfs -o mode=755 tmpfs "$FILE_DIR/both"
mkdir "$FILE_DIR/both/in" "$FILE_DIR/both/out"
mount --make-rshared /
before=$(count)
trap '"$OCIRUN" --root "$FILE_DIR/state" delete -f box' EXIT
"$OCIRUN" --root "$FILE_DIR/state" run -d box </dev/null >"$FILE_DIR/said" 2>&1 || { cat "$FILE_DIR/said"; exit 1; }
[ "$(count)" = "$before" ]
"$OCIRUN" --root "$FILE_DIR/state" exec box sh -c 'mount -t tmpfs tmpfs /mnt; mount -t tmpfs tmpfs /both/out && touch /both/out/ours'
[ ! -e "$FILE_DIR/both/out/ours" ] || before=$((before + 1)) seen=out
[ "$(count)" = "$before" ]
mount -t tmpfs tmpfs "$FILE_DIR/both/in"
touch "$FILE_DIR/both/in/host"
echo $seen $("$OCIRUN" --root "$FILE_DIR/state" exec box ls /both/in)
END
  edit_config . '.process.args = ["sleep", "100"] | .process.capabilities[] += ["CAP_SYS_ADMIN"] | .linux.rootfsPropagation = "rshared"'
  add_mount '{"destination": "/both", "type": "bind", "source": "'"$FILE_DIR/both"'", "options": ["rbind", "rshared"]}'
  export OCIRUN
  run unshare -m sh "$FILE_DIR/around"
  echo "$output"
  [ "$status" -eq 0 ] && [ "$output" = "out host" ]
  # Without a shared root it goes one way only, as with runc.
  edit_config . 'del(.linux.rootfsPropagation)'
  run unshare -m sh "$FILE_DIR/around"
  echo "$output"
  [ "$status" -eq 0 ] && [ "$output" = host ]
}

@test "links: bound themselves, copied, mounted on; dangling ones are followed inside" {
  ln -sfn target "$FILE_DIR/link"
  ln -sfn /tmp/made/here rootfs/etc/dangling
  add_mount '{"destination": "/copied", "type": "bind", "source": "'"$FILE_DIR/link"'", "options": ["bind", "copy-symlink"]}'
  add_mount '{"destination": "/etc/dangling", "type": "bind", "source": "'"$FILE_DIR/source/file"'", "options": ["bind"]}'
  inside 'readlink /copied; cat /tmp/made/here'
  [ "$status" -eq 0 ]
  [ "${lines[0]}" = target ] && [ "${lines[1]}" = owned ]
  [ ! -e /tmp/made ]
  rm -f rootfs/etc/dangling rootfs/copied
}

@test "a read-only /dev still has its devices and ptys" {
  edit_config . '(.mounts[] | select(.destination == "/dev") | .options) += ["ro"]'
  inside 'test -c /dev/null && test -c /dev/pts/ptmx && touch /dev/x'
  [[ $output == *"/dev/x: Read-only"* ]]
  # The same by a mount of its own, the way of before there were such options for /dev.
  cp "$FILE_DIR/saved.json" config.json
  edit_config . '.mounts += [{destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["remount", "ro", "nosuid"]}]'
  inside 'echo >/dev/null && ! touch /dev/x 2>/dev/null && touch /dev/shm/x && echo kept'
  [ "$output" = kept ]
  for options in '["remount"]' '["remount", "ro"]' '["bind", "remount", "nosuid"]'; do
    cp "$FILE_DIR/saved.json" config.json
    edit_config . '.mounts += [{destination: "/tmp", type: "tmpfs", source: "tmpfs", options: '"$options"'}]'
    inside true
    [ "$status" -eq 1 ]
    [[ $output == *"remount: nothing is mounted there"* ]]
  done
}

@test "a kernel without mount_setattr: attributes by remount, recursive ones refused" {
  add_mount '{"destination": "/a", "type": "bind", "source": "'"$FILE_DIR/source"'", "options": ["bind", "ro", "nosuid"]}'
  edit_config . '.process.args = ["sh", "-c", "touch /a/x; grep \" /a \" /proc/mounts; grep \" /proc/sys \" /proc/mounts"]'
  run "$DENY" mount_setattr=38 -- "${R[@]}" run box
  [[ ${lines[0]} == *"/a/x: Read-only"* ]]
  [[ ${lines[1]} == *" ro,nosuid"* ]]
  [[ ${lines[2]} == *" ro,"* ]]
  edit_config . '.mounts[-1].options = ["bind", "rro"]'
  run "$DENY" mount_setattr=38 -- "${R[@]}" run box
  [ "$status" -eq 1 ]
  [[ $output == *"recursive mount options need a newer kernel"* ]]
}

@test "a kernel without close_range flags or CLONE_INTO_CGROUP" {
  edit_config . '.process.args = ["sh", "-c", "ls /proc/self/fd | xargs; cat /proc/self/cgroup | wc -l"]'
  run "$DENY" mount_setattr=38 -- "${R[@]}" run box
  [ "$status" -eq 0 ] && [ "${lines[0]}" = "0 1 2 3" ]
}

@test "no mount namespace: the host's mounts are as before" {
  edit_config . '.linux.namespaces |= map(select(.type != "mount")) | del(.linux.maskedPaths, .linux.readonlyPaths)'
  inside 'cat /proc/self/root/etc/passwd | head -1; ls /dev/null'
  [ "$status" -eq 0 ]
  run grep "$FILE_DIR/bundle" /proc/self/mountinfo
  [ "$status" -eq 1 ]
}

@test "mounts are added to a running container, all or none, and removed" {
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
  echo '[{"destination": "/live/a", "type": "bind", "source": "'"$FILE_DIR/source"'", "options": ["rbind", "ro"]},
         {"destination": "/live/f", "type": "bind", "source": "'"$FILE_DIR/source/file"'", "options": ["bind"]},
         {"destination": "/live/t", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]}]' >"$FILE_DIR/live.json"
  "${R[@]}" mounts add box "$FILE_DIR/live.json"
  run "${R[@]}" exec box sh -c 'cat /live/a/file /live/f; touch /live/a/x; touch /live/t/x && grep -c " /live/" /proc/mounts'
  [ "${lines[0]}" = owned ] && [ "${lines[1]}" = owned ]
  [[ ${lines[2]} == *"/live/a/x: Read-only"* ]]
  [ "${lines[3]}" = 4 ]  # one is below the source
  "${R[@]}" mounts remove box "$FILE_DIR/live.json"
  live() { "${R[@]}" exec box grep -c " /live/" /proc/mounts || true; }
  [ "$(live)" = 0 ]
  noted() { jq '.liveMounts | length' "$FILE_DIR/state/box/state.json"; }
  [ "$(noted)" = 0 ]
  run "${R[@]}" mounts remove box "$FILE_DIR/live.json"
  [ "$status" -eq 1 ]
  [[ $output == *'no mount that was added is on "/live/t"'* ]]
  # Those that were made before the one that fails are gone again.
  jq '.[1].source = "/no/such"' "$FILE_DIR/live.json" >"$FILE_DIR/bad.json"
  run "${R[@]}" mounts add box "$FILE_DIR/bad.json"
  [ "$status" -eq 1 ]
  [[ $output == *"/live/f: source of the bind mount: open /no/such: no such file or directory"* ]]
  jq '.[2].options = ["nosuch=1"]' "$FILE_DIR/live.json" >"$FILE_DIR/bad.json"
  run "${R[@]}" mounts add box "$FILE_DIR/bad.json"
  [ "$status" -eq 1 ]
  [ "$(live)" = 0 ]
  # And one that can't be placed: the first is there by then.
  jq '.[1].destination = "/live/a/x/y"' "$FILE_DIR/live.json" >"$FILE_DIR/bad.json"
  run "${R[@]}" mounts add box "$FILE_DIR/bad.json"
  [ "$status" -eq 1 ]
  [ "$(live)" = 0 ]
  [ "$(noted)" = 0 ]
  run "${R[@]}" mounts add box - <<<'[{"destination": "/p", "type": "proc"}]'
  [[ $output == *'a mount of type "proc" can'"'"'t be added'* ]]
  run "${R[@]}" mounts add box - <<<'{}'
  [[ $output == *"must be a list of mounts"* ]]
  [ "$(ls /proc/self/root/live 2>&1 | wc -l)" -eq 1 ] && [ ! -e /live ]
}

@test "mounts remove takes away nothing that it did not add, whatever leads there" {
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
  echo '[{"destination": "/data/sys", "type": "tmpfs", "source": "tmpfs"}]' >"$FILE_DIR/live.json"
  "${R[@]}" mounts add box "$FILE_DIR/live.json"
  "${R[@]}" exec box sh -c 'mv /data /moved && ln -s /proc /data'
  run "${R[@]}" mounts remove box "$FILE_DIR/live.json"
  [ "$status" -eq 1 ]
  [[ $output == *'no mount that was added is on "/data/sys"'* ]]
  run "${R[@]}" exec box sh -c 'echo x >/proc/sys/kernel/core_pattern'
  [[ $output == *"Read-only file system"* ]]
  # A device's name is the container's: what is behind it is not asked for by a mount of the host.
  run "${R[@]}" mounts add box - <<<'[{"destination": "/d", "type": "ext4", "source": "/dev/loop1"}]'
  [ "$status" -eq 1 ]
  [[ $output == *'a mount of type "ext4" can'"'"'t be added'* ]]
  run "$DENY" mount_setattr=38 -- "${R[@]}" mounts add box "$FILE_DIR/live.json"
  [ "$status" -eq 1 ]
  [[ $output == *"needs Linux 5.12"* ]]
  rm rootfs/data
}

@test "mounts that are added do not follow a link out of the root" {
  mkdir -p "$FILE_DIR/outside"
  ln -sfn "$FILE_DIR/outside" rootfs/way
  edit_config . '.process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
  "${R[@]}" mounts add box - <<<'[{"destination": "/way/in", "type": "tmpfs", "source": "tmpfs"}]'
  [ -z "$(ls -A "$FILE_DIR/outside")" ]
  "${R[@]}" exec box grep -q " $FILE_DIR/outside/in " /proc/mounts
  rm rootfs/way
}
