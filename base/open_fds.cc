// SPDX-License-Identifier: Apache-2.0
#include "base/open_fds.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "base/sys/file.h"

namespace ocirun {
namespace {

Status CloseRange(unsigned first, unsigned last, int flags) {
  if (::syscall(SYS_close_range, first, last, flags) < 0) return SysError(errno, "close_range");
  return OkStatus();
}

// EINVAL: the kernel does not know the flag.
bool CannotCloseRange(const Status& status) {
  return sys::MayBeMissing(ErrnoOf(status)) || ErrnoOf(status) == EINVAL;
}

// `folder` is /proc/self/fd. The descriptors through which it is read are in the list, too.
StatusOr<std::vector<int>> OpenFds(const UniqueFd& folder) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(folder));
  std::vector<int> out;
  for (const std::string& name : names)
    std::from_chars(name.data(), name.data() + name.size(), out.emplace_back(-1));
  return out;
}

Status CloseRangesBetween(const std::vector<int>& keep) {
  unsigned first = 0;
  for (const int fd : keep) {
    if (fd < 0) continue;
    const auto kept = static_cast<unsigned>(fd);
    if (kept > first) RETURN_IF_ERROR(CloseRange(first, kept - 1, 0));
    first = kept + 1;
  }
  return CloseRange(first, ~0u, 0);
}

StatusOr<std::vector<int>> OwnOpenFds() {
  ASSIGN_OR_RETURN(const UniqueFd folder, sys::Open("/proc/self/fd", O_RDONLY | O_DIRECTORY));
  return OpenFds(folder);
}

}  // namespace

Status CloseAllBut(std::vector<int> keep) {
  std::sort(keep.begin(), keep.end());
  const Status closed = CloseRangesBetween(keep);
  if (!CannotCloseRange(closed)) return closed;
  ASSIGN_OR_RETURN(const std::vector<int> open, OwnOpenFds());
  for (const int fd : open)
    // EBADF: one through which the folder was read.
    if (!std::binary_search(keep.begin(), keep.end(), fd) && ::close(fd) < 0 && errno != EBADF)
      return SysError(errno, "close");
  return OkStatus();
}

Status CloseAtExec(int first, const std::function<StatusOr<UniqueFd>()>& open_folder) {
  const Status marked = CloseRange(static_cast<unsigned>(first), ~0u, CLOSE_RANGE_CLOEXEC);
  if (!CannotCloseRange(marked)) return marked;
  ASSIGN_OR_RETURN(const UniqueFd folder, open_folder());
  ASSIGN_OR_RETURN(const std::vector<int> open, OpenFds(folder));
  for (const int fd : open)
    // EBADF: one through which the folder was read.
    if (fd >= first && ::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 && errno != EBADF)
      return SysError(errno, "fcntl FD_CLOEXEC");
  return OkStatus();
}

}  // namespace ocirun
