// SPDX-License-Identifier: Apache-2.0
#include "shim/logger.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/spawn.h"
#include "base/sys/file.h"
#include "base/sys/process.h"

namespace ocirun::shim {
namespace {

constexpr std::chrono::seconds kStopTime{12};
// A logger that never says anything would hold Create for ever.
constexpr std::chrono::seconds kReadyTime{60};
constexpr int kFirstFd = 3;

struct Pipe {
  UniqueFd read, write;
};

// Above the numbers that the program is to see: no descriptor is overwritten before it was copied.
StatusOr<UniqueFd> MoveUp(UniqueFd fd) {
  constexpr int kAbove = 16;
  const int moved = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, kAbove);
  if (moved < 0) return SysError(errno, "fcntl F_DUPFD_CLOEXEC");
  return UniqueFd(moved);
}

StatusOr<Pipe> NewPipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) return SysError(errno, "pipe");
  Pipe pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
  ASSIGN_OR_RETURN(pipe.read, MoveUp(std::move(pipe.read)));
  ASSIGN_OR_RETURN(pipe.write, MoveUp(std::move(pipe.write)));
  return pipe;
}

}  // namespace

StatusOr<std::unique_ptr<Logger>> Logger::Start(Loop* loop, const LoggerUri& uri,
                                                const std::vector<std::string>& environment,
                                                Output* output) {
  std::unique_ptr<Logger> logger(new Logger(loop, uri.must_answer));
  ASSIGN_OR_RETURN(Pipe out, NewPipe());
  ASSIGN_OR_RETURN(Pipe err, NewPipe());
  ASSIGN_OR_RETURN(Pipe ready, NewPipe());
  RETURN_IF_ERROR(logger->Spawn(uri, environment, out.read, err.read, ready.write));
  output->out = std::move(out.write);
  output->err = std::move(err.write);
  logger->ready_pipe_ = std::move(ready.read);
  Logger* raw = logger.get();
  RETURN_IF_ERROR(loop->Watch(logger->ready_pipe_, EPOLLIN, [raw](uint32_t) { raw->HearReady(); }));
  return logger;
}

Status Logger::Spawn(const LoggerUri& uri, const std::vector<std::string>& environment,
                     const UniqueFd& out, const UniqueFd& err, const UniqueFd& ready) {
  SpawnSetup setup;
  ::posix_spawn_file_actions_addopen(&setup.actions, 0, "/dev/null", O_RDWR, 0);
  ::posix_spawn_file_actions_adddup2(&setup.actions, 0, 1);
  ::posix_spawn_file_actions_adddup2(&setup.actions, 0, 2);
  const UniqueFd* fds[] = {&out, &err, &ready};
  for (int i = 0; i < 3; ++i)
    ::posix_spawn_file_actions_adddup2(&setup.actions, fds[i]->get(), kFirstFd + i);
  setup.ResetSignals();
  std::vector<std::string> words = {uri.program};
  words.insert(words.end(), uri.args.begin(), uri.args.end());
  auto pid = setup.Spawn(uri.program, Pointers(words).data(), Pointers(environment).data());
  if (!pid.ok()) return Annotate(pid.status(), "logger");
  program_->pid = *pid;
  loop_->OnChild(program_->pid, [program = program_](int) {
    program->gone = true;
    if (program->on_gone) program->on_gone();
  });
  return OkStatus();
}

Logger::~Logger() {
  if (ready_pipe_) loop_->Forget(ready_pipe_);
  Stop(nullptr);
}

void Logger::HearReady() {
  char byte = 0;
  const ssize_t n = sys::RetryEintr([&] { return ::read(ready_pipe_.get(), &byte, 1); });
  loop_->Forget(ready_pipe_);
  ready_pipe_.Reset();
  SetReady(n == 0 && must_answer_ ? FailedPrecondition("the logger ended without being ready")
                                  : OkStatus());
}

void Logger::SetReady(Status status) {
  if (is_ready_) return;
  is_ready_ = true;
  ready_status_ = std::move(status);
  if (on_ready_) std::exchange(on_ready_, nullptr)(ready_status_);
}

void Logger::WhenReady(std::function<void(const Status&)> ready) {
  if (is_ready_) return ready(ready_status_);
  on_ready_ = std::move(ready);
  loop_->After(kReadyTime, [this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    SetReady(Error(StatusCode::kDeadlineExceeded, "the logger is not ready after {} s",
                   kReadyTime.count()));
  });
}

void Logger::Stop(std::function<void()> gone) {
  const bool again = std::exchange(stopped_, true);
  if (program_->gone || again) {
    if (gone) gone();
    return;
  }
  program_->on_gone = std::move(gone);
  IgnoreError(sys::Kill(program_->pid, SIGTERM), "it has just ended");
  loop_->After(kStopTime, [program = program_] {
    if (!program->gone) IgnoreError(sys::Kill(program->pid, SIGKILL), "it has just ended");
  });
}

}  // namespace ocirun::shim
