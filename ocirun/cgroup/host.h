// SPDX-License-Identifier: Apache-2.0
//
// What cgroup hierarchies this host has, read from text: pure, tested with literal files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ocirun::cgroup {

struct Hierarchy {
  std::string mount_point;               // /sys/fs/cgroup/memory
  std::string root;                      // the cgroup that is mounted there: "/" outside containers
  std::vector<std::string> controllers;  // v1: memory; "name=systemd"; empty for v2
  bool v2 = false;
};

// The cgroup and cgroup2 mounts in the text of /proc/self/mountinfo (proc(5)), each once.
std::vector<Hierarchy> FindHierarchies(std::string_view mountinfo);

// Those of this host; the mounts are read up to the last of them.
StatusOr<std::vector<Hierarchy>> HostHierarchies();

// The path of `hierarchy` in the text of /proc/PID/cgroup ("4:memory:/a/b"), "/" when it is absent.
std::string OwnCgroup(std::string_view proc_cgroup, const Hierarchy& hierarchy);

// Whether `word` is one of the words of a list such as cgroup.controllers.
bool HasWord(std::string_view list, std::string_view word);

}  // namespace ocirun::cgroup
