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
};

// Opens, one for each of spec.mounts, the trees that only the runtime may open or map: with a user
// namespace the sources of bind mounts, which its root may be unable to reach, and always those of
// idmapped mounts. The others stay invalid. `user_namespace` is the one that the container joins,
// invalid if it makes one. Runs in the runtime, before the clone.
StatusOr<std::vector<UniqueFd>> OpenSources(const oci::Spec& spec, const UniqueFd& user_namespace);

// Makes one mount of config.json below the root; missing targets are created. `source` is the
// mount's element of OpenSources().
Status MountInRoot(const MountContext& context, const oci::Mount& mount, const UniqueFd& source);

}  // namespace ocirun::linux_
