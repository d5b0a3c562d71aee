// SPDX-License-Identifier: Apache-2.0
//
// Trees of mounts that stand nowhere yet, made first and placed afterwards (open_tree, fsmount,
// move_mount; Linux 5.2).
//
// Where the kernel has none of these, mount(2) makes a tree on the host's /dev, or a file's on its
// /dev/null, and moves it from there: the descriptor that was opened in between goes along, so that
// no name of the container's is looked up, then or later. That is for init, alone in a mount
// namespace of its own, before its root changes; and each tree must be placed before the next is
// made.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::linux_ {

// Whether the kernel has detached trees. Asked once.
bool CanDetachTrees();

// A copy of the mount at `object` (itself, an O_PATH descriptor), with everything below it when
// `recursive`.
StatusOr<UniqueFd> CloneTree(const UniqueFd& object, bool recursive);
StatusOr<UniqueFd> CloneTreeAt(const std::string& path, bool recursive);

struct Filesystem {
  std::string type, source;
  std::vector<std::string> options;  // "sync", "size=64m"
  uint64_t attributes = 0;           // MOUNT_ATTR_*
};
// A new instance of a filesystem.
StatusOr<UniqueFd> NewFilesystem(const Filesystem& filesystem);

// An empty, read-only tmpfs to cover folders with.
StatusOr<UniqueFd> EmptyFolder();

// Puts it on the object that `target` (O_PATH) refers to. `tree` is that mount from then on, too.
Status PlaceTree(const UniqueFd& tree, const UniqueFd& target);

}  // namespace ocirun::linux_
