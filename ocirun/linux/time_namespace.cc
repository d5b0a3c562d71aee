// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/time_namespace.h"

#include <fcntl.h>
#include <sched.h>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "ocirun/linux/proc.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace ocirun::linux_ {

Status NewTimeNamespace(const std::map<std::string, oci::TimeOffset>& offsets) {
  if (::unshare(CLONE_NEWTIME) < 0) return SysError(errno, "unshare CLONE_NEWTIME");
  if (offsets.empty()) return OkStatus();
  const Dumpable dumpable;
  std::string text;
  for (const auto& [clock, offset] : offsets)
    text += fmt::format("{} {} {}\n", clock, offset.seconds, offset.nanoseconds);
  return Annotate(WriteFile("/proc/self/timens_offsets", text), "linux.timeOffsets");
}

Status EnterTimeNamespace() {
  ASSIGN_OR_RETURN(const UniqueFd made, sys::Open("/proc/self/ns/time_for_children", O_RDONLY));
  return Annotate(sys::SetNs(made, CLONE_NEWTIME), "time");
}

}  // namespace ocirun::linux_
