// SPDX-License-Identifier: Apache-2.0
//
// The mount system calls, old and new (kernel 5.2 and 5.12). As base/sys/file.h: one function a
// call, CLOEXEC, errno in the error, no policy.
#pragma once

#include <sys/mount.h>

#include <cstdint>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::sys {

// open_tree(2) with OPEN_TREE_CLONE: a detached copy of the mount at `dir` (itself, an O_PATH
// descriptor), with everything below it when `recursive`.
StatusOr<UniqueFd> CloneTree(const UniqueFd& object, bool recursive);
StatusOr<UniqueFd> CloneTreeAt(const std::string& path, bool recursive);
// move_mount(2): puts a detached mount on the object that `target` (O_PATH) refers to.
Status MoveMount(const UniqueFd& mount, const UniqueFd& target);
// mount_setattr(2) on the mount itself; recursive with AT_RECURSIVE semantics. `propagation` is one
// of MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE, or 0.
Status MountSetAttr(const UniqueFd& mount, bool recursive, uint64_t set, uint64_t clear,
                    uint64_t propagation = 0);
StatusOr<UniqueFd> FsOpen(const std::string& type);
Status FsSetString(const UniqueFd& context, const std::string& key, const std::string& value);
Status FsSetFlag(const UniqueFd& context, const std::string& key);
Status FsSetFd(const UniqueFd& context, const std::string& key, const UniqueFd& value);
Status FsCreate(const UniqueFd& context);
// fsmount(2); `attributes` are MOUNT_ATTR_*.
StatusOr<UniqueFd> FsMount(const UniqueFd& context, uint64_t attributes);
// What the kernel logged for the context since it was last read ("e overlay: ..."), one line.
std::string FsMessages(const UniqueFd& context);

Status Mount(const std::string& source, const std::string& target, const std::string& type,
             unsigned long flags, const std::string& data);
Status Unmount(const std::string& target, int flags);
Status PivotRoot(const std::string& new_root, const std::string& put_old);

}  // namespace ocirun::sys
