// SPDX-License-Identifier: Apache-2.0
#include "shim/acceptor.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <chrono>

#include "base/sys/socket.h"

namespace ocirun::shim {
namespace {

// Until it is tried again whether there is a descriptor for one more.
constexpr std::chrono::milliseconds kNoDescriptors{100};

}  // namespace

StatusOr<std::unique_ptr<Acceptor>> Acceptor::Create(Loop* loop, UniqueFd listener,
                                                     Accepted accepted, Fds fds) {
  ::fcntl(listener.get(), F_SETFL, O_NONBLOCK);
  std::unique_ptr<Acceptor> acceptor(
      new Acceptor(loop, std::move(listener), std::move(accepted), fds));
  Acceptor* raw = acceptor.get();
  RETURN_IF_ERROR(loop->Watch(acceptor->listener_, EPOLLIN, [raw](uint32_t) { raw->Accept(); }));
  return acceptor;
}

Acceptor::Acceptor(Loop* loop, UniqueFd listener, Accepted accepted, Fds fds)
    : loop_(loop), listener_(std::move(listener)), accepted_(std::move(accepted)), fds_(fds) {}

Acceptor::~Acceptor() { Release(); }

UniqueFd Acceptor::Release() {
  loop_->Forget(listener_);
  return std::move(listener_);
}

void Acceptor::TakeMore(bool more) {
  more_ = more;
  Watch();
}

void Acceptor::Accept() {
  auto client = NextClient();
  if (!client.ok()) {
    if (ErrnoOf(client.status()) != EAGAIN) Rest();  // EAGAIN: it has left
    return;
  }
  ::fcntl(client->get(), F_SETFL, O_NONBLOCK);
  accepted_(*std::move(client));
}

StatusOr<UniqueFd> Acceptor::NextClient() {
  if (fds_ == Fds::kAny) return sys::Accept(listener_);
  const SpareFds::Loan loan = loop_->LendSpareFds();
  return sys::Accept(listener_);
}

// To be woken for it again and again would help nobody.
void Acceptor::Rest() {
  resting_ = true;
  Watch();
  loop_->After(kNoDescriptors, [this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired() || !listener_) return;
    resting_ = false;
    Watch();
  });
}

void Acceptor::Watch() { loop_->Change(listener_, more_ && !resting_ ? uint32_t{EPOLLIN} : 0); }

}  // namespace ocirun::shim
