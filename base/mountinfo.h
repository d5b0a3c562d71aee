// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

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

// The mounts that this process sees, one by one until `visit` returns false. A host of a thousand
// containers has thousands: what is looked for is mostly among the first, and the text of all would
// stay with the heap of a process that lives long.
Status VisitMounts(const std::function<bool(const MountInfo&)>& visit);

}  // namespace ocirun
