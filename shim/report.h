// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace ocirun::shim {

// One line on stderr, which is the bundle's log, in the form of containerd's own ("warning",
// "debug", ...). Lost when nobody reads the log.
void Report(std::string_view level, std::string_view message);

}  // namespace ocirun::shim
