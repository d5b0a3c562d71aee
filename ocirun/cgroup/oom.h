// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::cgroup {

// Tells when the kernel kills a process of the container for its memory limit, and when its cgroup
// goes away.
class OomWatch {
 public:
  // `view` is Manager::View(). FailedPrecondition without a memory controller.
  static StatusOr<OomWatch> Open(const std::map<std::string, std::string>& view);

  // To be polled for reading.
  [[nodiscard]] const UniqueFd& fd() const { return fd_; }

  enum class Event { kNothing, kOom, kGone };
  // Reads what made the descriptor readable.
  StatusOr<Event> Read();

 private:
  std::string folder_;
  bool v2_ = false;
  UniqueFd fd_;       // v1: an eventfd; v2: an inotify descriptor on memory.events
  UniqueFd control_;  // v1: memory.oom_control, which must stay open
  uint64_t kills_ = 0;
};

}  // namespace ocirun::cgroup
