// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun {

// One process, and no other that gets its number: a pidfd. Where there is none (before 5.3) it is
// the number and the time of the start, which is looked at before each use; between the look and
// the use the number may still become another's, as with every program of those days.
class ProcessHandle {
 public:
  // The process that began at `start_time` (sys::ProcessStartTime()). ESRCH when it has ended, also
  // when it is a zombie or its number is another's.
  static StatusOr<ProcessHandle> Open(pid_t pid, uint64_t start_time);
  // A child that the caller has not reaped: its number is its own until then.
  static StatusOr<ProcessHandle> OfChild(pid_t pid);

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Invalid where there is none.
  [[nodiscard]] const UniqueFd& pidfd() const { return pidfd_; }
  void Close() { pidfd_.Reset(); }
  [[nodiscard]] bool HasEnded() const;
  [[nodiscard]] Status Signal(int signal) const;
  // poll(2), EINTR retried, for which the first entry is this process: it is filled in here, and
  // POLLIN tells its end.
  int Poll(std::vector<pollfd>* fds, int timeout_ms) const;

 private:
  ProcessHandle(pid_t pid, uint64_t start_time, UniqueFd pidfd)
      : pid_(pid), start_time_(start_time), pidfd_(std::move(pidfd)) {}
  static StatusOr<ProcessHandle> New(pid_t pid, uint64_t start_time);

  pid_t pid_;
  uint64_t start_time_;  // of a child unknown, and not needed
  UniqueFd pidfd_;
};

}  // namespace ocirun
