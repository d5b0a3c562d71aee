// SPDX-License-Identifier: Apache-2.0
//
// Reading and writing the files of one cgroup folder; what v1 and v2 share.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ocirun::cgroup {

// Writes `value` to `folder`/`file`. The error names file, value and `property` of config.json.
Status WriteControl(const std::string& folder, std::string_view file, std::string_view value,
                    std::string_view property);
StatusOr<std::string> ReadControl(const std::string& folder, std::string_view file);

// The processes of cgroup.procs in `folder`, and below it when `recursive`.
StatusOr<std::vector<pid_t>> ReadPids(const std::string& folder, bool recursive);

// Sub-folders of a cgroup, deepest last; the folder itself first.
std::vector<std::string> Descendants(const std::string& folder);

// mkdir -p; the topmost folder that had to be made goes to `*first_made` (empty: none).
Status MakeCgroup(const std::string& mount_point, const std::string& path, std::string* first_made);

// Removes `folder` with the cgroups below it. The kernel refuses while the last process is dying,
// so it tries for a bounded time. Fine when it is gone.
Status RemoveCgroup(const std::string& folder);

}  // namespace ocirun::cgroup
