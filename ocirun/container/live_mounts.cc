// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/path.h"
#include "base/sys/file.h"
#include "ocirun/cgroup/manager.h"
#include "ocirun/container/create.h"
#include "ocirun/container/lifecycle.h"
#include "ocirun/linux/mount_options.h"
#include "ocirun/linux/mounts.h"
#include "ocirun/linux/tree.h"

namespace ocirun::container {
namespace {

// Of the container as it is now.
struct LiveMounts {
  Record record;
  oci::Spec spec;
  UniqueFd mount_namespace, root, user_namespace;
};

StatusOr<LiveMounts> OpenRunning(const Store& store, const std::string& id) {
  LiveMounts live;
  ASSIGN_OR_RETURN(live.record, store.Load(id));
  ASSIGN_OR_RETURN(live.spec, store.LoadSpec(live.record));
  const pid_t init = live.record.init_pid;
  // The descriptors are of whoever has the number; was that still init when they were opened?
  auto namespace_fd = sys::Open(fmt::format("/proc/{}/ns/mnt", init), O_RDONLY);
  auto user_fd = sys::Open(fmt::format("/proc/{}/ns/user", init), O_RDONLY);
  auto root = sys::Open(fmt::format("/proc/{}/root", init), O_PATH | O_DIRECTORY);
  if (store.StatusOf(live.record) == ContainerStatus::kStopped)
    return FailedPrecondition("container not running");
  ASSIGN_OR_RETURN(live.mount_namespace, std::move(namespace_fd));
  ASSIGN_OR_RETURN(live.user_namespace, std::move(user_fd));
  ASSIGN_OR_RETURN(live.root, std::move(root));
  return live;
}

// A filesystem that shows what its maker's namespaces hold would show the host's.
Status CheckType(const oci::Mount& mount) {
  constexpr std::string_view kOfNamespaces[] = {"proc",   "sysfs",   "mqueue",
                                                "cgroup", "cgroup2", "devpts"};
  if (std::find(std::begin(kOfNamespaces), std::end(kOfNamespaces), mount.type) ==
      std::end(kOfNamespaces))
    return OkStatus();
  return Unsupported("a mount of type {:?} can't be added to a running container", mount.type);
}

// The mount on top of `destination`. By its folder and last name, since a file can't be entered and
// the container's /proc does not know us.
Status RemoveMount(const UniqueFd& root, const std::string& destination) {
  const size_t slash = destination.rfind('/');
  const std::string name = destination.substr(slash + 1);
  if (name.empty() || name == "." || name == "..")
    return InvalidArgument("{:?} can't be removed", destination);
  ASSIGN_OR_RETURN(const UniqueFd folder,
                   OpenInRoot(root, destination.substr(0, slash + 1), O_PATH | O_DIRECTORY));
  if (::fchdir(folder.get()) < 0) return SysError(errno, "fchdir", destination);
  if (::umount2(name.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return OkStatus();
  if (errno == EINVAL) return NotFound("nothing is mounted on {:?}", destination);
  return SysError(errno, "umount", destination);
}

// The sources, as they are on the host; invalid where a mount needs none.
StatusOr<std::vector<UniqueFd>> OpenSources(const LiveMounts& live,
                                            const std::vector<oci::Mount>& mounts) {
  std::vector<UniqueFd> sources;
  for (const oci::Mount& mount : mounts) {
    RETURN_IF_ERROR(CheckType(mount));
    ASSIGN_OR_RETURN(const linux_::MountOptions options, linux_::ParseMountOptions(mount));
    if (options.remount) return Unsupported("{:?}: no mount is changed", mount.destination);
    if (!options.bind) {
      sources.emplace_back();
      continue;
    }
    auto source = linux_::OpenSourceTree(mount, live.spec.linux, live.user_namespace);
    if (!source.ok()) return Annotate(source.status(), mount.destination);
    sources.push_back(std::move(*source));
  }
  return sources;
}

}  // namespace

Status AddMounts(const Store& store, const std::string& id, const std::vector<oci::Mount>& mounts) {
  // The other way to make a mount would cover the container's /dev for a moment.
  if (!linux_::CanDetachTrees())
    return Unsupported("to add mounts to a running container needs Linux 5.2");
  ASSIGN_OR_RETURN(const UniqueFd lock, store.Lock(id));
  ASSIGN_OR_RETURN(const LiveMounts live, OpenRunning(store, id));
  ASSIGN_OR_RETURN(const std::vector<UniqueFd> sources, OpenSources(live, mounts));
  RETURN_IF_ERROR(EnterMounts(live.mount_namespace, live.root));
  ASSIGN_OR_RETURN(const UniqueFd root, sys::Open("/", O_PATH | O_DIRECTORY));
  const linux_::MountContext context{root, {}, live.spec.linux.mount_label, false};
  size_t made = 0;
  Undo remove([&] {
    while (made > 0)
      IgnoreError(RemoveMount(root, mounts[--made].destination),
                  "undoing: the first error is the one to report");
  });
  for (; made < mounts.size(); ++made)
    RETURN_IF_ERROR(Annotate(linux_::MountInRoot(context, mounts[made], sources[made]),
                             fmt::format("mounting {:?}", mounts[made].destination)));
  remove.Release();
  return linux_::FinishReadOnly(root, mounts);
}

Status RemoveMounts(const Store& store, const std::string& id,
                    const std::vector<oci::Mount>& mounts) {
  ASSIGN_OR_RETURN(const UniqueFd lock, store.Lock(id));
  ASSIGN_OR_RETURN(const LiveMounts live, OpenRunning(store, id));
  RETURN_IF_ERROR(EnterMounts(live.mount_namespace, live.root));
  ASSIGN_OR_RETURN(const UniqueFd root, sys::Open("/", O_PATH | O_DIRECTORY));
  Status first;
  // The last that was added is the first to go: it may stand in another.
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount)
    first.Update(RemoveMount(root, mount->destination));
  return first;
}

}  // namespace ocirun::container
