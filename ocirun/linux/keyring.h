// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::linux_ {

// Leaves the session keyring of the runtime's caller for a new one, "_ses.ID": keyrings belong to
// no namespace, so that without this the container's processes hold the caller's keys
// (session-keyring(7)). Runs in the process that becomes the container's. `label` is SELinux's for
// the keyring, empty for none; `proc` of linux_::OpenProc() is used for that alone.
Status NewSessionKeyring(const UniqueFd& proc, const std::string& id, const std::string& label);

}  // namespace ocirun::linux_
