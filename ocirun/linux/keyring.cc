// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/keyring.h"

#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ocirun/linux/lsm.h"

namespace ocirun::linux_ {

Status NewSessionKeyring(const UniqueFd& proc, const std::string& id, const std::string& label) {
  RETURN_IF_ERROR(SetKeyLabel(proc, label));
  const std::string name = "_ses." + id;
  const long key = ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.c_str(), 0, 0, 0);
  // Kernels without keyrings and hosts that forbid them keep the caller's, as runc does.
  if (key < 0 && errno != ENOSYS && errno != EPERM && errno != EDQUOT)
    return SysError(errno, "keyctl", name);
  return OkStatus();
}

}  // namespace ocirun::linux_
