// SPDX-License-Identifier: Apache-2.0
#include "ocirun/init/become.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <set>

#include "base/file.h"
#include "base/open_fds.h"
#include "base/passwd.h"
#include "base/path.h"
#include "base/sys/file.h"
#include "ocirun/init/sync.h"
#include "ocirun/linux/capabilities.h"
#include "ocirun/linux/exec_lookup.h"
#include "ocirun/linux/lsm.h"
#include "ocirun/linux/proc.h"

namespace ocirun::init {
namespace {

Status CheckInside() {
  std::array<char, PATH_MAX> buffer;
  // The system call, not the C library: outside the root it says "(unreachable)/…".
  const long n = ::syscall(SYS_getcwd, buffer.data(), buffer.size());
  if (n < 0) return SysError(errno, "getcwd");
  if (buffer[0] != '/')
    return Error(StatusCode::kPermissionDenied,
                 "current working directory is outside of container mount namespace root");
  return OkStatus();
}

Status ChangeUser(const oci::User& user) {
  // setgroups may be denied in a user namespace (user_namespaces(7)); then there must be none.
  if (::setgroups(user.additional_gids.size(), user.additional_gids.data()) < 0 &&
      !(errno == EPERM && user.additional_gids.empty()))
    return SysError(errno, "setgroups");
  if (::setresgid(user.gid, user.gid, user.gid) < 0)
    return SysError(errno, "setresgid", std::to_string(user.gid));
  if (::setresuid(user.uid, user.uid, user.uid) < 0)
    return SysError(errno, "setresuid", std::to_string(user.uid));
  return OkStatus();
}

// The command may open its own standard streams anew (/dev/stdout), so pipes and files that the
// caller made for it become its user's. The null device is everybody's: only what is really it is
// left out (not merely a device with the same number, CVE-2026-88265).
Status GiveStandardStreams(const oci::User& user) {
  for (int fd = 0; fd < 3; ++fd) {
    struct stat st;
    if (::fstat(fd, &st) < 0) {
      if (errno == EBADF) continue;
      return SysError(errno, "fstat", "standard stream");
    }
    if (st.st_uid == user.uid || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))) continue;
    // A file that can't be given stays the caller's, with the rights that it has.
    if (::fchown(fd, user.uid, st.st_gid) < 0 && errno != EINVAL && errno != EPERM &&
        errno != EROFS && errno != EACCES)
      return SysError(errno, "fchown", "standard stream");
  }
  return OkStatus();
}

// HOME, when the environment has none: of the user's line in the container's /etc/passwd.
std::string HomeOf(uid_t uid) {
  auto fd = sys::Open("/etc/passwd", O_RDONLY | O_NONBLOCK);
  if (!fd.ok()) return "/";
  const auto text = sys::ReadAll(*fd, 1 << 20);
  const auto entry = text.ok() ? FindPasswd(*text, uid) : std::nullopt;
  if (entry.has_value() && !entry->home.empty()) return entry->home;
  return "/";
}

}  // namespace

std::vector<std::string> Environment(const oci::Process& process) {
  // The last of several entries for one name counts.
  std::vector<std::string> env;
  std::set<std::string> names;
  bool home = false;
  for (auto entry = process.env.rbegin(); entry != process.env.rend(); ++entry) {
    const std::string name = entry->substr(0, entry->find('='));
    if (!names.insert(name).second) continue;
    const bool is_home = name == "HOME";
    const bool empty = entry->size() <= name.size() + 1;
    home = home || (is_home && !empty);
    if (!is_home || !empty) env.insert(env.begin(), *entry);
  }
  if (!home) env.push_back("HOME=" + HomeOf(process.user.uid));
  return env;
}

