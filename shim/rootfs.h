// SPDX-License-Identifier: Apache-2.0
//
// The mounts of Create, which make a container's root file system on <bundle>/rootfs: a snapshotter
// tells them, and the shim makes and removes them.
#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <string>

#include "base/status.h"
#include "containerd/types.pb.h"

namespace ocirun::shim {

// Makes them in their order, each on `rootfs` or a folder in it. When one fails none is left.
// The ids of files may be mapped (uidmap=, gidmap=): those of an overlay's layers, or all of
// another mount's. Unimplemented names what needs a helper: fuse filesystems, loop devices.
Status MountAll(const google::protobuf::RepeatedPtrField<containerd::types::Mount>& mounts,
                const std::string& rootfs);

// Removes what MountAll() made, and what a shim left that was killed in the middle of it. Fine when
// there is none.
Status UnmountAll(const std::string& rootfs);

// Removes every mount on `rootfs` and below it. Fine when there is none.
Status UnmountBelow(const std::string& rootfs);

// An overlay's options in a shorter form: what all of `lowerdir` have in common is `*folder`, and
// they are relative to it. False when they have nothing in common. Pure.
bool ShortenLayers(std::string* options, std::string* folder);

}  // namespace ocirun::shim
