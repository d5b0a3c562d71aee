// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/status.h"

namespace ocirun::linux_ {

// Makes sure that nobody in a container can write to this program through /proc/PID/exe
// (CVE-2019-5736): executes it again from a detached read-only bind mount of itself, which no
// namespace holds and nobody can remount. Costs an exec, no copy. Returns OK when this process
// already runs from a read-only mount; otherwise it does not return unless it fails.
Status ProtectSelf(char** argv);

// The file that this program was started from, also after ProtectSelf().
StatusOr<std::string> SelfPath();

}  // namespace ocirun::linux_
