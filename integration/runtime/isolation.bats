#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Mounts, devices, users, capabilities, seccomp, limits, hooks: what a container is made of.
load ../lib/runtime

@test "pid 1, own host name, loopback up, no other process" {
  inside 'echo $$; ls /proc | grep -c "^[0-9]"; ip link show lo | grep -c UP'
  [ "${lines[0]}" = 1 ]
  [ "${lines[1]}" -lt 6 ]
  [ "${lines[2]}" = 1 ]
}

@test "masked paths are empty, read-only paths refuse, and the devices are there" {
  inside 'wc -c </proc/keys; ls /sys/firmware | wc -l; echo 1 2>&1 >/proc/sys/kernel/panic; for d in null zero full random urandom tty; do [ -c /dev/$d ] || echo no $d; done; readlink /dev/ptmx; readlink /dev/fd'
  [ "${lines[0]}" = 0 ]
  [ "${lines[1]}" = 0 ]
  [[ $output == *"Read-only file system"* ]]
  [[ $output != *"no "[nzfrut]* ]]
  [[ $output == *pts/ptmx* && $output == */proc/self/fd* ]]
}

@test "capabilities, no_new_privs and user are those of config.json" {
  edit_config . '.process.user = {uid: 33, gid: 33, additionalGids: [7], umask: 63} | .process.capabilities = {bounding: ["CAP_CHOWN","CAP_NET_ADMIN"]}'
  inside 'id; umask; grep -E "CapEff|CapBnd|NoNew" /proc/self/status'
  [[ $output == *"uid=33"*"gid=33"*"7"* ]]
  [[ $output == *0077* ]]
  [[ $output == *"CapEff:"*0000000000000000* ]]
  [[ $output == *"CapBnd:"*0000000000001001* ]]
  [[ $output == *"NoNewPrivs:"*1* ]]
}

@test "seccomp: refused with the errno that the profile names, with and without no_new_privs" {
  for nnp in true false; do
    edit_config . '.process.noNewPrivileges = $nnp | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_S390X"], syscalls: [{names: ["mkdir","mkdirat","no_such_call"], action: "SCMP_ACT_ERRNO", errnoRet: 11}]}' --argjson nnp $nnp
    inside 'grep Seccomp: /proc/self/status; mkdir /tmp/x'
    [[ $output == *"Seccomp:"*2* ]]
    [[ $output == *"Resource temporarily unavailable"* ]]
  done
  [ "$(ls "$FILE_DIR/state/.seccomp" | wc -l)" = 1 ]
  edit_config . '.linux.seccomp.defaultAction = "SCMP_ACT_X"'
  inside true
  [ "$status" -eq 1 ]
  [[ $output == *'unknown action "SCMP_ACT_X"'* ]]
}

@test "limits reach the cgroup, are seen inside, and hold" {
  edit_config . '.linux.resources += {memory: {limit: 67108864, swap: 67108864}, pids: {limit: 40}, cpu: {shares: 512, quota: 50000, period: 100000}}'
  if on_cgroup_v2; then
    inside 'cd /sys/fs/cgroup && cat memory.max memory.swap.max pids.max cpu.weight cpu.max'
    [ "${lines[*]}" = "67108864 0 40 59 50000 100000" ]
  else
    inside 'cd /sys/fs/cgroup && cat memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes pids/pids.max cpu/cpu.shares cpu/cpu.cfs_quota_us'
    [ "${lines[*]}" = "67108864 67108864 40 512 50000" ]
  fi
  inside 'x=a; while :; do x=$x$x; done'
  [ "$status" -eq 137 ]
}

@test "a device that is not allowed can't be opened, even when its node is there" {
  edit_config . '.process.capabilities.bounding += ["CAP_MKNOD"] | .process.capabilities.effective += ["CAP_MKNOD"] | .process.capabilities.permitted += ["CAP_MKNOD"]'
  inside 'mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem'
  [[ $output == *"Operation not permitted"* ]]
}

@test "bind mounts, tmpfs, read-only ones, files, and a relative destination" {
  mkdir -p "$FILE_DIR/shared"
  echo data >"$FILE_DIR/shared/file"
  edit_config . '.mounts += [
    {destination: "/in", type: "bind", source: $dir, options: ["rbind", "ro"]},
    {destination: "/etc/one", type: "bind", source: ($dir + "/file"), options: ["bind"]},
    {destination: "/t", type: "tmpfs", source: "tmpfs", options: ["size=1m", "nosuid", "noexec"]}]' --arg dir "$FILE_DIR/shared"
  inside 'cat /in/file /etc/one; touch /in/x; df -k /t | tail -1 | awk "{print \$2}"; grep " /t " /proc/mounts'
  [ "${lines[0]}" = data ]
  [ "${lines[1]}" = data ]
  [[ $output == *"Read-only file system"* ]]
  [[ $output == *1024* ]]
  [[ $output == *"nosuid,noexec"* ]]
}

