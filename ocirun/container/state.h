// SPDX-License-Identifier: Apache-2.0
//
// What the runtime remembers of a container, one folder each:
//
//   <root>/                   0700
//     .locks/ID               locks (LockPart)
//     ID/state.json           the record below, written by rename
//     ID/half.json            the same while it is created, for who finds that killed
//     ID/config.json          config.json as it was at create: later changes have no effect
//     ID/start.sock           init waits here for `start`; gone once the command runs
//     .seccomp/               compiled filters (linux/seccomp.h)
#pragma once

#include <sys/stat.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "ocirun/cgroup/manager.h"
#include "ocirun/linux/resctrl.h"
#include "ocirun/spec/spec.h"

namespace ocirun::container {

enum class ContainerStatus { kCreating, kCreated, kRunning, kPaused, kStopped };
// "creating", "created", ...: the words of runtime.md#state.
std::string_view StatusName(ContainerStatus status);

// What the commands after `create` do beyond their ordinary work. They read config.json again only
// for that: most containers ask for none of it.
struct Later {
  bool at_start = true;   // poststart hooks, or a seccomp listener to hand on
  bool at_delete = true;  // poststop hooks, or no mount namespace of its own
  bool shares_pids =
      true;  // no pid namespace of its own: the end of init is not that of the others
};
Later NeedsOf(const oci::Spec& spec);
bool MayTrace(const std::optional<oci::Process>& process);
// Whether it joins a pid namespace: who is in there may have any capability, in the host's user
// namespace unless that is joined, too.
bool MeetsStrangers(const oci::Linux& config);

struct Record {
  std::string id;
  std::string oci_version;
  pid_t init_pid = 0;  // 0: it was never made
  uint64_t init_start_time = 0;
  std::string bundle, rootfs;
  UnixNanos created = 0;
  uid_t owner = 0;
  std::map<std::string, std::string> annotations;
  std::map<std::string, std::string> cgroups;  // cgroup::Manager::View()
  cgroup::Inodes cgroup_inodes;                // of these, when they were made
  cgroup::SystemdUnit unit;                    // cgroup::Manager::Unit()
  std::string resctrl;                         // mount point, with linux.intelRdt
  linux_::RdtGroup rdt;
  bool new_keyring = true;
  std::vector<std::string> descriptors;  // what 0, 1 and 2 were at the start, for a checkpoint
  Later later;
  bool owns_cgroups = true;  // false: they are about to be made, or to be refused as another's
  // Some process in its pid namespace may look at every process that it sees, as far as its
  // capabilities go.
  bool may_trace = true;
  // Every exec that began before that was noted is over with its beginning.
  bool tracer_awaited = true;
  std::vector<uint64_t> live_mounts;  // ids of those that were added while it ran
};

// A container that was created, and what it was created from.
struct StoredContainer {
  Record record;
  oci::Spec spec;
};

// The bytes of a container's lock file, each a lock of its own. They are the process's and end when
// it closes any descriptor of that file: who needs both takes them by one.
enum class LockPart {
  kCommand,  // held by the one command that works on the container
  // Shared by execs that did not find Record::may_trace, from before they look until their process
  // in the container has become the command. Who sets it waits for them, and holds no lock
  // meanwhile: in a paused container they stand still until `resume`, which needs the first one.
  kEntry,
};

// The folder of all containers.
class Store {
 public:
  explicit Store(std::string root) : root_(std::move(root)) {}

  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] std::string Folder(const std::string& id) const { return root_ + "/" + id; }
  [[nodiscard]] std::string StartSocket(const std::string& id) const {
    return Folder(id) + "/start.sock";
  }
  [[nodiscard]] std::string SeccompCache() const { return root_ + "/.seccomp"; }

  // Held as long as the result lives. Waits for the other command. NotFound "container does not
  // exist", also for what is only being created.
  StatusOr<UniqueFd> Lock(const std::string& id) const;
  // For who creates the container.
  StatusOr<UniqueFd> LockNew(const std::string& id) const;
  // The same for an exec, which begins with the other part of the lock, and takes the command's
  // when it has looked.
  StatusOr<UniqueFd> LockEntry(const std::string& id) const;
  Status LockCommand(const UniqueFd& lock, const std::string& id) const;
  // AlreadyExists "container with given ID already exists".
  Status Add(const std::string& id, const std::string& config) const;
  Status Save(const Record& record) const;
  // Notes Record::may_trace of all containers whose init is in that pid namespace, and waits for
  // the execs that began before it was noted. The caller holds no lock of theirs.
  Status NoteTracer(const struct stat& pid_namespace) const;
  // What a create is about to make, and then has made, for who finds it killed half way. It makes
  // no container of it yet.
  Status SaveHalf(const Record& record) const;
  // What SaveHalf() noted last is a container from now on.
  Status Complete(const std::string& id) const;
  // NotFound when there is nothing of it.
  StatusOr<Record> LoadHalf(const std::string& id) const;
  // NotFound "container does not exist". A cgroup that has taken the place of one of the
  // container's is none of its own (cgroup::DisownReplaced).
  StatusOr<Record> Load(const std::string& id) const;
  StatusOr<oci::Spec> LoadSpec(const Record& record) const;
  StatusOr<StoredContainer> LoadWithSpec(const std::string& id) const;
  Status Remove(const std::string& id) const;
  // Removes the lock of what is gone, or never came to be.
  void RemoveStaleLock(const std::string& id) const;
  StatusOr<std::vector<std::string>> List() const;

  // What the container is doing now, from the process, the start socket and the freezer.
  [[nodiscard]] ContainerStatus StatusOf(const Record& record) const;

 private:
  [[nodiscard]] StatusOr<UniqueFd> TakeLock(const std::string& id, LockPart part, short type) const;
  [[nodiscard]] StatusOr<UniqueFd> TakeLockOfExisting(const std::string& id, LockPart part,
                                                      short type) const;
  [[nodiscard]] StatusOr<std::vector<std::string>> ListInPidNamespace(
      const struct stat& pid_namespace) const;
  Status NoteMayTrace(const std::string& id, bool awaited) const;
  [[nodiscard]] std::string StateFile(const std::string& id) const {
    return Folder(id) + "/state.json";
  }
  [[nodiscard]] std::string HalfFile(const std::string& id) const {
    return Folder(id) + "/half.json";
  }
  [[nodiscard]] std::string LockFile(const std::string& id) const {
    return root_ + "/.locks/" + id;
  }

  std::string root_;
};

// Letters, digits, and _+-. ; at most 1024; not "." or "..": it becomes a folder's name.
Status CheckId(const std::string& id);

// Before its descriptor is closed.
void Unlock(const UniqueFd& lock, LockPart part);

// The state as runtime.md#state defines it, for hooks and seccomp agents.
Json StateObject(const Record& record, ContainerStatus status);
std::string StateJson(const Record& record, ContainerStatus status);

}  // namespace ocirun::container
