#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Images from a real registry: pulled, resumed, removed, and what a hostile or broken one does.

load ../lib/daemon

setup_file() {
  daemon_setup
  start_registry
  push_layout "$OCIRUN_BIN/../share/ocirun/images/busybox" library/busybox:1
}

teardown_file() {
  stop_registry
  daemon_teardown
}

# layout TAR-FILE...: an OCI layout of plain layers in $FILE_DIR/layout, pushed as bad/NAME.
push_layers() {
  python3 - "$FILE_DIR/layout" "${@:2}" <<'END'
import hashlib, json, os, shutil, sys
out = sys.argv[1]; shutil.rmtree(out, ignore_errors=True); os.makedirs(out + '/blobs/sha256')
def put(data):
    digest = hashlib.sha256(data).hexdigest(); open(f'{out}/blobs/sha256/{digest}', 'wb').write(data)
    return {'digest': 'sha256:' + digest, 'size': len(data)}
layers = [put(open(f, 'rb').read()) for f in sys.argv[2:]]
config = {'architecture': 'amd64', 'os': 'linux', 'config': {'Cmd': ['/x']},
          'rootfs': {'type': 'layers', 'diff_ids': [l['digest'] for l in layers]}}
manifest = {'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json',
            'config': {'mediaType': 'application/vnd.oci.image.config.v1+json', **put(json.dumps(config).encode())},
            'layers': [{'mediaType': 'application/vnd.oci.image.layer.v1.tar', **l} for l in layers]}
top = {'mediaType': manifest['mediaType'], **put(json.dumps(manifest).encode()),
       'annotations': {'org.opencontainers.image.ref.name': 'latest'}}
json.dump({'schemaVersion': 2, 'manifests': [top]}, open(out + '/index.json', 'w'))
json.dump({'imageLayoutVersion': '1.0.0'}, open(out + '/oci-layout', 'w'))
END
  push_layout "$FILE_DIR/layout" "bad/$1:latest"
}

# make_tar FILE PYTHON: a tar written by python's tarfile as `t`.
make_tar() {
  python3 - "$1" "$2" <<'END'
import io, sys, tarfile
t = tarfile.open(sys.argv[1], 'w')
def add(name, data=b'x', **kw):
    i = tarfile.TarInfo(name); i.size = len(data)
    for k, v in kw.items(): setattr(i, k, v)
    t.addfile(i, io.BytesIO(data))
def link(name, target, kind):
    i = tarfile.TarInfo(name); i.type = kind; i.linkname = target; t.addfile(i)
exec(sys.argv[2]); t.close()
END
}

nothing_half_made() {
  [ -z "$(ls -A "$FILE_DIR/root/overlay/staging")" ]
  ! "$OCICTL" images --format '{{.Repository}}' | grep -q "/bad/"
}

@test "pull, list, run and remove" {
  run "$OCICTL" pull "$REGISTRY/library/busybox:1"
  [ "$status" -eq 0 ]
  [[ $output =~ "1: Pulling from library/busybox" ]]
  [[ $output =~ Digest:\ sha256:[0-9a-f]{64} ]]
  [[ $output =~ "Status: Downloaded newer image for $REGISTRY/library/busybox:1" ]]
  [[ $("$OCICTL" pull "$REGISTRY/library/busybox:1") =~ "Image is up to date" ]]
  [ "$("$OCICTL" run --rm "$REGISTRY/library/busybox:1" echo hi)" = hi ]
  "$OCICTL" rmi "$REGISTRY/library/busybox:1"
  run "$OCICTL" inspect --type image "$REGISTRY/library/busybox:1"
  [ "$status" -eq 1 ]
}

@test "an unreachable registry, a missing image and a bad name are one line and exit 1" {
  port=$(free_port)
  for image in "127.0.0.1:$port/x" "$REGISTRY/no/such:1" "Bad:x" "a:b:c"; do
    run "$OCICTL" pull -q "$image"
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
  done
}

@test "a tar that climbs out writes nothing outside and leaves nothing" {
  target=$FILE_DIR/outside
  make_tar "$FILE_DIR/t" "add('../../../../../../../../..$target')"
  push_layers climb "$FILE_DIR/t"
  run "$OCICTL" pull "$REGISTRY/bad/climb"
  [ "$status" -eq 1 ]
  [[ $output =~ "climbs out of the root" ]]
  nothing_half_made
  make_tar "$FILE_DIR/t" "link('l', '$FILE_DIR', tarfile.SYMTYPE); add('l/outside'); link('h', 'l/root/meta.db', tarfile.LNKTYPE)"
  push_layers links "$FILE_DIR/t"
  run "$OCICTL" pull "$REGISTRY/bad/links"
  [ "$status" -eq 1 ]
  [ ! -e "$target" ]
  nothing_half_made
}

