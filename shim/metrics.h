// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/status.h"
#include "containerd/wire.pb.h"
#include "shim/oom.h"

namespace ocirun::shim {

// What the kernel counts for a container, as containerd knows it: io.containerd.cgroups.v1.Metrics
// or v2.Metrics. NotFound when there are no such cgroups.
StatusOr<wire::Any> ReadMetrics(const CgroupView& cgroups);

}  // namespace ocirun::shim
