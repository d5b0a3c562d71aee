// SPDX-License-Identifier: Apache-2.0
#include "ctl/signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>

#include "ctl/terminal.h"

namespace ocirun::ctl {
namespace {

// Not those of faults, of our own children, terminal reads in the background and broken pipes.
constexpr std::array kTaken = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2,
                               SIGALRM, SIGTSTP, SIGCONT, SIGPWR,  SIGWINCH};

void DoDefault(int signal) {
  if (signal == SIGWINCH || signal == SIGCONT) return;
  if (signal != SIGTSTP) RawTerminal::Restore();
  std::signal(signal, SIG_DFL);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  raise(signal);
  pthread_sigmask(SIG_BLOCK, &one, nullptr);  // only a stop comes back
}

}  // namespace

SignalThread::SignalThread() {
  sigemptyset(&set_);
  for (const int signal : kTaken) {
    // What our starter ignores (nohup) stays ignored.
    struct sigaction action{};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_IGN) sigaddset(&set_, signal);
  }
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) sigaddset(&set_, signal);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  signal_fd_ = signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK);
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  thread_ = std::thread([this] { Run(); });
}

SignalThread::~SignalThread() {
  done_ = true;
  Change(Mode::kHold, {});
  thread_.join();
  close(signal_fd_);
  close(wake_fd_);
  pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
}

void SignalThread::Hold() { Change(Mode::kHold, {}); }

void SignalThread::Handle(Handler handler) {
  const Mode mode = handler ? Mode::kHandler : Mode::kDefault;
  Change(mode, std::move(handler));
}

void SignalThread::Change(Mode mode, Handler handler) {
  {
    const std::lock_guard lock(mutex_);
    mode_ = mode;
    handler_ = std::move(handler);
  }
  const uint64_t one = 1;
  while (write(wake_fd_, &one, sizeof one) < 0 && errno == EINTR) continue;
}

void SignalThread::Run() {
  while (!done_) {
    Mode mode{};
    {
      const std::lock_guard lock(mutex_);
      mode = mode_;
    }
    std::array<pollfd, 2> polled = {
        {{wake_fd_, POLLIN, 0}, {mode == Mode::kHold ? -1 : signal_fd_, POLLIN, 0}}};
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    uint64_t count = 0;
    if (polled[0].revents != 0 && read(wake_fd_, &count, sizeof count) > 0) continue;
    const std::lock_guard lock(mutex_);
    if (mode_ == Mode::kHold) continue;
    signalfd_siginfo info{};
    if (read(signal_fd_, &info, sizeof info) != sizeof info) continue;
    const int signal = static_cast<int>(info.ssi_signo);
    if (mode_ == Mode::kDefault || !handler_(signal)) DoDefault(signal);
  }
}

}  // namespace ocirun::ctl
