// SPDX-License-Identifier: Apache-2.0
#include "base/sys/mount.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace ocirun::sys {

StatusOr<UniqueFd> CloneTree(const UniqueFd& object, bool recursive) {
  const unsigned flags =
      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  const int fd = ::open_tree(object.get(), "", flags);
  if (fd < 0) return SysError(errno, "open_tree");
  return UniqueFd(fd);
}

StatusOr<UniqueFd> CloneTreeAt(const std::string& path, bool recursive) {
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
  const int fd = ::open_tree(AT_FDCWD, path.c_str(), flags);
  if (fd < 0) return SysError(errno, "open_tree", path);
  return UniqueFd(fd);
}

Status MoveMount(const UniqueFd& mount, const UniqueFd& target) {
  if (::move_mount(mount.get(), "", target.get(), "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0)
    return OkStatus();
  const int err = errno;
  // Of a file on a folder, or the other way round, mount(2) says what is wrong.
  struct stat from, to;
  const bool differ = ::fstat(mount.get(), &from) == 0 && ::fstat(target.get(), &to) == 0 &&
                      S_ISDIR(from.st_mode) != S_ISDIR(to.st_mode);
  return SysError(err == EINVAL && differ ? ENOTDIR : err, "move_mount");
}

Status MountSetAttr(const UniqueFd& mount, bool recursive, uint64_t set, uint64_t clear,
                    uint64_t propagation) {
  mount_attr attr{};
  attr.attr_set = set;
  attr.attr_clr = clear;
  attr.propagation = propagation;
  if (::mount_setattr(mount.get(), "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr,
                      sizeof attr) < 0)
    return SysError(errno, "mount_setattr");
  return OkStatus();
}

StatusOr<UniqueFd> FsOpen(const std::string& type) {
  const int fd = ::fsopen(type.c_str(), FSOPEN_CLOEXEC);
  if (fd < 0) return SysError(errno, "fsopen", type);
  return UniqueFd(fd);
}

Status FsSetString(const UniqueFd& context, const std::string& key, const std::string& value) {
  if (::fsconfig(context.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0) < 0)
    return SysError(errno, "fsconfig", key + "=" + value);
  return OkStatus();
}

Status FsSetFlag(const UniqueFd& context, const std::string& key) {
  if (::fsconfig(context.get(), FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0) < 0)
    return SysError(errno, "fsconfig", key);
  return OkStatus();
}

Status FsSetFd(const UniqueFd& context, const std::string& key, const UniqueFd& value) {
  if (::fsconfig(context.get(), FSCONFIG_SET_FD, key.c_str(), nullptr, value.get()) < 0)
    return SysError(errno, "fsconfig", key);
  return OkStatus();
}

Status FsCreate(const UniqueFd& context) {
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0)
    return SysError(errno, "fsconfig create");
  return OkStatus();
}

StatusOr<UniqueFd> FsMount(const UniqueFd& context, uint64_t attributes) {
  const int fd = ::fsmount(context.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes));
  if (fd < 0) return SysError(errno, "fsmount");
  return UniqueFd(fd);
}

std::string FsMessages(const UniqueFd& context) {
  std::string out;
  std::array<char, 512> line;
  for (;;) {
    const ssize_t n = ::read(context.get(), line.data(), line.size());
    if (n <= 0) return out;
    std::string text(line.data(), static_cast<size_t>(n));
    // "e tmpfs: …": the letter is the level (Documentation/filesystems/mount_api.rst).
    if (text.size() > 2 && text[1] == ' ') text.erase(0, 2);
    while (!text.empty() && (text.back() == '\n' || text.back() == '\0')) text.pop_back();
    if (!out.empty()) out += "; ";
    out += text;
  }
}

Status Mount(const std::string& source, const std::string& target, const std::string& type,
             unsigned long flags, const std::string& data) {
  if (::mount(source.empty() ? nullptr : source.c_str(), target.c_str(),
              type.empty() ? nullptr : type.c_str(), flags,
              data.empty() ? nullptr : data.c_str()) < 0)
    return SysError(errno, "mount", target);
  return OkStatus();
}

Status Unmount(const std::string& target, int flags) {
  if (::umount2(target.c_str(), flags) < 0) return SysError(errno, "umount", target);
  return OkStatus();
}

Status PivotRoot(const std::string& new_root, const std::string& put_old) {
  if (::syscall(SYS_pivot_root, new_root.c_str(), put_old.c_str()) < 0)
    return SysError(errno, "pivot_root", new_root);
  return OkStatus();
}

}  // namespace ocirun::sys
