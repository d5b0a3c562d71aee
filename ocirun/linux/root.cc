// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/root.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mountinfo.h"
#include "base/path.h"
#include "base/sys/file.h"
#include "base/sys/mount.h"
#include "base/sys/process.h"
#include "ocirun/linux/mount_attributes.h"
#include "ocirun/linux/tree.h"

namespace ocirun::linux_ {
namespace {

// "rshared" is MS_SHARED | MS_REC; 0 for none.
unsigned long PropagationFlags(std::string_view name) {
  if (name.substr(0, 1) == "r") return MS_REC | PropagationFlags(name.substr(1));
  if (name == "private") return MS_PRIVATE;
  if (name == "slave") return MS_SLAVE;
  if (name == "shared") return MS_SHARED;
  return name == "unbindable" ? MS_UNBINDABLE : 0;
}

// Without pivot_root the host's mounts stay reachable for one who leaves a chroot, and as long as a
// whole procfs or sysfs is among them the kernel lets the container mount one without masks. So
// they go: unmounted, or covered where that is not allowed.
Status HideHostProc(const UniqueFd& root) {
  ASSIGN_OR_RETURN(const std::string path, sys::ReadLink(ProcFdPath(root)));
  ASSIGN_OR_RETURN(const std::string mountinfo, ReadFile("/proc/self/mountinfo"));
  for (const MountInfo& mount : ParseMountInfo(mountinfo)) {
    if (mount.root != "/" || (mount.type != "proc" && mount.type != "sysfs")) continue;
    if (mount.mount_point.rfind(path + "/", 0) == 0) continue;
    if (::umount2(mount.mount_point.c_str(), MNT_DETACH) == 0 || errno == ENOENT) continue;
    if (errno != EINVAL && errno != EPERM) return SysError(errno, "umount", mount.mount_point);
    RETURN_IF_ERROR(sys::Mount("tmpfs", mount.mount_point, "tmpfs", MS_RDONLY, ""));
  }
  return OkStatus();
}

Status LeavePeers(const std::string& propagation) {
  // What the host mounts later may still come in; what is mounted here never goes out.
  ASSIGN_OR_RETURN(const UniqueFd host_root, sys::Open("/", O_PATH | O_DIRECTORY));
  const bool is_private = (PropagationFlags(propagation) & (MS_PRIVATE | MS_UNBINDABLE)) != 0;
  return ChangePropagation(host_root, (is_private ? MS_PRIVATE : MS_SLAVE) | MS_REC);
}

// Whether "/" of this process is what it was at `before`.
bool IsStillRoot(const struct statx& before) {
  struct statx now;
  if (::statx(AT_FDCWD, "/", 0, STATX_INO | STATX_MNT_ID, &now) < 0) return false;
  return now.stx_dev_major == before.stx_dev_major && now.stx_dev_minor == before.stx_dev_minor &&
         now.stx_ino == before.stx_ino && now.stx_mnt_id == before.stx_mnt_id;
}

// A runtime that was started in a chroot is not in the root of its mount namespace, and neither is
// init: pivot_root would exchange what the chroot is, and whoever enters the namespace later, as
// `exec` does, would be in the root that stayed, the host's. To enter one's own mount namespace is
// to go to its root; the mounts that come into sight there are to have no peers, either.
Status LeaveChroot() {
  struct statx before;
  if (::statx(AT_FDCWD, "/", 0, STATX_INO | STATX_MNT_ID, &before) < 0)
    return SysError(errno, "statx", "/");
  ASSIGN_OR_RETURN(const UniqueFd own, sys::Open("/proc/self/ns/mnt", O_RDONLY));
  const Status entered = sys::SetNs(own, CLONE_NEWNS);
  // Without CAP_SYS_CHROOT nobody enters it later, either.
  if (ErrnoOf(entered) == EPERM) return OkStatus();
  RETURN_IF_ERROR(entered);
  if (IsStillRoot(before)) return OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd host_root, sys::Open("/", O_PATH | O_DIRECTORY));
  return ChangePropagation(host_root, MS_SLAVE | MS_REC);
}

}  // namespace

StatusOr<UniqueFd> PrepareRoot(const oci::Spec& spec) {
  const bool shares_host = spec.linux.Find(oci::NamespaceType::kMount) == nullptr;
  if (!shares_host) RETURN_IF_ERROR(LeavePeers(spec.linux.rootfs_propagation));
  auto place = sys::Open(spec.root.path, O_PATH | O_DIRECTORY);
  if (!place.ok()) return Annotate(place.status(), "root.path");
  if (!spec.linux.Makes(oci::NamespaceType::kMount) && !CanDetachTrees())
    return Unsupported("without a mount namespace of its own a container needs Linux 5.2");
  ASSIGN_OR_RETURN(UniqueFd tree, CloneTree(*place, true));
  RETURN_IF_ERROR(PlaceTree(tree, *place));
  if (shares_host) RETURN_IF_ERROR(ChangePropagation(tree, MS_PRIVATE | MS_REC));
  return tree;
}

Status MakeRootReadOnly(const UniqueFd& root) {
  return ChangeAttributes(root, {.set = MOUNT_ATTR_RDONLY});
}

Status ChangeRoot(const UniqueFd& root, RootChange how, const std::string& propagation) {
  if (how != RootChange::kChroot) RETURN_IF_ERROR(LeaveChroot());
  if (::fchdir(root.get()) < 0) return SysError(errno, "fchdir");
  if (how == RootChange::kPivot) {
    // The old root ends below the new one's "." and is detached there (pivot_root(2), notes).
    RETURN_IF_ERROR(sys::PivotRoot(".", "."));
    RETURN_IF_ERROR(sys::Unmount(".", MNT_DETACH));
  } else if (how == RootChange::kChroot) {
    if (::chroot(".") < 0) return SysError(errno, "chroot");
  } else {
    RETURN_IF_ERROR(HideHostProc(root));
    RETURN_IF_ERROR(sys::Mount(".", "/", "", MS_MOVE, ""));
    if (::chroot(".") < 0) return SysError(errno, "chroot");
  }
  if (::chdir("/") < 0) return SysError(errno, "chdir", "/");
  const unsigned long flags = PropagationFlags(propagation);
  // The whole tree is a slave already.
  if (flags != 0 && (flags & MS_SLAVE) == 0 && how != RootChange::kChroot)
    RETURN_IF_ERROR(sys::Mount("", "/", "", flags, ""));
  return OkStatus();
}

}  // namespace ocirun::linux_
