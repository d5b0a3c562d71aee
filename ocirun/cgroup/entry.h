// SPDX-License-Identifier: Apache-2.0
//
// How a process gets into the cgroups of a container. Both ways are chosen for what they avoid: the
// kernel's lock over all processes, whose first taker after a quiet second waits for a grace period
// of RCU, 10 to 25 ms.
//
//   cgroup v2   the process is born there (CLONE_INTO_CGROUP)
//   cgroup v1   it writes itself to `tasks`: for a thread that moves itself alone the kernel skips
//               the lock (cgroup_procs_write_start)
#pragma once

#include <sys/types.h>

#include <functional>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::cgroup {

struct Entry {
  UniqueFd folder;              // of cgroup v2; invalid where there is none
  std::vector<UniqueFd> files;  // that the process writes itself to
  // Asks systemd to move a process, where the caller has no right to do so himself.
  std::function<Status(pid_t)> attach;
};

// clone3(2) with the child in `entry->folder`. Where the kernel can't do that (before 5.7), or not
// for this caller, the child is attached before it goes on, or else the folder's cgroup.procs joins
// `entry->files`. Returns as sys::Clone().
StatusOr<pid_t> CloneInto(Entry* entry, uint64_t flags);

// sys::Vfork() in the same way.
StatusOr<pid_t> VforkInto(Entry* entry, uint64_t flags, const std::function<void()>& child);

// Moves the calling process, which must have one thread, through the files. In the child.
Status Enter(const Entry& entry);

// Moves another process there, which does not count against a limit of processes as a fork does.
Status Attach(const Entry& entry, pid_t pid);

// The way into the cgroup v2 in which `pid` is now. NotFound without cgroup v2.
StatusOr<Entry> EntryOfProcess(pid_t pid);

}  // namespace ocirun::cgroup
