// SPDX-License-Identifier: Apache-2.0
#include "base/subprocess.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/open_fds.h"
#include "base/process_handle.h"
#include "base/spawn.h"
#include "base/sys/file.h"
#include "base/sys/process.h"

namespace ocirun {
namespace {

struct Pipe {
  UniqueFd read, write;
};

StatusOr<Pipe> NewPipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) return SysError(errno, "pipe");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// What the child gets on its three standard descriptors.
struct Streams {
  int fds[3];
};

StatusOr<pid_t> PosixSpawn(const Command& command, const Streams& streams, char** argv,
                           char** envp) {
  SpawnSetup setup;
  for (int fd = 0; fd < 3; ++fd)
    ::posix_spawn_file_actions_adddup2(&setup.actions, streams.fds[fd], fd);
  ::posix_spawn_file_actions_addclosefrom_np(&setup.actions, 3);
  if (!command.cwd.empty())
    ::posix_spawn_file_actions_addchdir_np(&setup.actions, command.cwd.c_str());
  setup.ResetSignals();
  return setup.Spawn(command.path, argv, envp);
}

// In the child of ForkAndExec(): as PosixSpawn() sets it up. Returns only when it fails.
Status Execute(const Command& command, const Streams& streams, const UniqueFd& report, char** argv,
               char** envp) {
  for (int fd = 0; fd < 3; ++fd)
    if (::dup2(streams.fds[fd], fd) < 0) return SysError(errno, "dup2");
  RETURN_IF_ERROR(CloseAllBut({0, 1, 2, report.get()}));
  if (!command.cwd.empty() && ::chdir(command.cwd.c_str()) < 0)
    return SysError(errno, "chdir", command.cwd);
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(command.path.c_str(), argv, envp);
  return SysError(errno, "exec");
}

// fork(2) of the C library makes the child's heap usable, also in a program with threads.
StatusOr<pid_t> ForkAndExec(const Command& command, const Streams& streams, char** argv,
                            char** envp) {
  ASSIGN_OR_RETURN(Pipe report, NewPipe());
  const pid_t pid = ::fork();
  if (pid < 0) return SysError(errno, "fork");
  if (pid == 0) {
    const int err = ErrnoOf(Execute(command, streams, report.write, argv, envp));
    IgnoreError(sys::WriteAll(report.write, {reinterpret_cast<const char*>(&err), sizeof err}),
                "then the status tells it");
    ::_exit(127);
  }
  sys::ChildGuard guard(pid);
  report.write.Reset();
  ASSIGN_OR_RETURN(const std::string answer, sys::ReadAll(report.read, sizeof(int)));
  if (answer.empty()) return guard.Release();  // closed by exec
  int err = 0;
  std::memcpy(&err, answer.data(), std::min(answer.size(), sizeof err));
  return SysError(err, "exec", command.path);
}

StatusOr<pid_t> Spawn(const Command& command, const Pipe& in, const Pipe& out, const Pipe& err) {
  const std::vector<std::string> args =
      command.args.empty() ? std::vector<std::string>{command.path} : command.args;
  const Streams streams{{in.read.get(), out.write.get(), err.write.get()}};
  std::vector<char*> argv = Pointers(args), envp = Pointers(command.env);
  auto pid = PosixSpawn(command, streams, argv.data(), envp.data());
  // It knows a way without clone3 only when that is missing with ENOSYS (sys::MayBeMissing()).
  if (ErrnoOf(pid.status()) != EPERM) return pid;
  return ForkAndExec(command, streams, argv.data(), envp.data());
}

// Reads what is there; false at the end of the stream.
bool Drain(const UniqueFd& fd, size_t limit, std::string* out) {
  std::array<char, 4096> buffer;
  const ssize_t n = sys::RetryEintr([&] { return ::read(fd.get(), buffer.data(), buffer.size()); });
  if (n <= 0) return false;
  const size_t room = limit - std::min(limit, out->size());
  out->append(buffer.data(), std::min(room, static_cast<size_t>(n)));
  return true;
}

using Clock = std::chrono::steady_clock;

// Milliseconds until the deadline for poll(2); -1 without one.
int Remaining(std::optional<Clock::time_point> deadline) {
  if (!deadline.has_value()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now());
  return static_cast<int>(std::max<int64_t>(0, left.count()));
}

// Feeds and reads the child until it has ended. False when the deadline came first.
bool Talk(const Command& command, Pipe* in, Pipe* out, Pipe* err, const ProcessHandle& child,
          std::optional<Clock::time_point> deadline, CommandResult* result) {
  std::string_view left = command.input;
  ::fcntl(in->write.get(), F_SETFL, O_NONBLOCK);
  if (left.empty()) in->write.Reset();
  for (;;) {
    std::vector<pollfd> fds = {{},
                               {out->read.get(), POLLIN, 0},
                               {err->read.get(), POLLIN, 0},
                               {in->write.get(), POLLOUT, 0}};
    if (child.Poll(&fds, Remaining(deadline)) == 0) return false;
    if (fds[1].revents != 0 && !Drain(out->read, command.max_output, &result->output))
      out->read.Reset();
    if (fds[2].revents != 0 && !Drain(err->read, command.max_output, &result->error_output))
      err->read.Reset();
    if (fds[3].revents != 0) {
      const ssize_t n = ::write(in->write.get(), left.data(), left.size());
      if (n > 0) left.remove_prefix(static_cast<size_t>(n));
      if (left.empty() || (n < 0 && errno != EAGAIN && errno != EINTR)) in->write.Reset();
    }
    // Its output is in the pipes already when it ends; look once more, then go.
    if (fds[0].revents != 0 && fds[1].revents == 0 && fds[2].revents == 0) return true;
  }
}

}  // namespace

std::string OutputAfterColon(const CommandResult& result) {
  std::string text = result.output + result.error_output;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text.empty() ? "" : ": " + text;
}

StatusOr<CommandResult> RunCommand(const Command& command) {
  ASSIGN_OR_RETURN(Pipe in, NewPipe());
  ASSIGN_OR_RETURN(Pipe out, NewPipe());
  ASSIGN_OR_RETURN(Pipe err, NewPipe());
  std::optional<Clock::time_point> deadline;
  if (command.timeout.has_value()) deadline = Clock::now() + *command.timeout;
  // A child that ends without reading its input must not end us.
  sigset_t pipe_signal, old;
  ::sigemptyset(&pipe_signal);
  ::sigaddset(&pipe_signal, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &old);
  Undo restore([&] {
    const timespec now{};
    while (::sigtimedwait(&pipe_signal, nullptr, &now) > 0) continue;
    ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
  });
  ASSIGN_OR_RETURN(const pid_t pid, Spawn(command, in, out, err));
  sys::ChildGuard guard(pid);
  in.read.Reset();
  out.write.Reset();
  err.write.Reset();
  ASSIGN_OR_RETURN(const ProcessHandle child, ProcessHandle::OfChild(pid));
  CommandResult result;
  if (!Talk(command, &in, &out, &err, child, deadline, &result))
    return Error(StatusCode::kDeadlineExceeded, "{} did not end in {} ms{}", command.path,
                 command.timeout->count(), OutputAfterColon(result));
  ASSIGN_OR_RETURN(result.wait_status, sys::WaitPid(guard.Release()));
  return result;
}

}  // namespace ocirun
