// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::linux_ {

// Hides files behind /dev/null and folders behind an empty read-only tmpfs; what does not exist is
// skipped (config-linux.md#masked-paths). Paths are looked up inside `root`.
Status MaskPaths(const UniqueFd& root, const std::vector<std::string>& paths);
// Makes what is there, with all mounts below, read-only (config-linux.md#readonly-paths).
Status MakeReadOnly(const UniqueFd& root, const std::vector<std::string>& paths);

}  // namespace ocirun::linux_
