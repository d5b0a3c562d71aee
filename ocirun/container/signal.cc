// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/file.h"
#include "base/process_handle.h"
#include "base/sys/mount.h"
#include "ocirun/cgroup/manager.h"
#include "ocirun/container/hooks.h"
#include "ocirun/container/lifecycle.h"

namespace ocirun::container {
namespace {

// Kills everything and waits (bounded) until init is gone.
Status KillAndWait(const Record& record, cgroup::Manager* cgroups) {
  const auto init = ProcessHandle::Open(record.init_pid, record.init_start_time);
  RETURN_IF_ERROR(cgroups->KillAll(SIGKILL));
  if (!init.ok()) return OkStatus();  // gone already
  // It has no cgroup, or somebody has moved it out of its own.
  IgnoreError(init->Signal(SIGKILL), "it may have ended");
  std::vector<pollfd> ended(1);
  constexpr int kMilliseconds = 10'000;
  if (init->Poll(&ended, kMilliseconds) == 0)
    return Error(StatusCode::kDeadlineExceeded, "container init still running");
  return OkStatus();
}

// Cgroups that were about to be made. They may be another's, that the create was about to refuse:
// what is not empty stays. Its own init ends by itself, soon.
void RemoveUnowned(const Record& half) {
  constexpr int kTries = 100;
  constexpr useconds_t kPause = 10'000;
  int tries = 0;  // for all of them: what is busy in one hierarchy is so in the others
  for (const auto& [hierarchy, folder] : half.cgroups)
    for (; ::rmdir(folder.c_str()) < 0 && errno == EBUSY && tries < kTries; ++tries)
      ::usleep(kPause);
}

// A create that was killed half way leaves a folder without a record of the container.
Status DeleteHalf(const Store& store, const std::string& id) {
  const auto half = store.LoadHalf(id);
  if (!half.ok() && !IsNotFound(half.status())) return half.status();
  if (half.ok() && half->owns_cgroups) {
    const auto cgroups = cgroup::ExistingManager(half->cgroups, half->unit);
    RETURN_IF_ERROR(KillAndWait(*half, cgroups.get()));
    RETURN_IF_ERROR(cgroups->Destroy());
    RETURN_IF_ERROR(linux_::RemoveRdtGroup(half->rdt));
  } else if (half.ok()) {
    RemoveUnowned(*half);
  }
  return store.Remove(id);
}

}  // namespace

Status Kill(const Store& store, const std::string& id, int signal, KillScope scope) {
  ASSIGN_OR_RETURN(const Record record, store.Load(id));
  const auto cgroups = cgroup::ExistingManager(record.cgroups);
  const ContainerStatus status = store.StatusOf(record);
  if (scope == KillScope::kAll) {
    // As runc: there is nobody left to be missed.
    const bool nobody = signal == 0 || record.cgroups.empty();
    if (status == ContainerStatus::kStopped && nobody) return OkStatus();
    const bool ends_all = signal == SIGKILL && !record.later.shares_pids;
    if (record.cgroups.empty() && !ends_all)
      return FailedPrecondition(
          "--all: the container has no cgroup, so not all of its processes are known");
    if (!record.cgroups.empty()) {
      RETURN_IF_ERROR(cgroups->KillAll(signal));
      // It may have been moved out of its cgroup.
      const auto init = ProcessHandle::Open(record.init_pid, record.init_start_time);
      if (init.ok() && signal == SIGKILL) IgnoreError(init->Signal(signal), "it may have ended");
      return OkStatus();
    }
  }
  // With a pid namespace of its own the kernel ends the others when init ends.
  if (signal == SIGKILL && record.later.shares_pids && !record.cgroups.empty()) {
    ASSIGN_OR_RETURN(const std::vector<pid_t> pids, cgroups->Pids());
    if (!pids.empty()) return cgroups->KillAll(SIGKILL);
  }
  if (status == ContainerStatus::kStopped) return FailedPrecondition("container not running");
  const auto init = ProcessHandle::Open(record.init_pid, record.init_start_time);
  if (ErrnoOf(init.status()) == ESRCH) return FailedPrecondition("container not running");
  RETURN_IF_ERROR(init.status());
  RETURN_IF_ERROR(init->Signal(signal));
  // A frozen process gets the signal when it is thawed; SIGKILL is not meant to wait for that.
  if (status == ContainerStatus::kPaused && signal == SIGKILL) return cgroups->SetFrozen(false);
  return OkStatus();
}

Status Delete(const Store& store, const std::string& id, DeleteMode mode) {
  RETURN_IF_ERROR(CheckId(id));
  if (mode == DeleteMode::kForce && !PathExists(store.Folder(id))) {
    store.RemoveStaleLock(id);
    return OkStatus();
  }
  auto lock = store.Lock(id);
  if (mode == DeleteMode::kForce && IsNotFound(lock.status())) return OkStatus();
  RETURN_IF_ERROR(lock.status());
  auto record = store.Load(id);
  if (!record.ok()) {
    if (mode == DeleteMode::kForce && IsNotFound(record.status())) return DeleteHalf(store, id);
    return record.status();
  }
  const ContainerStatus status = store.StatusOf(*record);
  if (mode == DeleteMode::kStopped && status != ContainerStatus::kStopped &&
      status != ContainerStatus::kCreated)
    return FailedPrecondition("cannot delete container {} that is not stopped: {}", id,
                              StatusName(status));
  return Destroy(store, *record);
}

Status Destroy(const Store& store, const Record& record) {
  const auto cgroups = cgroup::ExistingManager(record.cgroups, record.unit);
  // Without a pid namespace of its own, what init started outlives it.
  RETURN_IF_ERROR(store.StatusOf(record) == ContainerStatus::kStopped
                      ? cgroups->KillAll(SIGKILL)
                      : KillAndWait(record, cgroups.get()));
  RETURN_IF_ERROR(cgroups->Destroy());
  RETURN_IF_ERROR(linux_::RemoveRdtGroup(record.rdt));
  if (!record.later.at_delete) return store.Remove(record.id);
  const auto spec = store.LoadSpec(record);
  // Its mounts are in the host's namespace, below the one that was made of the root.
  if (spec.ok() && spec->linux.Find(oci::NamespaceType::kMount) == nullptr)
    IgnoreError(sys::Unmount(record.rootfs, MNT_DETACH), "the container may have unmounted it");
  RETURN_IF_ERROR(store.Remove(record.id));
  if (spec.ok())
    RunPoststopHooks(spec->hooks.poststop, StateJson(record, ContainerStatus::kStopped));
  return OkStatus();
}

namespace {

Status SetPaused(const Store& store, const std::string& id, bool paused) {
  ASSIGN_OR_RETURN(const UniqueFd lock, store.Lock(id));
  ASSIGN_OR_RETURN(const Record record, store.Load(id));
  const ContainerStatus status = store.StatusOf(record);
  if (paused && status != ContainerStatus::kRunning && status != ContainerStatus::kCreated)
    return FailedPrecondition("container not running");
  if (!paused && status != ContainerStatus::kPaused)
    return FailedPrecondition("container not paused");
  return cgroup::ExistingManager(record.cgroups)->SetFrozen(paused);
}

}  // namespace

Status Pause(const Store& store, const std::string& id) { return SetPaused(store, id, true); }
Status Resume(const Store& store, const std::string& id) { return SetPaused(store, id, false); }

StatusOr<std::vector<pid_t>> Processes(const Store& store, const std::string& id) {
  ASSIGN_OR_RETURN(const Record record, store.Load(id));
  return cgroup::ExistingManager(record.cgroups)->Pids();
}

}  // namespace ocirun::container
