// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/self_exe.h"

#include <fcntl.h>
#include <signal.h>
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
#include "base/sys/socket.h"
#include "ocirun/log/log.h"

namespace ocirun::linux_ {
namespace {

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

char** arguments = nullptr;  // of main(), when ProtectSelf() has them

StatusOr<UniqueFd> OpenSelf() { return sys::Open("/proc/self/exe", O_RDONLY); }

bool IsSealedCopy(const UniqueFd& self) {
  const int seals = ::fcntl(self.get(), F_GET_SEALS);
  return seals >= 0 && (seals & kSeals) == kSeals;
}

bool IsProtected(const UniqueFd& self) {
  struct statvfs fs;
  if (::fstatvfs(self.get(), &fs) == 0 && (fs.f_flag & ST_RDONLY) != 0) return true;
  return IsSealedCopy(self);
}

StatusOr<UniqueFd> ReadOnlyBind(const UniqueFd& self) {
  ASSIGN_OR_RETURN(UniqueFd tree, sys::CloneTree(self, false));
  RETURN_IF_ERROR(sys::MountSetAttr(tree, false, MOUNT_ATTR_RDONLY, 0));
  return tree;
}

// vm.memfd_noexec has a file that can be executed only for who asks for it, which kernels before
// Linux 6.3 refuse.
StatusOr<UniqueFd> ExecutableMemory() {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING, kExec = 0x10;  // linux/memfd.h
  UniqueFd memory(::memfd_create("ocirun", kFlags | kExec));
  if (!memory && errno == EINVAL) memory = UniqueFd(::memfd_create("ocirun", kFlags));
  if (!memory) return SysError(errno, "memfd_create");
  return memory;
}

// RLIMIT_FSIZE of the caller counts for memory, too: to exceed it is to be an error, and not the
// signal that ends the process (setrlimit(2)).
class FileSizeSignal {
 public:
  FileSizeSignal() {
    ::sigemptyset(&set_);
    ::sigaddset(&set_, SIGXFSZ);
    ::sigprocmask(SIG_BLOCK, &set_, &old_);
  }
  FileSizeSignal(const FileSizeSignal&) = delete;
  FileSizeSignal& operator=(const FileSizeSignal&) = delete;
  ~FileSizeSignal() {
    const timespec at_once{};
    ::sigtimedwait(&set_, nullptr, &at_once);
    ::sigprocmask(SIG_SETMASK, &old_, nullptr);
  }

 private:
  sigset_t set_, old_;
};

StatusOr<UniqueFd> SealedCopy(const UniqueFd& self) {
  ASSIGN_OR_RETURN(UniqueFd copy, ExecutableMemory());
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(self));
  const FileSizeSignal held_back;
  for (off_t left = st.st_size; left > 0;) {
    const ssize_t n = ::sendfile(copy.get(), self.get(), nullptr, static_cast<size_t>(left));
    if (n <= 0) return SysError(errno, "sendfile");
    left -= n;
  }
  if (::fcntl(copy.get(), F_ADD_SEALS, kSeals) < 0) return SysError(errno, "fcntl F_ADD_SEALS");
  return copy;
}

std::optional<int> held_mount;  // for ReleaseSelf()

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
  held_mount.reset();
  const auto held = HeldSelf();
  if (!held.has_value()) return OkStatus();
  // For no hook or helper. A child of the process that held it has closed it.
  if (::fcntl(*held, F_SETFD, FD_CLOEXEC) < 0) return OkStatus();
  // A copy in memory may have been closed by the exec, and its number be another's.
  if (!IsDetachedFile(self)) return OkStatus();
  held_mount = held;
  return ForbidExec(*held);
}

// Returns when it fails.
Status ExecuteFrom(const UniqueFd& program) {
  ::execveat(program.get(), "", arguments, environ, AT_EMPTY_PATH);
  // By the name of the descriptor it is the same file on the same mount: /proc/self/exe shows no
  // other afterwards.
  if (sys::MayBeMissing(errno)) ::execve(ProcFdPath(program).c_str(), arguments, environ);
  return SysError(errno, "execveat", "/proc/self/exe");
}

Status RunFromCopy() {
  ASSIGN_OR_RETURN(const UniqueFd self, OpenSelf());
  if (IsSealedCopy(self)) return OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd copy, SealedCopy(self));
  // A name says nothing any more where this program cannot be seen (SelfPath).
  ASSIGN_OR_RETURN(std::string path, SelfPath());
  char* const name =
      std::exchange(arguments[0], arguments[0][0] == '/' ? arguments[0] : path.data());
  const Status failed = ExecuteFrom(copy);
  arguments[0] = name;
  return failed;
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
  arguments = argv;
  ASSIGN_OR_RETURN(const UniqueFd self, OpenSelf());
  if (IsProtected(self)) return KeepHeld(self);
  auto copy = ReadOnlyBind(self);
  // Where mounts are refused (no CAP_SYS_ADMIN).
  if (!copy.ok()) copy = SealedCopy(self);
  if (!copy.ok()) return Annotate(copy.status(), "can't protect the runtime's own program");
  // Where it was started from is not to be seen any more afterwards: SelfPath() looks here.
  ASSIGN_OR_RETURN(std::string path, sys::ReadLink("/proc/self/exe"));
  argv[0] = path.data();
  const UniqueFd held(::fcntl(copy->get(), F_DUPFD, kHeldSelf));
  return ExecuteFrom(held ? held : *copy);
}

void HideSelf() {
  if (arguments == nullptr) return;
  const Status hidden = RunFromCopy();
  if (!hidden.ok())
    Warn("the runtime's program can be read by who may look at every process in the container: {}",
         MessageOf(hidden));
}

void ReleaseSelf(Release when) {
  if (!held_mount.has_value()) return;
  UniqueFd mount(*std::exchange(held_mount, std::nullopt));
  if (when == Release::kLater) sys::CloseLater(std::move(mount));
}

StatusOr<std::string> SelfPath() {
  ASSIGN_OR_RETURN(std::string path, sys::ReadLink("/proc/self/exe"));
  // As a mount of its own it is "/", as a copy in memory "/memfd:ocirun (deleted)".
  if (path == "/" || path.starts_with("/memfd:")) path = program_invocation_name;
  // A name would be looked up where the caller happens to stand.
  if (path[0] != '/') return NotFound("the path of this program is not known");
  return path;
}

StatusOr<std::string> PathBesideSelf(std::string_view name) {
  ASSIGN_OR_RETURN(const std::string self, SelfPath());
  return self.substr(0, self.rfind('/') + 1).append(name);
}

}  // namespace ocirun::linux_
