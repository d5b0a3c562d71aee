// SPDX-License-Identifier: Apache-2.0
#include "base/sys/file.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <climits>

namespace ocirun::sys {

StatusOr<UniqueFd> Open(const std::string& path, int flags, mode_t mode) {
  const int fd = RetryEintr([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) return SysError(errno, "open", path);
  return UniqueFd(fd);
}

StatusOr<UniqueFd> OpenAt(const UniqueFd& dir, const std::string& path, int flags, mode_t mode) {
  const int fd =
      RetryEintr([&] { return ::openat(dir.get(), path.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) return SysError(errno, "open", path);
  return UniqueFd(fd);
}

StatusOr<UniqueFd> OpenAt2(const UniqueFd& dir, const std::string& path, uint64_t flags,
                           uint64_t resolve, mode_t mode) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = resolve;
  constexpr int kRaces = 128;
  for (int attempt = 0;; ++attempt) {
    const long fd = RetryEintr(
        [&] { return ::syscall(SYS_openat2, dir.get(), path.c_str(), &how, sizeof how); });
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno != EAGAIN || attempt == kRaces) return SysError(errno, "openat2", path);
  }
}

StatusOr<UniqueFd> Duplicate(const UniqueFd& fd) {
  const int copy = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return SysError(errno, "fcntl F_DUPFD_CLOEXEC");
  return UniqueFd(copy);
}

Status WriteAll(const UniqueFd& fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = RetryEintr([&] { return ::write(fd.get(), data.data(), data.size()); });
    if (n < 0) return SysError(errno, "write");
    data.remove_prefix(static_cast<size_t>(n));
  }
  return OkStatus();
}

StatusOr<std::string> ReadAll(const UniqueFd& fd, size_t limit) {
  std::string out;
  std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t n = RetryEintr([&] { return ::read(fd.get(), buffer.data(), buffer.size()); });
    if (n < 0) return SysError(errno, "read");
    if (n == 0) return out;
    if (out.size() + static_cast<size_t>(n) > limit)
      return Error(StatusCode::kResourceExhausted, "larger than {} bytes", limit);
    out.append(buffer.data(), static_cast<size_t>(n));
  }
}

Status MakeDir(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) < 0) return SysError(errno, "mkdir", path);
  return OkStatus();
}

Status MakeDirAt(const UniqueFd& dir, const std::string& path, mode_t mode) {
  if (::mkdirat(dir.get(), path.c_str(), mode) < 0) return SysError(errno, "mkdir", path);
  return OkStatus();
}

Status Unlink(const std::string& path) {
  if (::unlink(path.c_str()) < 0) return SysError(errno, "unlink", path);
  return OkStatus();
}

Status UnlinkAt(const UniqueFd& dir, const std::string& path, int flags) {
  if (::unlinkat(dir.get(), path.c_str(), flags) < 0) return SysError(errno, "unlink", path);
  return OkStatus();
}

Status Rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) < 0) return SysError(errno, "rename", from);
  return OkStatus();
}

Status Fsync(const UniqueFd& fd) {
  if (::fsync(fd.get()) < 0) return SysError(errno, "fsync");
  return OkStatus();
}

StatusOr<struct stat> Stat(const UniqueFd& fd) {
  struct stat st;
  if (::fstat(fd.get(), &st) < 0) return SysError(errno, "fstat");
  return st;
}

StatusOr<struct stat> StatPath(const std::string& path) {
  struct stat st;
  if (::stat(path.c_str(), &st) < 0) return SysError(errno, "stat", path);
  return st;
}

StatusOr<std::string> ReadLink(const std::string& path) {
  std::array<char, PATH_MAX> buffer;
  const ssize_t n = ::readlink(path.c_str(), buffer.data(), buffer.size());
  if (n < 0) return SysError(errno, "readlink", path);
  return std::string(buffer.data(), static_cast<size_t>(n));
}

StatusOr<std::string> ReadLinkAt(const UniqueFd& dir, const std::string& name) {
  std::array<char, PATH_MAX> buffer;
  const ssize_t n = ::readlinkat(dir.get(), name.c_str(), buffer.data(), buffer.size());
  if (n < 0) return SysError(errno, "readlink", name);
  return std::string(buffer.data(), static_cast<size_t>(n));
}

}  // namespace ocirun::sys
