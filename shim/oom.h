// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ocirun::shim {

// The folder of the process's memory cgroup (v1: of the memory hierarchy; v2: the only one), from
// /proc/PID/cgroup. Empty when the host has none.
std::string MemoryCgroupOf(pid_t pid);

// Whether the kernel has killed a process of the cgroup for its memory limit: oom_kill of
// memory.oom_control (v1) or memory.events (v2). False when the folder is gone.
bool WasOomKilled(const std::string& memory_cgroup);

// The processes of the cgroup itself.
std::vector<pid_t> CgroupPids(const std::string& cgroup);

}  // namespace ocirun::shim
