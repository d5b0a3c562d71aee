// SPDX-License-Identifier: Apache-2.0
//
// The parts of `create` that `restore` shares.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "ocirun/cgroup/manager.h"
#include "ocirun/container/lifecycle.h"

namespace ocirun::container {

// What create and restore ask of a configuration, beyond its being one. Warns of what has no
// effect.
Status CheckBundle(const CreateOptions& options, const oci::Spec& spec);
// Without a process yet.
Record NewRecord(const CreateOptions& options, const oci::Spec& spec);
// Makes the cgroups, with their limits, and notes them in the record and the store. On failure
// nothing that was made is left.
StatusOr<std::unique_ptr<cgroup::Manager>> MakeCgroups(const Store& store, const oci::Spec& spec,
                                                       const CreateOptions& options,
                                                       Record* record);
// Enters a mount namespace, where one arrives in its root, and in it the root that is meant.
Status EnterMounts(const UniqueFd& mounts, const UniqueFd& root);
// linux.intelRdt, if it is there; what was made is in the record.
Status MakeRdtGroup(const oci::Spec& spec, Record* record);

}  // namespace ocirun::container
