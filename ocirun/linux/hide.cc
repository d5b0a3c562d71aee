// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/hide.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <set>

#include "base/path.h"
#include "base/sys/file.h"
#include "ocirun/linux/mount_attributes.h"
#include "ocirun/linux/tree.h"

namespace ocirun::linux_ {
namespace {

StatusOr<UniqueFd> OpenDevNull() {
  // The host's own, and really the null device: the image's /dev/null could be anything
  // (CVE-2025-31133).
  ASSIGN_OR_RETURN(UniqueFd null, sys::Open("/dev/null", O_PATH | O_NOFOLLOW));
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(null));
  if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
    return FailedPrecondition("/dev/null of the host is not the null device");
  return null;
}

// An empty, read-only tmpfs to cover folders with; attached once, then copied.
StatusOr<UniqueFd> EmptyFolder() {
  return NewFilesystem(
      {.type = "tmpfs",
       .options = {"nr_blocks=1", "nr_inodes=1"},
       .attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC});
}

}  // namespace

Status MaskPaths(const UniqueFd& root, const std::vector<std::string>& paths) {
  UniqueFd null, empty;
  std::set<std::vector<std::string>> done;  // a path that stands twice is hidden once
  for (const std::string& path : paths) {
    if (!done.insert(PathComponents(path)).second) continue;
    auto target = OpenInRoot(root, path, O_PATH);
    if (!target.ok()) {
      const int err = ErrnoOf(target.status());
      if (err == ENOENT || err == ENOTDIR) continue;
      return target.status();
    }
    ASSIGN_OR_RETURN(const struct stat st, sys::Stat(*target));
    if (S_ISDIR(st.st_mode) && !empty) {
      // One tmpfs for all folders: it is attached at the first and copied from there.
      ASSIGN_OR_RETURN(empty, EmptyFolder());
      RETURN_IF_ERROR(Annotate(PlaceTree(empty, *target), path));
      continue;
    }
    if (!S_ISDIR(st.st_mode) && !null) {
      ASSIGN_OR_RETURN(null, OpenDevNull());
    }
    ASSIGN_OR_RETURN(const UniqueFd tree, CloneTree(S_ISDIR(st.st_mode) ? empty : null, false));
    RETURN_IF_ERROR(Annotate(PlaceTree(tree, *target), path));
  }
  return OkStatus();
}

Status MakeReadOnly(const UniqueFd& root, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    auto target = OpenInRoot(root, path, O_PATH);
    if (!target.ok()) {
      const int err = ErrnoOf(target.status());
      if (err == ENOENT || err == ENOTDIR) continue;
      return target.status();
    }
    ASSIGN_OR_RETURN(const UniqueFd tree, CloneTree(*target, true));
    Status attached = Attach(tree, *target, {.recursive_set = MOUNT_ATTR_RDONLY});
    // An old kernel can do it for the mount itself, which is all that runc does.
    if (attached.code() == StatusCode::kUnimplemented)
      attached = ChangeAttributes(tree, {.set = MOUNT_ATTR_RDONLY});
    RETURN_IF_ERROR(Annotate(attached, path));
  }
  return OkStatus();
}

}  // namespace ocirun::linux_
