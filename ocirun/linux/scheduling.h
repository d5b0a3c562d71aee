// SPDX-License-Identifier: Apache-2.0
//
// How the calling thread is scheduled, where its memory comes from and what kernel it sees. All act
// on the caller, survive exec, and need the privileges that the container's process may give up
// later. Each error names the property of config.json.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

// sched_setattr(2).
Status SetScheduler(const oci::Scheduler& scheduler);
// ioprio_set(2).
Status SetIoPriority(const oci::IoPriority& priority);
// sched_setaffinity(2); nothing to do for an empty list.
Status SetCpuAffinity(const std::vector<unsigned>& cpus);
// The CPUs of the calling thread as a number, "0x3"; of more than 64 CPUs the lowest 64.
std::string CpuAffinityText();
// Lets the thread run everywhere again, within its cpuset: an affinity that the caller of the
// runtime had must not narrow what the container's cpuset allows.
Status ResetCpuAffinity();
// set_mempolicy(2).
Status SetMemoryPolicy(const oci::MemoryPolicy& policy);
// personality(2).
Status SetPersonality(unsigned long domain);

}  // namespace ocirun::linux_