namespace {

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

// Whatever else is open closes at exec: nothing of the host goes along. By name /proc would be the
// container's here.
Status CloseTheRestAtExec(const UniqueFd& proc, int first) {
  UniqueFd made;
  return CloseAtExec(first, [&]() -> StatusOr<UniqueFd> {
    const auto usable = linux_::ProcOrNew(proc, &made);
    if (usable.ok()) return linux_::OpenInProc(**usable, "self/fd", O_RDONLY | O_DIRECTORY);
    if (!sys::MayBeMissing(ErrnoOf(usable.status()))) return usable.status();
    // No procfs can be made that is mounted nowhere (before 5.2). Whatever stands here instead,
    // what was not ours is closed long ago, and ours are born to close.
    return sys::Open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
  });
}

Status LoadFilter(const Identity& identity) {
  if (!identity.seccomp.has_value()) return OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd listener, linux_::LoadSeccomp(*identity.seccomp));
  if (!listener.valid()) return OkStatus();
  // The command must not run before its supervisor is there.
  RETURN_IF_ERROR(SendListener(identity.companion, listener));
  return Expect(identity.companion, Message::kGo);
}

Status EnterWorkingFolder(const oci::Process& process) {
  // In runc's words.
  if (::chdir(process.cwd.c_str()) < 0)
    return SysError(errno,
                    fmt::format("chdir to cwd ({:?}) set in config.json failed", process.cwd));
  return CheckInside();
}

// A runtime in the foreground has its signals blocked, and its caller may ignore some (a shell does
// for what it runs in the background, systemd SIGPIPE for all services): exec keeps both
// (signal(7)), and neither is the command's.
Status ResetSignals() {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action{};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN)
      ::signal(signal, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  if (::sigprocmask(SIG_SETMASK, &none, nullptr) < 0) return SysError(errno, "sigprocmask");
  return OkStatus();
}

}  // namespace

StatusOr<Command> PrepareCommand(const oci::Process& process) {
  const std::string& name = process.args[0];
  const Status entered = EnterWorkingFolder(process);
  if (ErrnoOf(entered) != EACCES) RETURN_IF_ERROR(entered);
  // Of what is looked up from there execve(2) will tell.
  if (!entered.ok() && name.find('/') != std::string::npos && name[0] != '/')
    return Command{name, false};
  ASSIGN_OR_RETURN(std::string path, linux_::FindExecutable(name, process.env));
  return Command{std::move(path), entered.ok()};
}

Status Become(const Identity& identity) {
  RETURN_IF_ERROR(ResetSignals());
  const oci::Process& process = identity.process;
  if (process.user.umask.has_value()) ::umask(*process.user.umask);
  RETURN_IF_ERROR(CloseTheRestAtExec(identity.proc, 3 + identity.preserve_fds));
  // Before the user changes: /proc/self/attr belongs to root while we are not dumpable.
  RETURN_IF_ERROR(linux_::SetExecLabels(identity.proc, process));
  // Everything that needs privileges comes before the capabilities go; a filter without
  // no_new_privs needs CAP_SYS_ADMIN (seccomp(2)), so it is loaded between the two steps.
  if (process.capabilities.has_value())
    RETURN_IF_ERROR(linux_::LimitBounding(*process.capabilities));
  RETURN_IF_ERROR(GiveStandardStreams(process.user));
  RETURN_IF_ERROR(ChangeUser(process.user));
  if (!identity.in_working_folder) RETURN_IF_ERROR(EnterWorkingFolder(process));
  if (process.capabilities.has_value()) RETURN_IF_ERROR(linux_::RaiseEffective());
  if (process.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    return SysError(errno, "prctl PR_SET_NO_NEW_PRIVS");
  if (!process.no_new_privileges) RETURN_IF_ERROR(LoadFilter(identity));
  if (process.capabilities.has_value())
    RETURN_IF_ERROR(linux_::SetCapabilities(*process.capabilities));
  return process.no_new_privileges ? LoadFilter(identity) : OkStatus();
}

Status Execute(const oci::Process& process, const std::string& path) {
  const std::vector<std::string> env = Environment(process);
  ::execve(path.c_str(), Pointers(process.args).data(), Pointers(env).data());
  return linux_::ExplainExecFailure(errno, path);
}

}  // namespace ocirun::init
