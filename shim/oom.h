// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace ocirun::shim {

// Folder name of each hierarchy -> the folder of the process's cgroup in it, as
// cgroup::Manager::View() names them: "cpu,cpuacct", "unified"; on v2 one entry, "".
using CgroupView = std::map<std::string, std::string>;

// From /proc/PID/cgroup. Empty when the host has no cgroups.
CgroupView CgroupsOf(pid_t pid);

// The folder of the memory cgroup (v1: of the memory hierarchy; v2: the only one). Empty when there
// is none.
std::string MemoryFolder(const CgroupView& cgroups);

// Whether the kernel has killed a process of the cgroup for its memory limit: oom_kill of
// memory.oom_control (v1) or memory.events (v2). False when the folder is gone.
bool WasOomKilled(const std::string& memory_cgroup);

// One kill as the kernel's log tells it.
struct OomKill {
  std::string cgroup;  // whose limit it was; empty: the machine had no memory left
  pid_t pid = 0;       // who was killed, for it: as the host counts
  std::string command;
  std::map<std::string, uint64_t> memory;  // what the cgroup held then, in bytes: memory.stat
};

// Finds the kills of a cgroup in the lines of the kernel's log (mm/oom_kill.c): the numbers of
// memory.stat, a line each (Linux 6.1: all in one record, until it is full), and behind them
// "oom-kill:constraint=...,oom_memcg=...,task_memcg=...,task=NAME,pid=N,uid=N". A cgroup is known
// by the last part of its path alone: the kernel writes paths from its own root, which may not be
// what is mounted here.
class OomLog {
 public:
  explicit OomLog(std::string_view memory_cgroup);
  void Read(std::string_view line);
  [[nodiscard]] const std::optional<OomKill>& last() const { return last_; }

 private:
  void ReadNumber(std::string_view line);

  std::string name_;
  std::map<std::string, uint64_t> memory_;
  std::optional<OomKill> last_;
};

// What exit.json says of the cgroup's last kill: {"cgroup", "process": {"pid", "command"},
// "memory":
// {"anon", "file", "kernel"}}, bytes, at that moment. null where the kernel's log is not for us, or
// has forgotten it.
Json DescribeOomKill(const std::string& memory_cgroup);

// The processes of the cgroup itself.
std::vector<pid_t> CgroupPids(const std::string& cgroup);

}  // namespace ocirun::shim
