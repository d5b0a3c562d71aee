// SPDX-License-Identifier: Apache-2.0
//
// One function a system call on files: CLOEXEC always, EINTR retried, the error says
// "<call> <target>: <reason>" and carries errno. No policy and no fall-back lives here.
#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::sys {

// Runs `call` again while it fails with EINTR.
template <typename F>
auto RetryEintr(F call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

// Whether `err` may mean that there is no such call: ENOSYS of a kernel that is older than it,
// EPERM of a seccomp profile that is (Docker's before 20.10, containerd's before 1.5). Where it
// means what it says, an older call that does the same says it again.
inline bool MayBeMissing(int err) { return err == ENOSYS || err == EPERM; }

// open(2) / openat(2); O_CLOEXEC is added.
StatusOr<UniqueFd> Open(const std::string& path, int flags, mode_t mode = 0);
StatusOr<UniqueFd> OpenAt(const UniqueFd& dir, const std::string& path, int flags, mode_t mode = 0);
// openat2(2) with RESOLVE_* in `resolve`; O_CLOEXEC is added. EAGAIN (a racing rename) is retried
// a bounded number of times.
StatusOr<UniqueFd> OpenAt2(const UniqueFd& dir, const std::string& path, uint64_t flags,
                           uint64_t resolve, mode_t mode = 0);
StatusOr<UniqueFd> Duplicate(const UniqueFd& fd);  // F_DUPFD_CLOEXEC

// Both move all bytes, or fail.
Status WriteAll(const UniqueFd& fd, std::string_view data);
StatusOr<std::string> ReadAll(const UniqueFd& fd, size_t limit);  // ResourceExhausted over `limit`

Status MakeDir(const std::string& path, mode_t mode);
Status MakeDirAt(const UniqueFd& dir, const std::string& path, mode_t mode);
Status Unlink(const std::string& path);
Status UnlinkAt(const UniqueFd& dir, const std::string& path, int flags);
Status Rename(const std::string& from, const std::string& to);
Status Fsync(const UniqueFd& fd);
StatusOr<struct stat> Stat(const UniqueFd& fd);
StatusOr<struct stat> StatPath(const std::string& path);  // follows links
StatusOr<std::string> ReadLink(const std::string& path);
// readlinkat(2); an empty name is the link that `dir` (O_PATH | O_NOFOLLOW) refers to.
StatusOr<std::string> ReadLinkAt(const UniqueFd& dir, const std::string& name);

}  // namespace ocirun::sys
