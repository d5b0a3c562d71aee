// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/program.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/file.h"
#include "base/open_fds.h"
#include "base/status_text.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/sys/socket.h"
#include "ocirun/linux/self_exe.h"

namespace ocirun::linux_ {
namespace {

constexpr size_t kMaxMessage = 16 * 1024;

Status CopyTo(int from, int to) {
  if (::dup2(from, to) < 0) return SysError(errno, "dup2");
  return OkStatus();
}

StatusOr<UniqueFd> MoveAbove(const UniqueFd& fd, int above) {
  UniqueFd moved(::fcntl(fd.get(), F_DUPFD_CLOEXEC, above));
  if (!moved) return SysError(errno, "fcntl F_DUPFD_CLOEXEC");
  return moved;
}

// In the child: its descriptors in their places, and no others. Returns only when it fails;
// `*report` is what the failure can be written to.
Status Execute(const Program& program, UniqueFd* report) {
  if (program.prepare) RETURN_IF_ERROR(program.prepare());
  // Out of the way of the numbers that are to be taken first.
  const int above = 3 + static_cast<int>(program.fds.size());
  std::vector<UniqueFd> moved;
  for (const UniqueFd* fd : program.fds) {
    ASSIGN_OR_RETURN(moved.emplace_back(), MoveAbove(*fd, above));
  }
  ASSIGN_OR_RETURN(*report, MoveAbove(*report, above));
  if (!program.share_stdio) {
    ASSIGN_OR_RETURN(const UniqueFd null, sys::Open("/dev/null", O_RDWR));
    for (int fd = 0; fd < 3; ++fd) RETURN_IF_ERROR(CopyTo(null.get(), fd));
  }
  std::vector<int> keep = {0, 1, 2, report->get()};
  for (size_t i = 0; i < moved.size(); ++i) {
    keep.push_back(3 + static_cast<int>(i));
    RETURN_IF_ERROR(CopyTo(moved[i].get(), keep.back()));
  }
  RETURN_IF_ERROR(CloseAllBut(std::move(keep)));
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  std::vector<char*> argv;
  for (const std::string& arg : program.args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  ::execv(program.path.c_str(), argv.data());
  return SysError(errno, "exec", program.path);
}

}  // namespace

StatusOr<pid_t> Spawn(const Program& program) {
  ASSIGN_OR_RETURN(auto sockets, sys::SocketPair());
  ASSIGN_OR_RETURN(const pid_t pid, program.clone ? program.clone() : sys::Clone(0));
  if (pid == 0) {
    const Status failed = Execute(program, &sockets.second);
    IgnoreError(sys::Send(sockets.second, StatusText(failed)),
                "without an answer it fails as well");
    ::_exit(127);
  }
  sys::ChildGuard guard(pid);
  sockets.second.Reset();
  // Closed by exec.
  ASSIGN_OR_RETURN(const std::string failure, sys::Receive(sockets.first, kMaxMessage));
  if (!failure.empty()) return StatusFromText(failure);
  return guard.Release();
}

StatusOr<std::string> FindHelper(const std::string& name, std::string_view purpose) {
  ASSIGN_OR_RETURN(std::string path, PathBesideSelf(name));
  if (!PathExists(path))
    return FailedPrecondition("{} is missing: install it beside ocirun to {}", path, purpose);
  return path;
}

}  // namespace ocirun::linux_
