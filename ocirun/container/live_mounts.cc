// SPDX-License-Identifier: Apache-2.0
//
// Mounts of a container that runs. Its processes may change every name in its root while this looks
// at it, and its /proc is its own: trees are made, with their attributes, where the caller stands;
// inside, a place is opened by the kernel in the root, and a mount is known by its descriptor and
// its id.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/path.h"
#include "base/sys/file.h"
#include "ocirun/container/create.h"
#include "ocirun/container/lifecycle.h"
#include "ocirun/linux/mounts.h"
#include "ocirun/linux/proc.h"
#include "ocirun/linux/tree.h"

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U
#endif

namespace ocirun::container {
namespace {

// Of the container as it is now.
struct Running {
  Record record;
  oci::Spec spec;
  UniqueFd mount_namespace, root, user_namespace;
  // The caller's: for names of descriptors, and the way back.
  UniqueFd proc, own_mounts, own_root;
};

// Of a call with arguments that no kernel takes.
bool HasCall(long result) { return result >= 0 || !sys::MayBeMissing(errno); }

// What older kernels have instead goes by names, in the container's /proc.
Status CheckKernel() {
  if (!linux_::CanDetachTrees() || !HasCall(::syscall(SYS_mount_setattr, -1, "", 0, nullptr, 0)) ||
      !HasCall(::syscall(SYS_openat2, -1, "", nullptr, 0)))
    return Unsupported("to change mounts of a running container needs Linux 5.12");
  return OkStatus();
}

StatusOr<Running> OpenRunning(const Store& store, const std::string& id) {
  RETURN_IF_ERROR(CheckKernel());
  Running running;
  ASSIGN_OR_RETURN(running.record, store.Load(id));
  ASSIGN_OR_RETURN(running.spec, store.LoadSpec(running.record));
  const pid_t init = running.record.init_pid;
  auto namespace_fd = sys::Open(fmt::format("/proc/{}/ns/mnt", init), O_RDONLY);
  auto user_fd = sys::Open(fmt::format("/proc/{}/ns/user", init), O_RDONLY);
  auto root = sys::Open(fmt::format("/proc/{}/root", init), O_PATH | O_DIRECTORY);
  // The descriptors are of whoever has the number; was that still init when they were opened?
  if (store.StatusOf(running.record) == ContainerStatus::kStopped)
    return FailedPrecondition("container not running");
  ASSIGN_OR_RETURN(running.mount_namespace, std::move(namespace_fd));
  ASSIGN_OR_RETURN(running.user_namespace, std::move(user_fd));
  ASSIGN_OR_RETURN(running.root, std::move(root));
  ASSIGN_OR_RETURN(running.proc, linux_::OpenProc());
  ASSIGN_OR_RETURN(running.own_mounts, sys::Open("/proc/self/ns/mnt", O_RDONLY));
  ASSIGN_OR_RETURN(running.own_root, sys::Open("/", O_PATH | O_DIRECTORY));
  return running;
}

// Enters; the container's root.
StatusOr<UniqueFd> Enter(const Running& running) {
  // Who shares the host's pid namespace must not look at what of the host this has open.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return SysError(errno, "prctl PR_SET_DUMPABLE");
  RETURN_IF_ERROR(EnterMounts(running.mount_namespace, running.root));
  return sys::Open("/", O_PATH | O_DIRECTORY);
}

// Back to where the state is, and notes what the container has of what was added.
Status SaveOutside(const Store& store, const Running& running) {
  RETURN_IF_ERROR(EnterMounts(running.own_mounts, running.own_root));
  return store.Save(running.record);
}

// Never given again where the kernel can say so (6.8).
StatusOr<uint64_t> MountId(const UniqueFd& fd) {
  struct statx st;
  for (const unsigned mask : {STATX_MNT_ID_UNIQUE, STATX_MNT_ID}) {
    if (::statx(fd.get(), "", AT_EMPTY_PATH, mask, &st) < 0) return SysError(errno, "statx");
    if ((st.stx_mask & mask) != 0) return st.stx_mnt_id;
  }
  return Unsupported("this kernel does not tell mounts apart");
}

// Whatever leads to it now.
Status Detach(const UniqueFd& proc, const UniqueFd& mount) {
  if (::fchdir(proc.get()) < 0) return SysError(errno, "fchdir", "/proc");
  const std::string name = fmt::format("self/fd/{}", mount.get());
  if (::umount2(name.c_str(), MNT_DETACH) < 0) return SysError(errno, "umount");
  return OkStatus();
}

Status RemoveMount(Running* running, const UniqueFd& root, const std::string& destination) {
  ASSIGN_OR_RETURN(const UniqueFd mount, OpenInRoot(root, destination, O_PATH));
  ASSIGN_OR_RETURN(const uint64_t id, MountId(mount));
  // Its masks, and what config.json mounts, are not to be removed by a name that leads there.
  std::vector<uint64_t>& added = running->record.live_mounts;
  const auto known = std::find(added.begin(), added.end(), id);
  if (known == added.end()) return NotFound("no mount that was added is on {:?}", destination);
  const Status detached = Detach(running->proc, mount);
  if (!detached.ok()) return Annotate(detached, destination);
  added.erase(known);
  return OkStatus();
}

StatusOr<std::vector<UniqueFd>> MakeTrees(Running* running, const std::vector<oci::Mount>& mounts) {
  std::vector<UniqueFd> trees;
  for (const oci::Mount& mount : mounts) {
    auto tree = linux_::NewDetachedMount(mount, running->spec.linux, running->user_namespace);
    if (!tree.ok()) return Annotate(tree.status(), mount.destination);
    ASSIGN_OR_RETURN(const uint64_t id, MountId(*tree));
    running->record.live_mounts.push_back(id);
    trees.push_back(std::move(*tree));
  }
  return trees;
}

}  // namespace

Status AddMounts(const Store& store, const std::string& id, const std::vector<oci::Mount>& mounts) {
  ASSIGN_OR_RETURN(const UniqueFd lock, store.Lock(id));
  ASSIGN_OR_RETURN(Running running, OpenRunning(store, id));
  ASSIGN_OR_RETURN(const std::vector<UniqueFd> trees, MakeTrees(&running, mounts));
  // Before they are placed: none is to be there that nobody can remove.
  RETURN_IF_ERROR(store.Save(running.record));
  size_t placed = 0;
  Undo remove([&] {
    while (placed > 0)
      IgnoreError(Detach(running.proc, trees[--placed]),
                  "undoing: the first error is the one to report");
    running.record.live_mounts.resize(running.record.live_mounts.size() - trees.size());
    IgnoreError(SaveOutside(store, running), "an id that is noted for nothing harms nobody");
  });
  ASSIGN_OR_RETURN(const UniqueFd root, Enter(running));
  for (; placed < mounts.size(); ++placed)
    RETURN_IF_ERROR(Annotate(linux_::PlaceInRoot(root, mounts[placed], trees[placed]),
                             fmt::format("mounting {:?}", mounts[placed].destination)));
  remove.Release();
  return OkStatus();
}

Status RemoveMounts(const Store& store, const std::string& id,
                    const std::vector<oci::Mount>& mounts) {
  ASSIGN_OR_RETURN(const UniqueFd lock, store.Lock(id));
  ASSIGN_OR_RETURN(Running running, OpenRunning(store, id));
  ASSIGN_OR_RETURN(const UniqueFd root, Enter(running));
  Status first;
  // The last that was added is the first to go: it may stand in another.
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount)
    first.Update(RemoveMount(&running, root, mount->destination));
  first.Update(SaveOutside(store, running));
  return first;
}

}  // namespace ocirun::container
