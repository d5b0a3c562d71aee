// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "base/status.h"
#include "base/unique_fd.h"
#include "shim/loop.h"

namespace ocirun::shim {

// A listening socket in the loop. A client for whom there is no descriptor stays in the kernel's
// queue, and is tried again after a while.
class Acceptor {
 public:
  // Gets the connection, which does not block. Must not destroy the acceptor.
  using Accepted = std::function<void(UniqueFd client)>;

  // kSpare: a client belongs to what has begun, and may have one of the spare descriptors.
  enum class Fds { kAny, kSpare };

  static StatusOr<std::unique_ptr<Acceptor>> Create(Loop* loop, UniqueFd listener,
                                                    Accepted accepted, Fds fds = Fds::kAny);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // False: the next client waits until it is called with true.
  void TakeMore(bool more);
  // A client who has come and was not told of yet.
  void TakeWaiting() { Accept(); }
  [[nodiscard]] bool IsListening() const { return listener_.valid(); }
  // The listener; there are no more clients.
  UniqueFd Release();

 private:
  Acceptor(Loop* loop, UniqueFd listener, Accepted accepted, Fds fds);
  StatusOr<UniqueFd> NextClient();
  void Accept();
  void Rest();
  void Watch();

  Loop* loop_;
  UniqueFd listener_;
  Accepted accepted_;
  Fds fds_;
  bool more_ = true, resting_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>();  // timers outlive this; they look here
};

}  // namespace ocirun::shim