@test "a mount that fails names itself, and nothing is left" {
  edit_config . '.mounts += [{destination: "/x", type: "bind", source: "/no/such/place", options: ["bind"]}]'
  inside true
  [ "$status" -eq 1 ]
  [[ $output == *'mounting "/no/such/place" to rootfs at "/x"'*"no such file or directory"* ]]
  [ ! -e "$FILE_DIR/state/box" ]
}

@test "links in the image do not move a mount outside" {
  mkdir -p "$FILE_DIR/outside"
  ln -sfn "$FILE_DIR/outside" rootfs/escape
  ln -sfn ../../../../../../../etc rootfs/climb
  edit_config . '.mounts += [{destination: "/escape/a", type: "tmpfs", source: "tmpfs"}, {destination: "/climb/b", type: "tmpfs", source: "tmpfs"}]'
  inside 'grep -c -E "escape|climb|outside|/etc/b" /proc/mounts'
  [ "$status" -eq 0 ]
  [ ! -e "$FILE_DIR/outside/a" ]
  [ ! -e /etc/b ]
  rm -f rootfs/escape rootfs/climb
}

@test "sysctls of own namespaces are set, the host's are refused" {
  edit_config . '.linux.sysctl = {"net.ipv4.ip_unprivileged_port_start": "7"}'
  inside 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start'
  [ "$output" = 7 ]
  edit_config . '.linux.sysctl = {"vm.swappiness": "7"}'
  inside true
  [ "$status" -eq 1 ]
  [[ $output == *'"vm.swappiness" belongs to the whole host'* ]]
}

@test "a user namespace maps root" {
  chmod 755 "$FILE_DIR" && chown -R 100000:100000 rootfs
  edit_config . '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'
  inside 'id -u; stat -c %u /dev/mqueue; cat /proc/self/uid_map; echo x >/dev/null && echo written; touch /made; sleep 0'
  chown -R 0:0 rootfs
  [ "$status" -eq 0 ]
  [ "${lines[0]}" = 0 ]
  [ "${lines[1]}" = 0 ] # the ipc namespace is its own
  [[ $output == *100000* && $output == *written* ]]
}

@test "a joined network namespace, and one of the wrong type" {
  unshare -n sleep 100 3>&- &
  pid=$!
  apart() { [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ]; }
  eventually apart
  edit_config . '(.linux.namespaces[] | select(.type == "network")).path = $path' --arg path "/proc/$pid/ns/net"
  inside 'readlink /proc/self/ns/net'
  expected=$(readlink /proc/$pid/ns/net)
  edit_config . '(.linux.namespaces[] | select(.type == "network")).path = $path' --arg path "/proc/$pid/ns/pid"
  got=$output
  inside true
  kill "$pid"
  [ "$got" = "$expected" ]
  [[ $output == *"is not a network namespace"* ]]
}

@test "hooks run in order, with the state, and a failing one undoes the container" {
  cat >"$FILE_DIR/hook" <<END
#!/bin/sh
echo "\$1 \$(cat)" >>"$FILE_DIR/hooks.log"
END
  chmod +x "$FILE_DIR/hook"
  edit_config . '.hooks = ({} | .prestart = [{path: $h, args: ["hook", "prestart"]}] | .createRuntime = [{path: $h, args: ["hook", "createRuntime"]}] | .poststart = [{path: $h, args: ["hook", "poststart"]}] | .poststop = [{path: $h, args: ["hook", "poststop"]}])' --arg h "$FILE_DIR/hook"
  inside true
  [ "$status" -eq 0 ]
  [ "$(cut -d' ' -f1 "$FILE_DIR/hooks.log" | xargs)" = "prestart createRuntime poststart poststop" ]
  head -1 "$FILE_DIR/hooks.log" | cut -d' ' -f2- | jq -e '.id == "box" and .pid > 1 and .status == "created"'
  edit_config . '.hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", "echo because >&2; exit 3"]}]'
  inside true
  [ "$status" -eq 1 ]
  [[ $output == *"error running createRuntime hook #0"*"status 3"*because* ]]
  [ ! -e "$FILE_DIR/state/box" ]
  edit_config . '.hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", "echo because; exec sleep 100"], timeout: 1}]'
  inside true
  [ "$status" -eq 1 ]
  [[ $output == *"did not end in 1000 ms: because"* ]]
}

