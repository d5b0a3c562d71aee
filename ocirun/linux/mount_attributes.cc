// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/mount_attributes.h"

#include <sys/mount.h>
#include <sys/statvfs.h>

#include "base/path.h"
#include "base/sys/mount.h"
#include "ocirun/linux/tree.h"

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

namespace ocirun::linux_ {
namespace {

// The same attribute for mount_setattr(2), for mount(2), and as statvfs(3) tells it.
constexpr struct {
  uint64_t attribute;
  unsigned long mount_flag, statvfs_flag;
} kFlags[] = {
    {MOUNT_ATTR_RDONLY, MS_RDONLY, ST_RDONLY},
    {MOUNT_ATTR_NOSUID, MS_NOSUID, ST_NOSUID},
    {MOUNT_ATTR_NODEV, MS_NODEV, ST_NODEV},
    {MOUNT_ATTR_NOEXEC, MS_NOEXEC, ST_NOEXEC},
    {MOUNT_ATTR_NODIRATIME, MS_NODIRATIME, ST_NODIRATIME},
};

unsigned long AccessTimeFlag(uint64_t set, uint64_t clear, unsigned long now) {
  if ((clear & MOUNT_ATTR__ATIME) == 0)
    return (now & ST_NOATIME) != 0 ? MS_NOATIME : (now & ST_RELATIME) != 0 ? MS_RELATIME : 0;
  switch (set & MOUNT_ATTR__ATIME) {
    case MOUNT_ATTR_NOATIME:
      return MS_NOATIME;
    case MOUNT_ATTR_STRICTATIME:
      return MS_STRICTATIME;
    default:
      return MS_RELATIME;
  }
}

// A remount sets every attribute of the mount anew, so what it has already goes along.
Status Remount(const UniqueFd& mount, uint64_t set, uint64_t clear) {
  struct statvfs fs;
  if (::fstatvfs(mount.get(), &fs) < 0) return SysError(errno, "fstatvfs");
  unsigned long flags = MS_REMOUNT | MS_BIND | AccessTimeFlag(set, clear, fs.f_flag);
  for (const auto& flag : kFlags) {
    const bool has = (fs.f_flag & flag.statvfs_flag) != 0;
    if ((set & flag.attribute) != 0 || (has && (clear & flag.attribute) == 0))
      flags |= flag.mount_flag;
    set &= ~flag.attribute;
  }
  if ((set & ~uint64_t{MOUNT_ATTR__ATIME}) != 0)
    return Unsupported("a mount option needs a newer kernel (mount_setattr, Linux 5.12)");
  return sys::Mount("", ProcFdPath(mount), "", flags, "");
}

Status SetAll(const UniqueFd& mount, const MountAttributes& a) {
  if (a.set != 0 || a.clear != 0 || a.clear_if_allowed != 0) {
    Status status = sys::MountSetAttr(mount, false, a.set, a.clear | a.clear_if_allowed);
    // The kernel locks all but this one.
    constexpr uint64_t kNeverLocked = MOUNT_ATTR_NOSYMFOLLOW;
    if (ErrnoOf(status) == EPERM && a.clear_if_allowed != 0)
      status =
          sys::MountSetAttr(mount, false, a.set, a.clear | (a.clear_if_allowed & kNeverLocked));
    RETURN_IF_ERROR(status);
  }
  if (a.recursive_set != 0 || a.recursive_clear != 0)
    RETURN_IF_ERROR(sys::MountSetAttr(mount, true, a.recursive_set, a.recursive_clear));
  return OkStatus();
}

Status SetAllByRemount(const UniqueFd& mount, const MountAttributes& a) {
  if (a.recursive_set != 0 || a.recursive_clear != 0)
    return Unsupported("recursive mount options need a newer kernel (mount_setattr, Linux 5.12)");
  return Remount(mount, a.set, a.clear | a.clear_if_allowed);
}

// Whether mount_setattr(2) failed because there is none: it is younger (5.12) than the detached
// trees. EPERM says so only where these are missing, too, as under a profile older than all of
// them.
bool HasNoSetAttr(const Status& status) {
  return ErrnoOf(status) == ENOSYS || (ErrnoOf(status) == EPERM && !CanDetachTrees());
}

}  // namespace

Status Attach(const UniqueFd& tree, const UniqueFd& target, const MountAttributes& attributes) {
  const Status set = SetAll(tree, attributes);
  if (!HasNoSetAttr(set)) {
    RETURN_IF_ERROR(set);
    return PlaceTree(tree, target);
  }
  RETURN_IF_ERROR(PlaceTree(tree, target));
  return SetAllByRemount(tree, attributes);
}

Status ChangeAttributes(const UniqueFd& mount, const MountAttributes& attributes) {
  const Status set = SetAll(mount, attributes);
  return HasNoSetAttr(set) ? SetAllByRemount(mount, attributes) : set;
}

Status ChangePropagation(const UniqueFd& mount, uint64_t flags) {
  const Status set =
      sys::MountSetAttr(mount, (flags & MS_REC) != 0, 0, 0, flags & ~uint64_t{MS_REC});
  return HasNoSetAttr(set) ? sys::Mount("", ProcFdPath(mount), "", flags, "") : set;
}

}  // namespace ocirun::linux_
