// SPDX-License-Identifier: Apache-2.0
//
// The one thread of the shim: an epoll loop with descriptors, timers and children. Everything in
// this folder runs in it, so nothing needs a lock and nothing may block.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "base/status.h"
#include "base/unique_fd.h"
#include "shim/spare_fds.h"

namespace ocirun::shim {

class Loop {
 public:
  using OnReady = std::function<void(uint32_t events)>;
  using OnExit = std::function<void(int wait_status)>;

  // Blocks SIGCHLD, SIGTERM and SIGINT, which the loop reads from a descriptor, and ignores
  // SIGPIPE. Must be made before anything is spawned.
  static StatusOr<std::unique_ptr<Loop>> Create();

  // Calls `ready` while any of `events` (EPOLLIN, ...) holds. `fd` is borrowed: Forget it before it
  // is closed.
  Status Watch(const UniqueFd& fd, uint32_t events, OnReady ready);
  // 0: not now.
  void Change(const UniqueFd& fd, uint32_t events);
  void Forget(const UniqueFd& fd);

  // Calls `exited` once the child has ended, also when that was before the call: children of our
  // children become ours, and their number is learnt late.
  void OnChild(pid_t pid, OnExit exited);

  using Timers = std::multimap<std::chrono::steady_clock::time_point, std::function<void()>>;
  using Timer = Timers::iterator;  // until the call
  Timer After(std::chrono::milliseconds delay, std::function<void()> call);
  // Must not have called yet.
  void Cancel(Timer timer) { timers_.erase(timer); }

  [[nodiscard]] SpareFds::Loan LendSpareFds() { return spare_fds_->Lend(); }

  // Until Stop, or SIGTERM or SIGINT. Can be called again.
  Status Run();
  void Stop() { stopped_ = true; }

 private:
  explicit Loop(UniqueFd epoll, UniqueFd signals)
      : epoll_(std::move(epoll)), signals_(std::move(signals)) {}
  void HandleSignals();
  void Reap();
  void RunTimers();
  [[nodiscard]] int UntilNextTimer() const;

  // A number alone does not say whose an event is: within one turn of the loop a callback may close
  // a descriptor and another one be watched that got its number.
  struct Watched {
    uint32_t serial;
    OnReady ready;
  };
  [[nodiscard]] static uint64_t KeyOf(int fd, uint32_t serial) {
    return uint64_t{serial} << 32 | static_cast<uint32_t>(fd);
  }

  using Clock = std::chrono::steady_clock;
  UniqueFd epoll_, signals_;
  std::optional<SpareFds> spare_fds_;
  bool stopped_ = false;
  std::map<int, Watched> watches_;
  uint32_t last_serial_ = 0;
  std::map<pid_t, OnExit> children_;
  std::deque<std::pair<pid_t, int>> early_exits_;  // with their wait status: unasked for yet
  Timers timers_;
};

}  // namespace ocirun::shim
