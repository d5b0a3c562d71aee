// SPDX-License-Identifier: Apache-2.0
#include "base/sys/process.h"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>

#include "base/file.h"
#include "base/sys/file.h"

namespace ocirun::sys {

namespace {

// A sibling inherits the signal that tells of its end (clone3 refuses another).
uint64_t ExitSignal(uint64_t flags) { return (flags & CLONE_PARENT) == 0 ? SIGCHLD : 0; }

// Without a stack of its own the child goes on where this one is, as after fork(2): glibc's clone()
// would want one, and a function. All that stands behind the flags is null, so that it does not
// matter in which order a processor has it.
StatusOr<pid_t> OldClone(uint64_t flags) {
  const long pid = ::syscall(SYS_clone, flags | ExitSignal(flags), 0, 0, 0, 0);
  if (pid < 0) return SysError(errno, "clone");
  return static_cast<pid_t>(pid);
}

clone_args ArgumentsOf(uint64_t flags, const UniqueFd& cgroup) {
  clone_args args{};
  args.flags = flags;
  if (cgroup.valid()) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup.get());
  }
  args.exit_signal = ExitSignal(flags);
  return args;
}

void RunAndExit(const void* child) {
  (*static_cast<const std::function<void()>*>(child))();
  ::_exit(0);
}

#if defined(__x86_64__)
// A child with a stack of its own can't return from a C function, whose return address is on the
// other: it goes on here, with `run` and `argument` in registers that the call keeps. Returns the
// process id, or the negative errno.
long CloneOnStack(const clone_args* args, void (*run)(const void*), const void* argument) {
  long result = SYS_clone3;
  register auto kept_run __asm__("r12") = run;
  register auto kept_argument __asm__("r13") = argument;
  __asm__ volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"  // the outermost frame (System V ABI, 3.4.1)
      "mov %%r13, %%rdi\n\t"
      "call *%%r12\n\t"
      "hlt\n"
      "1:"
      : "+a"(result)
      : "D"(args), "S"(sizeof *args), "r"(kept_run), "r"(kept_argument)
      : "rcx", "r11", "memory");
  return result;
}
#endif

}  // namespace

StatusOr<pid_t> Vfork(uint64_t flags, const std::function<void()>& child, const UniqueFd& cgroup) {
  flags |= CLONE_VFORK;
#if defined(__x86_64__)
  if ((flags & CLONE_VM) != 0) {
    // In the caller's frame, which stays for as long as it is used; what is not touched costs
    // nothing.
    alignas(16) char stack[128 * 1024];
    clone_args args = ArgumentsOf(flags, cgroup);
    args.stack = reinterpret_cast<uint64_t>(stack);
    args.stack_size = sizeof stack;
    const long pid = CloneOnStack(&args, RunAndExit, &child);
    if (pid >= 0) return static_cast<pid_t>(pid);
    if (!MayBeMissing(static_cast<int>(-pid))) return SysError(static_cast<int>(-pid), "clone3");
  }
#endif
  auto pid = Clone(flags & ~static_cast<uint64_t>(CLONE_VM), cgroup);
  if (pid.ok() && *pid == 0) RunAndExit(&child);
  return pid;
}

StatusOr<pid_t> Clone(uint64_t flags, const UniqueFd& cgroup) {
  clone_args args = ArgumentsOf(flags, cgroup);
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid >= 0) return static_cast<pid_t>(pid);
  if (MayBeMissing(errno) && !cgroup.valid()) return OldClone(flags);
  return SysError(errno, "clone3");
}

StatusOr<UniqueFd> PidfdOpen(pid_t pid) {
  const long fd = ::syscall(SYS_pidfd_open, pid, 0);  // close-on-exec by definition
  if (fd < 0) return SysError(errno, "pidfd_open", std::to_string(pid));
  return UniqueFd(static_cast<int>(fd));
}

Status PidfdSendSignal(const UniqueFd& pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) < 0)
    return SysError(errno, "pidfd_send_signal");
  return OkStatus();
}

StatusOr<int> WaitPid(pid_t pid) {
  int status = 0;
  const pid_t got = RetryEintr([&] { return ::waitpid(pid, &status, 0); });
  if (got < 0) return SysError(errno, "waitpid", std::to_string(pid));
  return status;
}

int ExitCodeOf(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

Status SetNs(const UniqueFd& ns, int type) {
  if (::setns(ns.get(), type) < 0) return SysError(errno, "setns");
  return OkStatus();
}

Status Kill(pid_t pid, int signal) {
  if (pid <= 0) return SysError(ESRCH, "kill", std::to_string(pid));
  if (::kill(pid, signal) < 0) return SysError(errno, "kill", std::to_string(pid));
  return OkStatus();
}

StatusOr<uint64_t> ProcessStartTime(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string stat, ReadFile(fmt::format("/proc/{}/stat", pid)));
  // The second field is the command in parentheses and may hold anything: begin behind the last ).
  const size_t paren = stat.rfind(')');
  if (paren == std::string::npos) return Internal("unreadable /proc/{}/stat", pid);
  size_t at = paren + 2;
  if (at < stat.size() && (stat[at] == 'Z' || stat[at] == 'X'))
    return SysError(ESRCH, "process", std::to_string(pid));
  for (int field = 3; field < 22; ++field) {
    at = stat.find(' ', at);
    if (at == std::string::npos) return Internal("unreadable /proc/{}/stat", pid);
    ++at;
  }
  uint64_t ticks = 0;
  std::from_chars(stat.data() + at, stat.data() + stat.size(), ticks);
  return ticks;
}

bool IsHostRoot() {
  if (::geteuid() != 0) return false;
  const auto map = ReadFile("/proc/self/uid_map");
  if (!map.ok()) return true;  // a kernel without user namespaces
  uint32_t inside = 1, outside = 1, count = 0;
  const char* at = map->data();
  const char* end = at + map->size();
  for (uint32_t* number : {&inside, &outside, &count}) {
    while (at != end && *at == ' ') ++at;
    at = std::from_chars(at, end, *number).ptr;
  }
  return inside == 0 && outside == 0 && count == UINT32_MAX;
}

ChildGuard::~ChildGuard() {
  if (pid_ <= 0) return;
  IgnoreError(Kill(pid_, SIGKILL), "it may have ended on its own");
  IgnoreError(WaitPid(pid_).status(), "it may have been reaped");
}

pid_t ChildGuard::Release() { return std::exchange(pid_, -1); }

}  // namespace ocirun::sys
