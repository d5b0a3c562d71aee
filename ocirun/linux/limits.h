// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/status.h"
#include "base/unique_fd.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

// Sets the resource limits of the calling process. PermissionDenied names a limit whose hard value
// would have to rise without CAP_SYS_RESOURCE (setrlimit(2)).
Status SetRlimits(const std::vector<oci::Rlimit>& limits);

// Writes oom_score_adj of a process, from outside; lowering needs CAP_SYS_RESOURCE (proc(5)).
Status SetOomScoreAdj(pid_t pid, int score);

// Refuses sysctls that are not namespaced, or whose namespace is the host's: they would change the
// host. Runs in the runtime, in the host's namespaces, before anything is made.
Status CheckSysctls(const oci::Spec& spec);
// Writes them below `proc` (the container's procfs, open O_PATH). Runs in init.
Status SetSysctls(const oci::Linux& config, const UniqueFd& proc);

}  // namespace ocirun::linux_