@test "a blob that was changed in the registry is refused by its digest" {
  make_tar "$FILE_DIR/t" "add('x', b'y' * 100000)"
  push_layers torn "$FILE_DIR/t"
  digest=$(sha256sum "$FILE_DIR/t" | cut -d' ' -f1)
  blob=$(find "$FILE_DIR/registry" -path "*/$digest/data")
  printf z | dd of="$blob" bs=1 seek=600 conv=notrunc status=none
  run "$OCICTL" pull "$REGISTRY/bad/torn"
  [ "$status" -eq 1 ]
  [[ $output =~ "$digest" ]]
  nothing_half_made
}

@test "a blob that the registry cannot give is asked for a few times, then one line names it" {
  port=$(free_port)
  python3 - "$port" "$FILE_DIR/asked" 3>&- <<'END' &
import hashlib, http.server, json, sys
config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' % (b'a' * 64)
def descriptor(digest, size): return {'mediaType': 'application/octet-stream', 'digest': 'sha256:' + digest, 'size': size}
name = hashlib.sha256(config).hexdigest()
manifest = json.dumps({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json',
                       'config': descriptor(name, len(config)), 'layers': [descriptor('b' * 64, 1000)]}).encode()
class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body, status = (manifest, 200) if '/manifests/' in self.path else (config, 200) if name in self.path else (b'', 500)
        if status == 500:
            open(sys.argv[2], 'a').write(self.path + '\n')
        self.send_response(status)
        self.send_header('Content-Type', 'application/vnd.oci.image.manifest.v1+json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Registry).serve_forever()
END
  echo $! >"$FILE_DIR/broken.pid"
  eventually answers "$port"
  run "$OCICTL" pull -q "127.0.0.1:$port/broken"
  end_process "$FILE_DIR/broken.pid"
  [ "$status" -eq 1 ]
  [ "${#lines[@]}" -eq 1 ]
  [[ $output == *"blob sha256:bbbb"*"the registry answered 500"* ]]
  [ "$(wc -l <"$FILE_DIR/asked")" -le 5 ]
  [ -z "$(find "$FILE_DIR/root/content/ingest" -empty -type f)" ]
}

@test "a layer that is no tar is named, with its image" {
  head -c 100000 /dev/urandom >"$FILE_DIR/t"
  push_layers notar "$FILE_DIR/t"
  run "$OCICTL" pull "$REGISTRY/bad/notar"
  [ "$status" -eq 1 ]
  [[ $output == *"$REGISTRY/bad/notar"*"layer sha256:$(sha256sum "$FILE_DIR/t" | cut -d' ' -f1)"*"not a tar"* ]]
  nothing_half_made
}

@test "a truncated blob is refused" {
  make_tar "$FILE_DIR/t" "add('x', b'q' * 300000)"
  push_layers short "$FILE_DIR/t"
  digest=$(sha256sum "$FILE_DIR/t" | cut -d' ' -f1)
  truncate -s 200000 "$(find "$FILE_DIR/registry" -path "*/$digest/data")"
  run "$OCICTL" pull "$REGISTRY/bad/short"
  [ "$status" -eq 1 ]
  nothing_half_made
}

@test "an interrupted download goes on where it stopped" {
  make_tar "$FILE_DIR/t" "add('x', b'w' * 500000)"
  push_layers resume "$FILE_DIR/t"
  digest=$(sha256sum "$FILE_DIR/t" | cut -d' ' -f1)
  head -c 300000 "$FILE_DIR/t" >"$FILE_DIR/root/content/ingest/$digest"
  "$OCICTL" pull "$REGISTRY/bad/resume"
  [ -e "$FILE_DIR/root/content/blobs/sha256/$digest" ]
  [ ! -e "$FILE_DIR/root/content/ingest/$digest" ]
  "$OCICTL" rmi "$REGISTRY/bad/resume"
  [ ! -e "$FILE_DIR/root/content/blobs/sha256/$digest" ]
}

@test "kill -9 amid a pull: the next daemon goes on from what came" {
  make_tar "$FILE_DIR/t" "add('x', b'k' * 300000000)"
  push_layers killed "$FILE_DIR/t"
  digest=$(sha256sum "$FILE_DIR/t" | cut -d' ' -f1)
  rm "$FILE_DIR/t"
  # In front of the registry: of each connection's answers it holds what is behind 50 MB until it is told.
  port=$(free_port)
  python3 - "$port" "${REGISTRY##*:}" "$FILE_DIR/goes-on" <<'END' 3>&- &
import os, socket, sys, threading, time
def copy(source, to, held):
    passed = 0
    while data := source.recv(1 << 20):
        while held and passed > 50_000_000 and not os.path.exists(sys.argv[3]):
            time.sleep(0.05)
        to.sendall(data)
        passed += len(data)
    to.shutdown(socket.SHUT_WR)
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
while True:
    client, _ = listener.accept()
    registry = socket.create_connection(('127.0.0.1', int(sys.argv[2])))
    for ends in ((client, registry, False), (registry, client, True)):
        threading.Thread(target=copy, args=ends, daemon=True).start()
END
  echo $! >"$FILE_DIR/slow.pid"
  eventually answers "$port"
  slow=127.0.0.1:$port
  "$OCICTL" pull "$slow/bad/killed" >/dev/null 2>&1 3>&- &
  client=$!
  came() { [ -s "$FILE_DIR/root/content/ingest/$digest" ]; }
  eventually came
  kill_ocid
  wait "$client" || true
  touch "$FILE_DIR/goes-on"
  start_ocid
  [ -z "$(ls -A "$FILE_DIR/root/overlay/staging")" ]
  "$OCICTL" pull -q "$slow/bad/killed"
  end_process "$FILE_DIR/slow.pid"
  # Part of the blob was asked for, and no more than once the whole.
  grep -q "GET /v2/bad/killed/blobs/sha256:$digest .* 206 " "$FILE_DIR/registry.log"
  [ "$(stat -c %s "$("$OCICTL" inspect -f '{{.GraphDriver.Data.UpperDir}}' "$slow/bad/killed")/x")" -eq 300000000 ]
  "$OCICTL" rmi "$slow/bad/killed"
}

@test "layers over layers: whiteouts, opaque folders, owners, set-uid, devices" {
  make_tar "$FILE_DIR/t1" "add('a/gone'); add('a/stays'); add('o/old'); add('su', mode=0o4755, uid=7, gid=8)"
  make_tar "$FILE_DIR/t2" "add('a/.wh.gone', b''); add('o/.wh..wh..opq', b''); add('o/new'); add('fifo', b'', type=tarfile.FIFOTYPE)"
  push_layers over "$FILE_DIR/t1" "$FILE_DIR/t2"
  "$OCICTL" pull -q "$REGISTRY/bad/over"
  mkdir -p "$FILE_DIR/m"
  lower=$("$OCICTL" inspect -f '{{.GraphDriver.Data.UpperDir}}:{{.GraphDriver.Data.LowerDir}}' "$REGISTRY/bad/over")
  mount -t overlay overlay -o "lowerdir=$lower" "$FILE_DIR/m"
  seen=$(cd "$FILE_DIR/m" && find . | sort | tr '\n' ' '; stat -c '%a %u %g' "$FILE_DIR/m/su")
  umount "$FILE_DIR/m"
  "$OCICTL" rmi "$REGISTRY/bad/over"
  [ "$seen" = ". ./a ./a/stays ./fifo ./o ./o/new ./su 4755 7 8" ]
}

@test "a full disk is told, and nothing is left" {
  make_tar "$FILE_DIR/t" "add('x', b'f' * 9000000)"
  push_layers full "$FILE_DIR/t"
  mkdir -p "$FILE_DIR/small"
  mount -t tmpfs -o size=12m tmpfs "$FILE_DIR/small"
  mkdir -p "$FILE_DIR/small/root" "$FILE_DIR/small-state"
  touch "$FILE_DIR/small/root/default-images"
  "$OCID" --config /dev/null --root "$FILE_DIR/small/root" --state "$FILE_DIR/small-state" \
    --listen "unix://$FILE_DIR/small.sock" >>"$FILE_DIR/ocid.log" 2>&1 3>&- &
  echo $! >"$FILE_DIR/small.pid"
  eventually "$OCICTL" -H "unix://$FILE_DIR/small.sock" version >/dev/null 2>&1
  run "$OCICTL" -H "unix://$FILE_DIR/small.sock" pull "$REGISTRY/bad/full"
  left=$(ls -A "$FILE_DIR/small/root/overlay/staging" "$FILE_DIR/small/root/overlay/layers")
  end_process "$FILE_DIR/small.pid"
  umount "$FILE_DIR/small"
  [ "$status" -eq 1 ]
  [[ $output =~ "no space left on device" ]]
  [ "$(echo "$left" | grep -vc ':$\|^$')" -eq 0 ]
}
