// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/proc.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/prctl.h>
#include <sys/statfs.h>

#include "base/sys/file.h"

namespace ocirun::linux_ {

StatusOr<UniqueFd> OpenProc() {
  ASSIGN_OR_RETURN(UniqueFd proc, sys::Open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW));
  struct statfs fs;
  if (::fstatfs(proc.get(), &fs) < 0) return SysError(errno, "fstatfs", "/proc");
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(proc));
  constexpr ino_t kProcRootInode = 1;  // linux/proc_fs.h, PROC_ROOT_INO
  if (fs.f_type != PROC_SUPER_MAGIC || st.st_ino != kProcRootInode)
    return FailedPrecondition("/proc of the host is not a procfs");
  return proc;
}

Dumpable::Dumpable() { ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); }
Dumpable::~Dumpable() { ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }

StatusOr<UniqueFd> OpenInProc(const UniqueFd& proc, const std::string& path, int flags) {
  return sys::OpenAt2(proc, path, static_cast<uint64_t>(flags),
                      RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
}

Status WriteInProc(const UniqueFd& proc, const std::string& path, std::string_view value) {
  ASSIGN_OR_RETURN(const UniqueFd file, OpenInProc(proc, path, O_WRONLY));
  return sys::WriteAll(file, value);
}

}  // namespace ocirun::linux_
