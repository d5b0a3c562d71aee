// SPDX-License-Identifier: Apache-2.0
//
// User and group id mappings: of user namespaces (user_namespaces(7)) and of mounts
// (mount_setattr(2), MOUNT_ATTR_IDMAP).
#pragma once

#include <sys/types.h>

#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "ocirun/linux/mount_options.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

// Writes the maps of the user namespace in which `pid` is, which has none yet. An ordinary user may
// map nothing but himself; for more, newuidmap(1) and newgidmap(1) are run, which check
// /etc/subuid and /etc/subgid.
Status WriteIdMaps(pid_t pid, const std::vector<oci::IdMapping>& uids,
                   const std::vector<oci::IdMapping>& gids);

// Maps the detached mount `tree` as `options` ask: with their mappings, or else with those of the
// container's user namespace, which is `joined` or, if that is invalid, the one that `config` asks
// for. A mapping's containerID is an id on the disk, its hostID what it is seen as on the host.
Status MapMount(const UniqueFd& tree, const MountOptions& options, const oci::Linux& config,
                const UniqueFd& joined);

}  // namespace ocirun::linux_
