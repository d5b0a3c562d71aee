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

// A mount's options, sorted by what they are (config.md#mounts).
struct MountOptions {
  uint64_t set = 0, clear = 0;                      // MOUNT_ATTR_* of the mount itself
  uint64_t recursive_set = 0, recursive_clear = 0;  // the same below it, too (rro, ...)
  std::vector<uint64_t> propagation;                // MS_PRIVATE, ..., with MS_REC
  bool bind = false, recursive_bind = false;
  bool copy_up = false;                 // tmpcopyup
  std::vector<std::string> superblock;  // for the filesystem: "sync", "size=64m"
};
// Pure. InvalidArgument for what contradicts itself.
StatusOr<MountOptions> ParseMountOptions(const oci::Mount& mount);

// What a `cgroup` mount shows: the name of each hierarchy's folder -> the container's cgroup in it,
// an absolute path on the host. On cgroup v2 a single entry with an empty name.
using CgroupView = std::map<std::string, std::string>;

// Puts the root file system where it can be pivoted to and returns its descriptor (O_PATH): all
// mounts become slaves of the host's, and the root a mount of its own.
StatusOr<UniqueFd> PrepareRoot(const oci::Spec& spec);

// Makes one mount of config.json below `root`; missing targets are created.
Status MountInRoot(const UniqueFd& root, const oci::Mount& mount, const CgroupView& cgroups);

// Hides files behind /dev/null and folders behind an empty read-only tmpfs; what does not exist is
// skipped (config-linux.md#masked-paths).
Status MaskPaths(const UniqueFd& root, const std::vector<std::string>& paths);
Status MakeReadOnly(const UniqueFd& root, const std::vector<std::string>& paths);
Status MakeRootReadOnly(const UniqueFd& root);

// pivot_root(2), or without it (an initramfs has no parent to pivot away to) a move of the mount
// and chroot. Ends in "/" of the container, then applies linux.rootfsPropagation.
enum class RootChange { kPivot, kMove };
Status ChangeRoot(const UniqueFd& root, RootChange how, const std::string& propagation);

}  // namespace ocirun::linux_
