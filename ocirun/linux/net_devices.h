// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::linux_ {

// Moves network devices of the caller's network namespace into `target` (an nsfs descriptor), under
// the names they are to have there, with the addresses of global scope that they had and set up
// (config-linux.md#network-devices). `devices` maps the name here to the name there; "eth%d" takes
// the next free number. Needs CAP_NET_ADMIN in both. The caller must have one thread: it enters
// `target` for a moment.
Status MoveNetDevices(const std::map<std::string, std::string>& devices, const UniqueFd& target);

}  // namespace ocirun::linux_
