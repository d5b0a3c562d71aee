// SPDX-License-Identifier: Apache-2.0
//
// runc's options as TOML, the way containerd's configuration has them:
//
//   BinaryName = "/usr/bin/crun"
//   SystemdCgroup = true
#pragma once

#include <string_view>

#include "base/status.h"
#include "shim/options.h"

namespace ocirun::shim {

// Keys with strings of one line, numbers and truth values; comments. InvalidArgument names the line
// that is none of these, Unimplemented an option that is not runc's, and a table.
StatusOr<RuncOptions> ParseTomlOptions(std::string_view text);

}  // namespace ocirun::shim
