// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cgroup/entry.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/sys/socket.h"
#include "ocirun/cgroup/host.h"

namespace ocirun::cgroup {
namespace {

// What clone3 says when it is the flag that it does not like, and not the state of the cgroup; or
// when it is not there itself.
bool CannotCloneInto(int err) {
  return err == EINVAL || err == E2BIG || err == EBADF || err == EACCES || sys::MayBeMissing(err);
}

// The child waits until it has been moved.
StatusOr<pid_t> CloneAndAttach(const Entry& entry, uint64_t flags) {
  ASSIGN_OR_RETURN(auto sockets, sys::SocketPair());
  ASSIGN_OR_RETURN(const pid_t pid, sys::Clone(flags));
  if (pid == 0) {
    sockets.first.Reset();
    const auto moved = sys::Receive(sockets.second, 1);
    if (moved.ok() && !moved->empty()) return 0;
    ::_exit(1);
  }
  sys::ChildGuard guard(pid);
  RETURN_IF_ERROR(entry.attach(pid));
  RETURN_IF_ERROR(sys::Send(sockets.first, "m"));
  return guard.Release();
}

// `clone` gets the folder, or an invalid descriptor.
StatusOr<pid_t> Into(Entry* entry, uint64_t flags,
                     const std::function<StatusOr<pid_t>(const UniqueFd& folder)>& clone) {
  if (!entry->folder.valid()) return clone(UniqueFd());
  auto pid = clone(entry->folder);
  if (pid.ok() || !CannotCloneInto(ErrnoOf(pid.status()))) return pid;
  if (entry->attach) return CloneAndAttach(*entry, flags);
  ASSIGN_OR_RETURN(UniqueFd procs, sys::OpenAt(entry->folder, "cgroup.procs", O_WRONLY));
  entry->files.push_back(std::move(procs));
  return clone(UniqueFd());
}

}  // namespace

StatusOr<pid_t> CloneInto(Entry* entry, uint64_t flags) {
  return Into(entry, flags, [&](const UniqueFd& folder) { return sys::Clone(flags, folder); });
}

StatusOr<pid_t> VforkInto(Entry* entry, uint64_t flags, const std::function<void()>& child) {
  // A caller that stands still can't have its child attached.
  auto pid = Into(entry, flags & ~static_cast<uint64_t>(CLONE_VM),
                  [&](const UniqueFd& folder) { return sys::Vfork(flags, child, folder); });
  if (!pid.ok() || *pid > 0) return pid;
  child();
  ::_exit(0);
}

Status Enter(const Entry& entry) {
  for (const UniqueFd& file : entry.files)
    // 0 is the writer itself, in whichever pid namespace it is.
    RETURN_IF_ERROR(Annotate(sys::WriteAll(file, "0"), "entering the container's cgroup"));
  return OkStatus();
}

Status Attach(const Entry& entry, pid_t pid) {
  if (entry.attach) return entry.attach(pid);
  const std::string number = std::to_string(pid);
  if (entry.folder.valid()) {
    ASSIGN_OR_RETURN(const UniqueFd procs, sys::OpenAt(entry.folder, "cgroup.procs", O_WRONLY));
    RETURN_IF_ERROR(sys::WriteAll(procs, number));
  }
  for (const UniqueFd& file : entry.files) RETURN_IF_ERROR(sys::WriteAll(file, number));
  return OkStatus();
}

StatusOr<Entry> EntryOfProcess(pid_t pid) {
  ASSIGN_OR_RETURN(const std::vector<Hierarchy> hierarchies, HostHierarchies());
  ASSIGN_OR_RETURN(const std::string cgroups, ReadFile(fmt::format("/proc/{}/cgroup", pid)));
  for (const Hierarchy& hierarchy : hierarchies) {
    if (!hierarchy.v2) continue;
    Entry entry;
    ASSIGN_OR_RETURN(entry.folder, sys::Open(hierarchy.mount_point + OwnCgroup(cgroups, hierarchy),
                                             O_PATH | O_DIRECTORY));
    return entry;
  }
  return NotFound("this host has no cgroup v2");
}

}  // namespace ocirun::cgroup
