// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

enum class IdMapScope { kNone, kMount, kTree };
enum class LinkHandling { kFollow, kKeep, kCopy };

// A mount's options, sorted by what they are (config.md#mounts).
struct MountOptions {
  uint64_t set = 0, clear = 0;                      // MOUNT_ATTR_* of the mount itself
  std::optional<uint64_t> access_time;              // MOUNT_ATTR_NOATIME, _RELATIME, _STRICTATIME
  uint64_t recursive_set = 0, recursive_clear = 0;  // the same below it, too (rro, ...)
  std::vector<uint64_t> propagation;                // MS_PRIVATE, ..., with MS_REC
  bool bind = false, recursive_bind = false;
  bool remount = false;  // changes a mount that is there
  bool copy_up = false;  // tmpcopyup
  // The mappings are the mount's, or else the container's.
  IdMapScope id_map = IdMapScope::kNone;
  std::vector<oci::IdMapping> uid_mappings, gid_mappings;
  // Those of them, by their place, whose host ids are ids of the container's user namespace.
  std::vector<size_t> relative_uids, relative_gids;
  // src-nofollow binds a link itself, copy-symlink makes one that is the same; dest-nofollow mounts
  // on a link itself.
  LinkHandling source_link = LinkHandling::kFollow, target_link = LinkHandling::kFollow;
  std::vector<std::string> superblock;      // for the filesystem: "sync", "size=64m"
  std::vector<std::string> without_effect;  // what a bind mount can't have
};

// Pure. InvalidArgument for what contradicts itself.
StatusOr<MountOptions> ParseMountOptions(const oci::Mount& mount);

// Every option that ParseMountOptions() gives a meaning of its own, sorted; for `features`.
std::vector<std::string> KnownMountOptions();

}  // namespace ocirun::linux_
