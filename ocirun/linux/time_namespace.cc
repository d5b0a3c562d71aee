// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/time_namespace.h"

#include <sched.h>

#include "base/file.h"
#include "ocirun/linux/proc.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace ocirun::linux_ {

Status NewTimeNamespace(const std::map<std::string, oci::TimeOffset>& offsets) {
  if (::unshare(CLONE_NEWTIME) < 0) return SysError(errno, "unshare CLONE_NEWTIME");
  if (offsets.empty()) return absl::OkStatus();
  const Dumpable dumpable;
  std::string text;
  for (const auto& [clock, offset] : offsets)
    text += fmt::format("{} {} {}\n", clock, offset.seconds, offset.nanoseconds);
  return Annotate(WriteFile("/proc/self/timens_offsets", text), "linux.timeOffsets");
}

}  // namespace ocirun::linux_
