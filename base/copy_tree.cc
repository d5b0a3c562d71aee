// SPDX-License-Identifier: Apache-2.0
#include "base/copy_tree.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>

#include "base/file.h"
#include "base/sys/file.h"

namespace ocirun {
namespace {

constexpr int kMaxDepth = 256;
constexpr size_t kMaxCapability = 64;  // struct vfs_ns_cap_data has 24 bytes

Status CopyFolder(const UniqueFd& from, const UniqueFd& to, dev_t device, int depth);

Status CopyContent(const UniqueFd& from, const UniqueFd& to, off_t size) {
  for (off_t left = size; left > 0;) {
    const ssize_t n = ::sendfile(to.get(), from.get(), nullptr, static_cast<size_t>(left));
    if (n < 0) return SysError(errno, "sendfile");
    if (n == 0) break;  // it was cut meanwhile
    left -= n;
  }
  return OkStatus();
}

Status CopyCapability(const UniqueFd& from, const UniqueFd& to) {
  std::array<char, kMaxCapability> value;
  const ssize_t n = ::fgetxattr(from.get(), "security.capability", value.data(), value.size());
  if (n < 0)
    return errno == ENODATA || errno == EOPNOTSUPP ? OkStatus() : SysError(errno, "fgetxattr");
  if (::fsetxattr(to.get(), "security.capability", value.data(), static_cast<size_t>(n), 0) < 0)
    return SysError(errno, "fsetxattr");
  return OkStatus();
}

// Owner before mode: a change of owner clears the set-user-id bit.
Status CopyMetadata(const UniqueFd& to, const struct stat& st) {
  if (::fchown(to.get(), st.st_uid, st.st_gid) < 0) return SysError(errno, "fchown");
  if (::fchmod(to.get(), st.st_mode & 07777) < 0) return SysError(errno, "fchmod");
  const timespec times[] = {st.st_atim, st.st_mtim};
  if (::futimens(to.get(), times) < 0) return SysError(errno, "futimens");
  return OkStatus();
}

Status CopyFile(const UniqueFd& parent, const std::string& name, const UniqueFd& to_parent,
                const struct stat& st) {
  ASSIGN_OR_RETURN(const UniqueFd from,
                   sys::OpenAt(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  ASSIGN_OR_RETURN(const UniqueFd to,
                   sys::OpenAt(to_parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  RETURN_IF_ERROR(CopyContent(from, to, st.st_size));
  RETURN_IF_ERROR(CopyMetadata(to, st));
  return CopyCapability(from, to);
}

Status CopyLink(const UniqueFd& parent, const std::string& name, const UniqueFd& to_parent) {
  ASSIGN_OR_RETURN(const std::string target, sys::ReadLinkAt(parent, name));
  if (::symlinkat(target.c_str(), to_parent.get(), name.c_str()) < 0)
    return SysError(errno, "symlink", name);
  return OkStatus();
}

Status CopyNode(const std::string& name, const UniqueFd& to_parent, const struct stat& st) {
  if (::mknodat(to_parent.get(), name.c_str(), st.st_mode, st.st_rdev) < 0)
    return SysError(errno, "mknod", name);
  if (::fchownat(to_parent.get(), name.c_str(), st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
    return SysError(errno, "chown", name);
  // The umask has cut mknod's mode; the name is ours, made a moment ago.
  if (::fchmodat(to_parent.get(), name.c_str(), st.st_mode & 07777, 0) < 0)
    return SysError(errno, "chmod", name);
  return OkStatus();
}

Status CopyEntry(const UniqueFd& parent, const std::string& name, const UniqueFd& to_parent,
                 dev_t device, int depth) {
  struct stat st;
  if (::fstatat(parent.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0)
    return SysError(errno, "stat", name);
  switch (st.st_mode & S_IFMT) {
    case S_IFDIR: {
      const Status made = sys::MakeDirAt(to_parent, name, 0700);
      if (!made.ok() && ErrnoOf(made) != EEXIST) return made;
      ASSIGN_OR_RETURN(const UniqueFd from,
                       sys::OpenAt(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      ASSIGN_OR_RETURN(const UniqueFd to,
                       sys::OpenAt(to_parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      return CopyFolder(from, to, device, depth + 1);
    }
    case S_IFREG:
      return CopyFile(parent, name, to_parent, st);
    case S_IFLNK:
      return CopyLink(parent, name, to_parent);
    case S_IFSOCK:
      return OkStatus();  // nobody listens on a copy
    default:
      return CopyNode(name, to_parent, st);
  }
}

Status CopyEntries(const UniqueFd& from, const UniqueFd& to, dev_t device, int depth) {
  if (depth > kMaxDepth)
    return Error(StatusCode::kResourceExhausted, "the tree is deeper than {} folders", kMaxDepth);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(from));
  for (const std::string& name : names)
    RETURN_IF_ERROR(Annotate(CopyEntry(from, name, to, device, depth), name));
  return OkStatus();
}

Status CopyFolder(const UniqueFd& from, const UniqueFd& to, dev_t device, int depth) {
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(from));
  if (st.st_dev == device) RETURN_IF_ERROR(CopyEntries(from, to, device, depth));
  return CopyMetadata(to, st);
}

}  // namespace

Status CopyTree(const UniqueFd& from, const UniqueFd& to) {
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(from));
  // The mount may have been opened by path only, which can't be listed or changed.
  ASSIGN_OR_RETURN(const UniqueFd folder, sys::OpenAt(to, ".", O_RDONLY | O_DIRECTORY));
  return CopyEntries(from, folder, st.st_dev, 0);
}

}  // namespace ocirun
