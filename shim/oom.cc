// SPDX-License-Identifier: Apache-2.0
#include "shim/oom.h"

#include "base/file.h"
#include "ocirun/cgroup/files.h"
#include "ocirun/cgroup/host.h"

namespace ocirun::shim {

std::string MemoryCgroupOf(pid_t pid) {
  const auto mounts = ReadFile("/proc/self/mountinfo");
  const auto cgroups = ReadFile(fmt::format("/proc/{}/cgroup", pid));
  if (!mounts.ok() || !cgroups.ok()) return {};
  std::string unified;
  for (const cgroup::Hierarchy& hierarchy : cgroup::FindHierarchies(*mounts)) {
    const std::string folder = hierarchy.mount_point + cgroup::OwnCgroup(*cgroups, hierarchy);
    if (hierarchy.v2) unified = folder;
    for (const std::string& controller : hierarchy.controllers)
      if (controller == "memory") return folder;
  }
  return unified;
}

bool WasOomKilled(const std::string& memory_cgroup) {
  for (const char* file : {"memory.oom_control", "memory.events"}) {
    const auto text = ReadFile(fmt::format("{}/{}", memory_cgroup, file));
    if (!text.ok()) continue;
    // Lines of "key number".
    for (size_t at = 0; at < text->size();) {
      const size_t end = std::min(text->find('\n', at), text->size());
      const std::string line = text->substr(at, end - at);
      if (line.rfind("oom_kill ", 0) == 0) return line != "oom_kill 0";
      at = end + 1;
    }
  }
  return false;
}

std::vector<pid_t> CgroupPids(const std::string& cgroup) {
  auto pids = cgroup::ReadPids(cgroup, true);
  return pids.ok() ? *pids : std::vector<pid_t>();
}

}  // namespace ocirun::shim
