// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace ocirun::linux_ {

// The file that execve will be given for `name`, looked up in PATH of `env` as execvp(3) does, seen
// from the current root. The texts are those that callers match:
//   exec: "x": executable file not found in $PATH      (NotFound)
//   exec: "/x": no such file or directory              (NotFound)
//   exec: "/x": permission denied                      (PermissionDenied)
//   exec: "/x": is a directory                         (PermissionDenied)
StatusOr<std::string> FindExecutable(const std::string& name, const std::vector<std::string>& env);

// Says why execve of an existing file failed: a missing interpreter of a script or an ELF file, a
// carriage return after it, a wrong architecture.
Status ExplainExecFailure(int err, const std::string& path);

}  // namespace ocirun::linux_
