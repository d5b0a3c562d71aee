// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/hide.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include <algorithm>
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

Status CheckFilesystem(const UniqueFd& fd, long type, const std::string& place) {
  struct statfs fs;
  if (::fstatfs(fd.get(), &fs) < 0) return SysError(errno, "fstatfs", place);
  if (fs.f_type == type) return OkStatus();
  return FailedPrecondition("what was mounted on {} is gone", place);
}

std::string Join(const std::vector<std::string>& parts, size_t from) {
  std::string out;
  for (size_t i = from; i < parts.size(); ++i) out += "/" + parts[i];
  return out;
}

}  // namespace

HiddenPaths::HiddenPaths(const UniqueFd& root, const std::vector<oci::Mount>& mounts)
    : root_(root) {
  for (const oci::Mount& mount : mounts) {
    if (mount.type == "proc" || mount.type == "sysfs")
      mounts_.push_back({PathComponents(mount.destination),
                         mount.type == "proc" ? PROC_SUPER_MAGIC : SYSFS_MAGIC, UniqueFd()});
  }
}

StatusOr<UniqueFd> HiddenPaths::OpenBelow(KernelMount* mount,
                                          const std::vector<std::string>& parts) {
  const std::string place = Join(mount->place, 0);
  const bool itself = parts.size() == mount->place.size();
  if (!mount->fd || itself) {
    ASSIGN_OR_RETURN(mount->fd, OpenInRoot(root_, place, O_PATH | O_DIRECTORY));
    RETURN_IF_ERROR(CheckFilesystem(mount->fd, mount->type, place));
  }
  // Another mount will stand on it, and is what to look in after that.
  if (itself) return std::move(mount->fd);
  return OpenInRoot(mount->fd, Join(parts, mount->place.size()), O_PATH);
}

StatusOr<UniqueFd> HiddenPaths::Open(const std::string& path) {
  const std::vector<std::string> parts = PathComponents(path);
  KernelMount* through = nullptr;
  for (KernelMount& mount : mounts_) {
    const auto common = static_cast<ptrdiff_t>(std::min(mount.place.size(), parts.size()));
    if (!std::equal(parts.begin(), parts.begin() + common, mount.place.begin())) continue;
    if (parts.size() < mount.place.size()) mount.fd.Reset();  // it will be covered
    if (parts.size() >= mount.place.size()) through = &mount;
  }
  auto target = through != nullptr ? OpenBelow(through, parts) : OpenInRoot(root_, path, O_PATH);
  const int err = ErrnoOf(target.status());
  if (err == ENOENT || err == ENOTDIR) {
    if (through != nullptr && !through->fd) return target;
    return UniqueFd();
  }
  return target;
}

Status MaskPaths(HiddenPaths* places, const std::vector<std::string>& paths) {
  UniqueFd null, empty;
  std::set<std::vector<std::string>> done;  // a path that stands twice is hidden once
  for (const std::string& path : paths) {
    if (!done.insert(PathComponents(path)).second) continue;
    ASSIGN_OR_RETURN(const UniqueFd target, places->Open(path));
    if (!target) continue;
    ASSIGN_OR_RETURN(const struct stat st, sys::Stat(target));
    if (S_ISDIR(st.st_mode) && !empty) {
      // One tmpfs for all folders: it is attached at the first and copied from there.
      ASSIGN_OR_RETURN(empty, EmptyFolder());
      RETURN_IF_ERROR(Annotate(PlaceTree(empty, target), path));
      continue;
    }
    if (!S_ISDIR(st.st_mode) && !null) {
      ASSIGN_OR_RETURN(null, OpenDevNull());
    }
    ASSIGN_OR_RETURN(const UniqueFd tree, CloneTree(S_ISDIR(st.st_mode) ? empty : null, false));
    RETURN_IF_ERROR(Annotate(PlaceTree(tree, target), path));
  }
  return OkStatus();
}

Status MakeReadOnly(HiddenPaths* places, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(const UniqueFd target, places->Open(path));
    if (!target) continue;
    ASSIGN_OR_RETURN(const UniqueFd tree, CloneTree(target, true));
    Status attached = Attach(tree, target, {.recursive_set = MOUNT_ATTR_RDONLY});
    // An old kernel can do it for the mount itself, which is all that runc does.
    if (attached.code() == StatusCode::kUnimplemented)
      attached = ChangeAttributes(tree, {.set = MOUNT_ATTR_RDONLY});
    RETURN_IF_ERROR(Annotate(attached, path));
  }
  return OkStatus();
}

}  // namespace ocirun::linux_
