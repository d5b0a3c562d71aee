// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace ocirun {

// "9", "KILL", "SIGKILL", "kill", "SIGRTMIN+3" -> number (1..64). InvalidArgument otherwise.
StatusOr<int> ParseSignal(std::string_view text);
// "SIGKILL", "SIGRTMIN+3"; "signal 99" for what has no name.
std::string SignalName(int signal);

}  // namespace ocirun
