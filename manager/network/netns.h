// SPDX-License-Identifier: Apache-2.0
//
// Named network namespaces: a file with the namespace bind-mounted on it, as iproute2 makes them.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"

namespace ocirun::network {

// Makes a new namespace at `path`, its loopback up. The folder is there.
Status MakeNetNs(const std::string& path);
// Idempotent.
Status RemoveNetNs(const std::string& path);
// Runs `work` on a thread of its own that is in the namespace.
Status InNetNs(const std::string& path, const std::function<Status()>& work);

}  // namespace ocirun::network
