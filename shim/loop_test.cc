// SPDX-License-Identifier: Apache-2.0
#include "shim/loop.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <vector>

#include "base/sys/file.h"
#include "base/sys/process.h"

namespace ocirun::shim {
namespace {

void RunFor(Loop* loop, std::chrono::milliseconds time) {
  loop->After(time, [loop] { loop->Stop(); });
  CHECK(loop->Run().ok());
}

// A child that ends at once, or at a signal; with `number` as its process id, if that is not 0.
pid_t MakeChild(int code, bool at_once, pid_t number) {
  clone_args args{};
  args.exit_signal = SIGCHLD;
  if (number != 0) {
    args.set_tid = reinterpret_cast<uint64_t>(&number);
    args.set_tid_size = 1;
  }
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid != 0) return static_cast<pid_t>(pid);
  if (!at_once) ::pause();
  ::_exit(code);
}

// Leaves it for the loop to reap, which has been told by then.
void WaitForEnd(pid_t pid) {
  siginfo_t info;
  REQUIRE(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) == 0);
}

TEST_CASE("a child that has ended before it was asked for") {
  auto loop = Loop::Create();
  REQUIRE(loop.ok());
  const pid_t pid = MakeChild(4, true, 0);
  REQUIRE(pid > 0);
  WaitForEnd(pid);
  RunFor(loop->get(), std::chrono::milliseconds(10));
  std::optional<int> code;
  (*loop)->OnChild(pid, [&](int status) { code = sys::ExitCodeOf(status); });
  CHECK_FALSE(code.has_value());
  RunFor(loop->get(), std::chrono::milliseconds(10));
  CHECK(code == 4);
}

TEST_CASE("an orphan's end is not that of the next process with its number") {
  auto loop = Loop::Create();
  REQUIRE(loop.ok());
  const pid_t orphan = MakeChild(3, true, 0);
  REQUIRE(orphan > 0);
  WaitForEnd(orphan);
  RunFor(loop->get(), std::chrono::milliseconds(10));
  const pid_t pid = MakeChild(5, false, orphan);
  if (pid < 0 && ::geteuid() != 0) return;  // root alone chooses a number
  REQUIRE(pid > 0);
  REQUIRE(pid == orphan);
  std::optional<int> code;
  (*loop)->OnChild(pid, [&](int status) { code = sys::ExitCodeOf(status); });
  RunFor(loop->get(), std::chrono::milliseconds(50));
  CHECK_FALSE(code.has_value());
  REQUIRE(sys::Kill(pid, SIGKILL).ok());
  WaitForEnd(pid);
  RunFor(loop->get(), std::chrono::milliseconds(10));
  CHECK(code == 128 + SIGKILL);
}

// Both are ready in one turn; whichever comes first closes the other and watches a new descriptor
// in its place, which has nothing to tell.
TEST_CASE("an event is not taken for that of the descriptor that has its number now") {
  auto loop = Loop::Create();
  REQUIRE(loop.ok());
  struct Pipe {
    Pipe() {
      int fds[2];
      REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
      read = UniqueFd(fds[0]);
      write = UniqueFd(fds[1]);
    }
    UniqueFd read, write;
  };
  std::array<Pipe, 2> ready, quiet;
  int calls = 0, stale = 0;
  for (const int i : {0, 1}) {
    REQUIRE(::write(ready[i].write.get(), "x", 1) == 1);
    REQUIRE((*loop)
                ->Watch(ready[i].read, EPOLLIN,
                        [&, i](uint32_t) {
                          if (++calls > 1) return;
                          (*loop)->Forget(ready[i].read);
                          UniqueFd& other = ready[1 - i].read;
                          (*loop)->Forget(other);
                          REQUIRE(::dup3(quiet[i].read.get(), other.get(), O_CLOEXEC) >= 0);
                          REQUIRE((*loop)->Watch(other, EPOLLIN, [&](uint32_t) { ++stale; }).ok());
                        })
                .ok());
  }
  RunFor(loop->get(), std::chrono::milliseconds(50));
  CHECK(calls == 1);
  CHECK(stale == 0);
}

TEST_CASE("spare descriptors are there when no other is, and again after their use") {
  auto loop = Loop::Create();
  REQUIRE(loop.ok());
  rlimit usual;
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &usual) == 0);
  const rlimit few{64, usual.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  const auto take_all = [] {
    std::vector<UniqueFd> taken;
    for (;;) {
      auto fd = sys::Open("/dev/null", O_RDONLY);
      if (!fd.ok()) return taken;
      taken.push_back(*std::move(fd));
    }
  };
  const std::vector<UniqueFd> others = take_all();
  std::vector<size_t> counts = {take_all().size()};
  for (int i = 0; i < 2; ++i) {
    const SpareFds::Loan loan = (*loop)->LendSpareFds();
    counts.push_back(take_all().size());
    {
      const SpareFds::Loan within = (*loop)->LendSpareFds();
    }
    counts.push_back(take_all().size());
  }
  counts.push_back(take_all().size());
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &usual) == 0);
  CHECK(counts == std::vector<size_t>{0, 4, 4, 4, 4, 0});
}

}  // namespace
}  // namespace ocirun::shim
