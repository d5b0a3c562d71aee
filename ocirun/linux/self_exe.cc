// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/self_exe.h"

#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "base/path.h"
#include "base/sys/file.h"
#include "base/sys/mount.h"

namespace ocirun::linux_ {
namespace {

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

StatusOr<UniqueFd> OpenSelf() { return sys::Open("/proc/self/exe", O_RDONLY); }

bool IsProtected(const UniqueFd& self) {
  struct statvfs fs;
  if (::fstatvfs(self.get(), &fs) == 0 && (fs.f_flag & ST_RDONLY) != 0) return true;
  const int seals = ::fcntl(self.get(), F_GET_SEALS);
  return seals >= 0 && (seals & kSeals) == kSeals;
}

StatusOr<UniqueFd> ReadOnlyBind(const UniqueFd& self) {
  ASSIGN_OR_RETURN(UniqueFd tree, sys::CloneTree(self, false));
  RETURN_IF_ERROR(sys::MountSetAttr(tree, false, MOUNT_ATTR_RDONLY, 0));
  return tree;
}

// Where mounts are refused (no CAP_SYS_ADMIN): a sealed copy in memory.
StatusOr<UniqueFd> SealedCopy(const UniqueFd& self) {
  UniqueFd copy(::memfd_create("ocirun", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!copy) return SysError(errno, "memfd_create");
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(self));
  for (off_t left = st.st_size; left > 0;) {
    const ssize_t n = ::sendfile(copy.get(), self.get(), nullptr, static_cast<size_t>(left));
    if (n <= 0) return SysError(errno, "sendfile");
    left -= n;
  }
  if (::fcntl(copy.get(), F_ADD_SEALS, kSeals) < 0) return SysError(errno, "fcntl F_ADD_SEALS");
  return copy;
}

// The descriptor that this program was executed from, when it is one of kHeldSelf's.
std::optional<int> HeldSelf() {
  const auto* name = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  // By execveat(2) with AT_EMPTY_PATH, and without it by ProcFdPath().
  for (const std::string_view prefix : {"/dev/fd/", "/proc/self/fd/"}) {
    if (name == nullptr || !std::string_view(name).starts_with(prefix)) continue;
    const int fd = std::atoi(name + prefix.size());
    if (fd >= kHeldSelf) return fd;
  }
  return std::nullopt;
}

// A file that is a mount of its own and stands nowhere reads as "/"; no file of the host's does.
bool IsDetachedFile(const UniqueFd& self) {
  const auto path = sys::ReadLink(ProcFdPath(self));
  const auto st = sys::Stat(self);
  return path.ok() && *path == "/" && st.ok() && S_ISREG(st->st_mode);
}

// Whoever executes /proc/self/exe in a container would be this program, a process of the
// container's own that others there may look at, and open its file, whose pages are the host's
// (CVE-2022-0847). This process needs no further right to execute it.
Status ForbidExec(int held) {
  UniqueFd mount(held);
  const Status set = sys::MountSetAttr(mount, false, MOUNT_ATTR_NOEXEC, 0);
  (void)mount.Release();  // ReleaseSelf() closes it
  return set;
}

Status KeepHeld(const UniqueFd& self) {
  const auto held = HeldSelf();
  if (!held.has_value()) return OkStatus();
  // For no hook or helper. A child of the process that held it has closed it.
  if (::fcntl(*held, F_SETFD, FD_CLOEXEC) < 0) return OkStatus();
  return IsDetachedFile(self) ? ForbidExec(*held) : OkStatus();
}

}  // namespace

bool RunsProtected() {
  const auto self = OpenSelf();
  return self.ok() && IsProtected(*self);
}

StatusOr<UniqueFd> ReadOnlySelf() {
  ASSIGN_OR_RETURN(const UniqueFd self, OpenSelf());
  return ReadOnlyBind(self);
}

Status ProtectSelf(char** argv) {
  ASSIGN_OR_RETURN(const UniqueFd self, OpenSelf());
  if (IsProtected(self)) return KeepHeld(self);
  auto copy = ReadOnlyBind(self);
  if (!copy.ok()) copy = SealedCopy(self);
  if (!copy.ok()) return Annotate(copy.status(), "can't protect the runtime's own program");
  // Where it was started from is not to be seen any more afterwards: SelfPath() looks here.
  ASSIGN_OR_RETURN(std::string path, sys::ReadLink("/proc/self/exe"));
  argv[0] = path.data();
  const UniqueFd held(::fcntl(copy->get(), F_DUPFD, kHeldSelf));
  const UniqueFd& from = held ? held : *copy;
  ::execveat(from.get(), "", argv, environ, AT_EMPTY_PATH);
  // By the name of the descriptor it is the same file on the same mount: /proc/self/exe shows no
  // other afterwards.
  if (sys::MayBeMissing(errno)) ::execve(ProcFdPath(from).c_str(), argv, environ);
  return SysError(errno, "execveat", "/proc/self/exe");
}

void ReleaseSelf() {
  static bool released = false;
  if (std::exchange(released, true)) return;  // its number may be another's by now
  if (const auto held = HeldSelf()) ::close(*held);
}

StatusOr<std::string> SelfPath() {
  ASSIGN_OR_RETURN(std::string path, sys::ReadLink("/proc/self/exe"));
  // As a mount of its own it is "/", as a copy in memory "/memfd:ocirun (deleted)".
  if (path == "/" || path.rfind("/memfd:", 0) == 0) return std::string(program_invocation_name);
  return path;
}

}  // namespace ocirun::linux_