@test "a startContainer or poststart hook that fails is the end of the container" {
  edit_config . '.process.args = ["sleep", "1000"] | .linux.cgroupsPath = "/ocirun-hooks"
    | .hooks.poststop = [{path: "/bin/sh", args: ["sh", "-c", "cat >\($out)"]}]' --arg out "$FILE_DIR/poststop.json"
  # Perhaps nobody has reaped it.
  ended() { ! grep '^State:' "/proc/$(cat "$FILE_DIR/pid")/status" 2>/dev/null | grep -qv zombie; }
  for kind in startContainer poststart; do
    rm -f "$FILE_DIR/poststop.json"
    # The one resolves in the container, the other on the host.
    edit_config . '.hooks |= with_entries(select(.key == "poststop")) + {($kind): [{path: "/bin/sh", args: ["sh", "-c", "echo because >&2; exit 3"]}]}' --arg kind "$kind"
    "${R[@]}" create --pid-file "$FILE_DIR/pid" box </dev/null >/dev/null 2>&1 3>&-
    run "${R[@]}" start box
    [ "$status" -eq 1 ]
    [[ $output == *"error running $kind hook #0"*because* ]]
    ended
    jq -e '.id == "box" and .status == "stopped"' "$FILE_DIR/poststop.json"
    [ ! -e "$FILE_DIR/state/box" ]
    [ -z "$(find /sys/fs/cgroup -maxdepth 2 -name ocirun-hooks)" ]
    # What engines do next.
    run "${R[@]}" delete box
    [ "$status" -eq 1 ]
    [[ $output == *"container does not exist"* ]]
    "${R[@]}" delete -f box
    run "${R[@]}" run -d box </dev/null 3>&-
    [ "$status" -eq 1 ]
    [ ! -e "$FILE_DIR/state/box" ]
  done
  # A command that can't be executed leaves a container that has stopped, as with runc.
  rm "$FILE_DIR/poststop.json"
  printf '#!/nosuch\n' >rootfs/bin/broken && chmod +x rootfs/bin/broken
  edit_config . '.hooks |= with_entries(select(.key == "poststop")) | .process.args = ["broken"]'
  "${R[@]}" create box </dev/null >/dev/null 2>&1 3>&-
  run "${R[@]}" start box
  [ "$status" -eq 1 ]
  [ "$("${R[@]}" state box | jq -r .status)" = stopped ]
  [ ! -e "$FILE_DIR/poststop.json" ]
  "${R[@]}" delete box
  [ -e "$FILE_DIR/poststop.json" ]
}

@test "a poststop hook that fails is a warning, and the next one runs" {
  edit_config . '.hooks = {poststop: [{path: "/bin/false"}, {path: "/bin/touch", args: ["touch", $ran]}]}' --arg ran "$FILE_DIR/ran"
  inside true
  [ "$status" -eq 0 ]
  [[ $output == *"error running poststop hook #0"* ]]
  [ -e "$FILE_DIR/ran" ]
  edit_config . 'del(.hooks)'
}

@test "a working folder that is missing is made, also below a read-only root; by an exec it is not" {
  edit_config . '.root.readonly = true | .process.cwd = "/srv/here"'
  inside pwd
  [ "$output" = /srv/here ]
  edit_config . '.root.readonly = false | .process.cwd = "/" | .process.args = ["sleep", "1000"]'
  "${R[@]}" run -d box </dev/null >/dev/null 2>&1 3>&-
  run "${R[@]}" exec --cwd /nowhere box true
  [ "$status" -eq 255 ]
  [[ $output == *'chdir to cwd ("/nowhere") set in config.json failed: no such file or directory'* ]]
  [ ! -e rootfs/nowhere ]
  rmdir rootfs/srv/here rootfs/srv
}

@test "a name that is set twice, by its field and as a sysctl, must be the same" {
  for name in hostname domainname; do
    edit_config . '.[$n] = "a" | .linux.sysctl = {("kernel." + $n): "b"}' --arg n $name
    inside true
    [ "$status" -eq 1 ]
    [[ $output == *"\"kernel.$name\" conflicts with the field \"$name\""* ]]
    edit_config . '.[$n] = "b"' --arg n $name
    inside "cat /proc/sys/kernel/$name"
    [ "$output" = b ]
    edit_config . 'del(.[$n])' --arg n $name
    inside "cat /proc/sys/kernel/$name"
    [ "$output" = b ]
  done
}

