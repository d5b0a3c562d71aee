// SPDX-License-Identifier: Apache-2.0
//
// Mounts of the container, made in its new mount namespace before pivot_root. Every target is
// opened inside the root with openat2(2) and mounted on through that descriptor: no name is looked
// up twice, so that an image full of links, or a second container that swaps them in a shared
// volume, can't move a mount outside (CVE-2019-19921, CVE-2021-30465, CVE-2023-27561,
// CVE-2025-31133, CVE-2025-52565).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

// What a `cgroup` mount shows: the name of each hierarchy's folder -> the container's cgroup in it,
// an absolute path on the host. On cgroup v2 a single entry with an empty name.
using CgroupView = std::map<std::string, std::string>;

// What the mounts of one container share.
struct MountContext {
  const UniqueFd& root;
  const CgroupView& cgroups;
  const std::string& label;       // linux.mountLabel
  bool cgroup_namespace = false;  // of its own
  // In a user namespace, without the namespace that a new procfs or sysfs would show: the kernel
  // allows none, and the host's is shown.
  bool host_proc = false, host_sysfs = false;
};

// Whether the source of this mount is to be opened by the runtime rather than by init: idmapped
// mounts always, and with a user namespace those of bind mounts, which its root may be unable to
// reach.
bool NeedsRuntime(const oci::Mount& mount, const oci::Linux& config);

// Whether what is mounted in this mount is to be seen on the host: a shared bind mount below a
// shared root (linux.rootfsPropagation). Its source is opened before PrepareRoot(), after which
// nothing has peers on the host any more; as a tree, which keeps them.
bool GoesOut(const oci::Mount& mount, const oci::Linux& config);

// Opens such a source as a detached tree, mapped if the mount is; where there are none the source
// is opened only, and no mount can be mapped. `user_namespace` is the one that the container joins,
// invalid if it makes one. Runs in the runtime, in init's mount namespace: what earlier mounts have
// put there counts.
StatusOr<UniqueFd> OpenSourceTree(const oci::Mount& mount, const oci::Linux& config,
                                  const UniqueFd& user_namespace);

// A read-only tmpfs takes the mount points and devices that are made in it first: MountInRoot()
// leaves it writable, and FinishReadOnly() is called when all is made.
bool IsReadOnlyLater(const oci::Mount& mount);
Status FinishReadOnly(const UniqueFd& root, const std::vector<oci::Mount>& mounts);

// Makes one mount of config.json below the root; missing targets are created. `source` is
// what OpenSourceTree() gave, or invalid.
Status MountInRoot(const MountContext& context, const oci::Mount& mount, const UniqueFd& source);

// The same in two steps, for a container that runs: the first where the caller stands, with the
// mount's attributes and propagation; the second inside. Bind mounts and tmpfs alone: any other
// filesystem might show what namespaces the caller is in, or find its source inside.
StatusOr<UniqueFd> NewDetachedMount(const oci::Mount& mount, const oci::Linux& config,
                                    const UniqueFd& user_namespace);
Status PlaceInRoot(const UniqueFd& root, const oci::Mount& mount, const UniqueFd& tree);

}  // namespace ocirun::linux_
