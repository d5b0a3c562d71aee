// SPDX-License-Identifier: Apache-2.0
//
// Attributes and propagation of mounts by mount_setattr(2), and by mount(2) where the kernel lacks
// it (before 5.12). All mounts are named by descriptors, whatever the call.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::linux_ {

struct MountAttributes {
  uint64_t set = 0, clear = 0;  // MOUNT_ATTR_* of the mount itself
  // What is to be cleared if that is allowed: in a user namespace the attributes that the host gave
  // a mount are locked (mount_namespaces(7)).
  uint64_t clear_if_allowed = 0;
  uint64_t recursive_set = 0, recursive_clear = 0;  // of it and of all below it
};

// Puts the detached mount `tree` onto `target` (O_PATH) with its attributes changed: they are in
// force before anybody can reach it. An old kernel can't change a tree; it is then Unimplemented.
Status Attach(const UniqueFd& tree, const UniqueFd& target, const MountAttributes& attributes);

// Changes a mount that is attached.
Status ChangeAttributes(const UniqueFd& mount, const MountAttributes& attributes);

// `flags` is one of MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE, with or without MS_REC. The
// mount must be attached: while detached it belongs to no peer group.
Status ChangePropagation(const UniqueFd& mount, uint64_t flags);

}  // namespace ocirun::linux_