@test "in a user namespace /dev/ptmx stays the container's own, whatever config.json lists" {
  cp config.json before.json
  edit_config . '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings
    | .linux.devices = [{path: "/dev/ptmx", type: "c", major: 5, minor: 2}, {path: "/dev/zero", type: "c", major: 1, minor: 5}]'
  chown -R 100000:100000 rootfs
  inside 'readlink /dev/ptmx; head -c 1 /dev/zero | wc -c; grep " /dev/zero " /proc/mounts'
  chown -R 0:0 rootfs
  mv before.json config.json
  [ "${lines[0]}" = pts/ptmx ] && [ "${lines[1]}" = 1 ]
  [[ ${lines[2]} == *nosuid* && ${lines[2]} == *noexec* ]]
}

@test "in a user namespace without a network or pid namespace the host's sysfs and procfs are shown" {
  cp config.json before.json
  chmod 755 "$FILE_DIR" && chown -R 100000:100000 rootfs
  edit_config . '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings
    | .linux.namespaces |= map(select(.type != "network" and .type != "pid")) | .mounts |= map(select(.type != "cgroup"))'
  ls /sys/class/net | sort >links
  inside 'ls /sys/class/net | sort; echo ---; ls -A /sys/fs/cgroup; echo ---; awk "\$2 ~ /^\/sys/ && \$4 !~ /^ro/ {print}" /proc/mounts
    echo ---; cat /proc/self/status | grep -c ^Pid; readlink /proc/1/ns/pid /proc/1/root /proc/$PPID/root; cat /proc/kcore /sys/firmware/x 2>&1 | head -c 100; echo x >/proc/sys/kernel/core_pattern; echo x >/sys/kernel/uevent_helper; true'
  shown=$status:$output
  edit_config . '.mounts |= map(if .type == "proc" then .options = ["hidepid=2"] else . end)'
  inside true
  chown -R 0:0 rootfs
  mv before.json config.json
  [ "$status" -eq 1 ]
  [[ $output == *'"hidepid=2": in a user namespace without a pid namespace'* ]]
  [[ $shown == 0:*$'\n---\n---\n---\n1\n'* ]]
  # All that were there before and after: other tests make and delete links meanwhile.
  ls /sys/class/net | sort | comm -12 links - >lasting
  grep -qx lo lasting
  [ -z "$(sed '/^---$/,$d; s/^0://' <<<"$shown" | comm -13 - lasting)" ]
  # Of the host's processes no more than any user of the host would see.
  [[ $shown != *pid:* && $shown != *$'\n/\n'* ]]
  [[ $shown == *core_pattern* && $shown == *uevent_helper* ]]
}

@test "in a user namespace a device is the host's: an owner or mode of its own is warned of" {
  cp config.json before.json
  chmod 755 "$FILE_DIR"
  edit_config . '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings
    | .linux.devices = [{path: "/dev/zero", type: "c", major: 1, minor: 5, fileMode: 384}, {path: "/dev/full", type: "c", major: 1, minor: 7, fileMode: 438}]'
  chown -R 100000:100000 rootfs
  inside true
  chown -R 0:0 rootfs
  mv before.json config.json
  [ "$status" -eq 0 ]
  [[ $output == *"/dev/zero"*"is the host's own, which keeps its owner and mode (666)"* ]]
  [[ $output != *"/dev/full"* ]]
}

@test "why a command can't be executed: interpreter, carriage return, architecture" {
  printf '#!/no/interp\n' >rootfs/a; printf '#!/bin/sh\r\n' >rootfs/b; printf 'garbage' >rootfs/c
  chmod +x rootfs/[abc]
  edit_config . '.process.args = ["/a"]'; run "${R[@]}" run box
  [[ $output == *"interpreter /no/interp is missing"* ]]
  edit_config . '.process.args = ["/b"]'; run "${R[@]}" run box
  [[ $output == *"carriage return"* ]]
  edit_config . '.process.args = ["/c"]'; run "${R[@]}" run box
  [[ $output == *"neither an ELF file nor a script"* ]]
  rm rootfs/[abc]
}

@test "/dev/core is there if this kernel has what it leads to" {
  [ ! -e /proc/kcore ] || wanted=/proc/kcore
  inside 'readlink /dev/core'
  [ "$output" = "${wanted:-}" ]
}
