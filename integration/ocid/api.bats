#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The API as any gRPC client meets it: what it tells of itself, and what it does with input that no
# ocictl sends.

load ../lib/daemon

CONTAINERS=/ocid.v1.ContainerService

grpc() { "$BATS_TEST_DIRNAME/grpc-client" "unix:$FILE_DIR/ocid.sock" "$@"; }
memory() { awk '/VmRSS/ {print $2}' "/proc/$(cat "$FILE_DIR/ocid.pid")/status"; }
# bounded KIB: the daemon has no more, what a sanitizer keeps beside each byte left out.
bounded() { grep -q -e __asan_init -e __tsan_init "$OCID" || [ "$(memory)" -lt "$1" ]; }

# answers_with CODE WORDS ARGUMENT...: the call's code and a part of its message.
answers_with() {
  run grpc call "${@:3}"
  [[ $output == "$1 "*"$2"* ]] && return
  echo "${*:3}: $output"
  return 1
}

@test "reflection names the services, and the health service answers for each" {
  for service in ocid.v1.ImageService ocid.v1.ContainerService ocid.v1.SystemService; do
    grpc services | grep -qx "$service"
    [ "$(grpc health "$service")" = SERVING ]
  done
  [ "$(grpc health)" = SERVING ]
  [ "$(grpc health no.such.Service)" = NOT_FOUND ]
}

@test "an unknown method, a message that is none and one that is too long are refused" {
  answers_with UNIMPLEMENTED "" "$CONTAINERS/NoSuch"
  [[ $(grpc garbage "$CONTAINERS/CreateContainer") == INTERNAL* ]]
  before=$(memory)
  for _ in $(seq 20); do
    answers_with RESOURCE_EXHAUSTED "Received message larger than max" "$CONTAINERS/GetContainer" 1=@20000000
  done
  bounded $((before + 65536))
}

@test "a name as long as a message comes back with its own code" {
  for method in GetContainer StartContainer RemoveContainer KillContainer; do
    answers_with NOT_FOUND "No such container: aaaa" "$CONTAINERS/$method" 1=@1000000
  done
  answers_with INVALID_ARGUMENT "repository name must not be more than 255 characters" /ocid.v1.ImageService/PullImage 1=@1000000
}

@test "names and labels that are hostile are refused, and nothing is made" {
  # Field 14, the image.
  image=7207$(printf busybox | od -An -tx1 | tr -d ' \n')
  for name in ../../etc a/b "a b" ä -x .. $'a\nb'; do
    answers_with INVALID_ARGUMENT "Invalid container name" "$CONTAINERS/CreateContainer" "1=$name" "2=x$image"
  done
  # Field 18, a label: key "a", value NUL; field 1, a host name: "a\nb"; field 10, a variable: "=x".
  answers_with INVALID_ARGUMENT "a NUL is no character" "$CONTAINERS/CreateContainer" "2=x${image}9201060a0161120100"
  answers_with INVALID_ARGUMENT "invalid hostname format" "$CONTAINERS/CreateContainer" "2=x${image}0a03610a62"
  answers_with INVALID_ARGUMENT "invalid environment variable" "$CONTAINERS/CreateContainer" "2=x${image}52023d78"
  [ -z "$("$OCICTL" ps -aq)" ]
}

@test "thousands of streams at once: those beyond the bound are refused, the daemon goes on" {
  "$OCICTL" create --name waits busybox true
  before=$(memory)
  run grpc streams "$CONTAINERS/AttachContainer" 3000 1=x0a057761697473
  [[ $output == *"RESOURCE_EXHAUSTED "* ]]
  bounded $((before + 262144))
  [ "$("$OCICTL" run --rm busybox echo alive)" = alive ]
  "$OCICTL" rm waits
}
