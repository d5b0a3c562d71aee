// SPDX-License-Identifier: Apache-2.0
#include "shim/loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>

namespace ocirun::shim {
namespace {

bool IsChild(pid_t pid) {
  siginfo_t info;
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

}  // namespace

// Orphans of the container that nobody will ask for are forgotten, the earliest first, past this.
constexpr size_t kMaxEarlyExits = 1024;

StatusOr<std::unique_ptr<Loop>> Loop::Create() {
  sigset_t mask;
  ::sigemptyset(&mask);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT}) ::sigaddset(&mask, signal);
  if (::sigprocmask(SIG_BLOCK, &mask, nullptr) < 0) return SysError(errno, "sigprocmask");
  ::signal(SIGPIPE, SIG_IGN);
  UniqueFd signals(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return SysError(errno, "signalfd");
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return SysError(errno, "epoll_create1");
  std::unique_ptr<Loop> loop(new Loop(std::move(epoll), std::move(signals)));
  ASSIGN_OR_RETURN(loop->spare_fds_, SpareFds::Make(loop->signals_));
  Loop* raw = loop.get();
  RETURN_IF_ERROR(loop->Watch(loop->signals_, EPOLLIN, [raw](uint32_t) { raw->HandleSignals(); }));
  return loop;
}

Status Loop::Watch(const UniqueFd& fd, uint32_t events, OnReady ready) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = KeyOf(fd.get(), ++last_serial_);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) < 0)
    return SysError(errno, "epoll_ctl");
  watches_[fd.get()] = {last_serial_, std::move(ready)};
  return OkStatus();
}

void Loop::Change(const UniqueFd& fd, uint32_t events) {
  const auto watch = watches_.find(fd.get());
  if (watch == watches_.end()) return;
  epoll_event event{};
  event.events = events;
  event.data.u64 = KeyOf(fd.get(), watch->second.serial);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd.get(), &event);
}

void Loop::Forget(const UniqueFd& fd) {
  if (watches_.erase(fd.get()) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd.get(), nullptr);
}

void Loop::OnChild(pid_t pid, OnExit exited) {
  const auto early = std::find_if(early_exits_.begin(), early_exits_.end(),
                                  [pid](const auto& exit) { return exit.first == pid; });
  // An end that was noted may be that of an earlier process with this number, an orphan of the
  // container: while there is a child that is called so, this one has not been reaped.
  if (early == early_exits_.end() || IsChild(pid)) {
    if (early != early_exits_.end()) early_exits_.erase(early);
    children_[pid] = std::move(exited);
    return;
  }
  const int status = early->second;
  early_exits_.erase(early);
  // Not at once: the caller is still setting itself up.
  After(std::chrono::milliseconds(0), [exited = std::move(exited), status] { exited(status); });
}

Loop::Timer Loop::After(std::chrono::milliseconds delay, std::function<void()> call) {
  return timers_.emplace(Clock::now() + delay, std::move(call));
}

void Loop::HandleSignals() {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info)
    if (info.ssi_signo != SIGCHLD) stopped_ = true;
  Reap();
}

void Loop::Reap() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    const auto child = children_.find(pid);
    if (child == children_.end()) {
      // The end of one that had the number before says nothing any more.
      std::erase_if(early_exits_, [pid](const auto& exit) { return exit.first == pid; });
      early_exits_.emplace_back(pid, status);
      if (early_exits_.size() > kMaxEarlyExits) early_exits_.pop_front();
      continue;
    }
    const OnExit exited = std::move(child->second);
    children_.erase(child);
    exited(status);
  }
}

int Loop::UntilNextTimer() const {
  if (timers_.empty()) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - Clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT_MAX));
}

void Loop::RunTimers() {
  while (!timers_.empty() && timers_.begin()->first <= Clock::now()) {
    const std::function<void()> call = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    call();
  }
}

Status Loop::Run() {
  std::array<epoll_event, 32> events;
  while (!stopped_) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), UntilNextTimer());
    if (count < 0 && errno != EINTR) return SysError(errno, "epoll_wait");
    for (int i = 0; i < count; ++i) {
      // An earlier callback may have forgotten this one.
      const uint64_t key = events[i].data.u64;
      const auto watch = watches_.find(static_cast<int>(key & UINT32_MAX));
      if (watch == watches_.end() || watch->second.serial != key >> 32) continue;
      const OnReady ready = watch->second.ready;
      ready(events[i].events);
    }
    RunTimers();
  }
  stopped_ = false;
  return OkStatus();
}

}  // namespace ocirun::shim
