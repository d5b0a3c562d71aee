// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ocirun {

// One line of /proc/PID/mountinfo (proc(5)).
struct MountInfo {
  std::string root;         // the folder of the filesystem that is mounted
  std::string mount_point;  // where, as the reader's root shows it
  std::string type, source;
  std::string super_options;  // comma-separated
};

// Lines that are no mount are left out. Pure.
std::vector<MountInfo> ParseMountInfo(std::string_view mountinfo);

}  // namespace ocirun
