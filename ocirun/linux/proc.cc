// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/proc.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statfs.h>

#include "base/path.h"
#include "base/sys/file.h"
#include "base/sys/mount.h"

namespace ocirun::linux_ {

StatusOr<bool> IsProcRoot(const UniqueFd& folder) {
  struct statfs fs;
  if (::fstatfs(folder.get(), &fs) < 0) return SysError(errno, "fstatfs");
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(folder));
  constexpr ino_t kProcRootInode = 1;  // linux/proc_fs.h, PROC_ROOT_INO
  return fs.f_type == PROC_SUPER_MAGIC && st.st_ino == kProcRootInode;
}

StatusOr<UniqueFd> OpenProc() {
  ASSIGN_OR_RETURN(UniqueFd proc, sys::Open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW));
  ASSIGN_OR_RETURN(const bool is_root, IsProcRoot(proc));
  if (!is_root) return FailedPrecondition("/proc of the host is not a procfs");
  return proc;
}

StatusOr<UniqueFd> NewProc() {
  ASSIGN_OR_RETURN(const UniqueFd context, sys::FsOpen("proc"));
  RETURN_IF_ERROR(sys::FsCreate(context));
  return sys::FsMount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

StatusOr<const UniqueFd*> ProcOrNew(const UniqueFd& given, UniqueFd* made) {
  if (given.valid()) return &given;
  ASSIGN_OR_RETURN(*made, NewProc());
  return made;
}

Dumpable::Dumpable() { ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); }
Dumpable::~Dumpable() { ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }

StatusOr<UniqueFd> OpenInProc(const UniqueFd& proc, const std::string& path, int flags) {
  return OpenBelow(proc, path, flags, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
}

Status WriteInProc(const UniqueFd& proc, const std::string& path, std::string_view value) {
  ASSIGN_OR_RETURN(const UniqueFd file, OpenInProc(proc, path, O_WRONLY));
  return sys::WriteAll(file, value);
}

}  // namespace ocirun::linux_
