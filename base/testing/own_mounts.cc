// SPDX-License-Identifier: Apache-2.0
#include "base/testing/own_mounts.h"

#include <sched.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sys/mount.h"

namespace ocirun::testing {

Status EnterOwnMounts() {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (::unshare(CLONE_NEWNS | (uid == 0 ? 0 : CLONE_NEWUSER)) < 0)
    return SysError(errno, "unshare");
  if (uid != 0) {
    RETURN_IF_ERROR(WriteFile("/proc/self/setgroups", "deny"));
    RETURN_IF_ERROR(WriteFile("/proc/self/uid_map", fmt::format("0 {} 1", uid)));
    RETURN_IF_ERROR(WriteFile("/proc/self/gid_map", fmt::format("0 {} 1", gid)));
  }
  return sys::Mount("", "/", "", MS_PRIVATE | MS_REC, "");
}

}  // namespace ocirun::testing
