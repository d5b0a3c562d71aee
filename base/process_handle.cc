// SPDX-License-Identifier: Apache-2.0
#include "base/process_handle.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/sys/file.h"
#include "base/sys/process.h"

namespace ocirun {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLookEvery = 10;  // milliseconds, at a process whose end nothing tells

int Poll(std::vector<pollfd>* fds, int timeout_ms) {
  return sys::RetryEintr([&] { return ::poll(fds->data(), fds->size(), timeout_ms); });
}

}  // namespace

StatusOr<ProcessHandle> ProcessHandle::New(pid_t pid, uint64_t start_time) {
  auto pidfd = sys::PidfdOpen(pid);
  if (!pidfd.ok() && !sys::MayBeMissing(ErrnoOf(pidfd.status()))) return pidfd.status();
  return ProcessHandle(pid, start_time, pidfd.ok() ? std::move(*pidfd) : UniqueFd());
}

StatusOr<ProcessHandle> ProcessHandle::Open(pid_t pid, uint64_t start_time) {
  ASSIGN_OR_RETURN(ProcessHandle handle, New(pid, start_time));
  // Looked at with the pidfd in hand: what was right before it may be another process by then.
  const auto now = sys::ProcessStartTime(pid);
  if (!now.ok() || *now != start_time) return SysError(ESRCH, "process", std::to_string(pid));
  return handle;
}

StatusOr<ProcessHandle> ProcessHandle::OfChild(pid_t pid) { return New(pid, 0); }

bool ProcessHandle::HasEnded() const {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0)
    return info.si_pid != 0;
  // It is not our child.
  const auto now = sys::ProcessStartTime(pid_);
  return !now.ok() || *now != start_time_;
}

Status ProcessHandle::Signal(int signal) const {
  if (pidfd_.valid()) {
    const Status sent = sys::PidfdSendSignal(pidfd_, signal);
    if (!sys::MayBeMissing(ErrnoOf(sent))) return sent;
  }
  if (HasEnded()) return SysError(ESRCH, "kill", std::to_string(pid_));
  return sys::Kill(pid_, signal);
}

int ProcessHandle::Poll(std::vector<pollfd>* fds, int timeout_ms) const {
  fds->front() = {pidfd_.get(), POLLIN, 0};
  if (pidfd_.valid()) return ocirun::Poll(fds, timeout_ms);
  const auto end = Clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    int step = kLookEvery;
    if (timeout_ms >= 0) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
      step = static_cast<int>(std::clamp<int64_t>(left, 0, kLookEvery));
    }
    // Before the others are looked at, so that all that it wrote is there when its end is told.
    const bool ended = HasEnded();
    const int ready = ocirun::Poll(fds, ended ? 0 : step);
    if (ended && ready >= 0) {
      fds->front().revents = POLLIN;
      return ready + 1;
    }
    if (ready != 0 || step == 0) return ready;
  }
}

}  // namespace ocirun
