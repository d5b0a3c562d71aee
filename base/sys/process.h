// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::sys {

// clone3(2) without CLONE_VM, or clone(2) where there is none (before 5.3): returns 0 in the child,
// its process id in the parent. The child has only the calling thread, so in a program with threads
// it may do nothing but exec. With CLONE_PARENT the child becomes the caller's sibling.
// A valid `cgroup` is the folder of a cgroup v2 in which the child starts (CLONE_INTO_CGROUP); that
// has no other way, and fails where clone3 is missing.
StatusOr<pid_t> Clone(uint64_t flags, const UniqueFd& cgroup = UniqueFd());

// As clone3(2) with CLONE_VFORK: the child runs `child` and ends with status 0, and until then the
// caller stands still. With CLONE_VM in `flags` it does so in the caller's memory, which spares the
// kernel a copy of it, if that can be done here: the caller must not count on either. Whatever else
// the child has is its own, descriptors, folders, namespaces and the limits of a process.
// Returns the child's id; it is still to be reaped.
StatusOr<pid_t> Vfork(uint64_t flags, const std::function<void()>& child,
                      const UniqueFd& cgroup = UniqueFd());

StatusOr<UniqueFd> PidfdOpen(pid_t pid);
Status PidfdSendSignal(const UniqueFd& pidfd, int signal);
// waitid(2) for one child; the raw status as of waitpid(2).
StatusOr<int> WaitPid(pid_t pid);
// 0..255 as a shell shows it: the exit code, or 128 + signal.
int ExitCodeOf(int wait_status);
Status SetNs(const UniqueFd& ns, int type);
// Of one process. kill(2) takes 0 and less for groups, and -1 for all that there are: ESRCH here.
Status Kill(pid_t pid, int signal);

// Field 22 of /proc/PID/stat, in clock ticks since boot: together with the number it names a
// process for good, since numbers are used again. NotFound when there is no such process, and for
// a zombie, which has ended.
StatusOr<uint64_t> ProcessStartTime(pid_t pid);

// Whether the caller is root in the initial user namespace. Root in another one, as in a container,
// may no more with cgroups and devices of the host than an ordinary user (user_namespaces(7)).
bool IsHostRoot();

// Kills and reaps a child unless it is handed over: every early return of a half-made container.
class ChildGuard {
 public:
  explicit ChildGuard(pid_t pid) : pid_(pid) {}
  ChildGuard(const ChildGuard&) = delete;
  ChildGuard& operator=(const ChildGuard&) = delete;
  ~ChildGuard();
  pid_t Release();

 private:
  pid_t pid_;
};

}  // namespace ocirun::sys
