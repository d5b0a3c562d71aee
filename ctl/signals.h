// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <csignal>
#include <functional>
#include <mutex>
#include <thread>

namespace ocirun::ctl {

// Takes the signals that people and programs send to us, on a thread of its own, so that a command
// that stands for a container's process can pass them on. The mask is inherited by threads: this
// must be made before the first call to the daemon, because gRPC makes threads then.
class SignalThread {
 public:
  // False: not taken, so the default follows.
  using Handler = std::function<bool(int signal)>;

  // Blocks the signals; each then does what it does by default (the terminal is given back first).
  SignalThread();
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

  // From now on they stay pending, for the next handler.
  void Hold();
  // From now on `handler` gets them, on our thread; an empty one: the default again. Returns when
  // the one before it runs no more.
  void Handle(Handler handler);

 private:
  enum class Mode { kDefault, kHold, kHandler };
  void Run();
  void Change(Mode mode, Handler handler);

  sigset_t set_{};
  int signal_fd_ = -1;
  int wake_fd_ = -1;
  std::mutex mutex_;  // of the two below; held while a handler runs
  Mode mode_ = Mode::kDefault;
  Handler handler_;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace ocirun::ctl
