// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

// Fills /dev below `root`: the default devices (config-linux.md#default-devices), those of
// config.json, and the links fd, stdin, stdout, stderr, core, ptmx. Where mknod is refused (a user
// namespace) the host's node is bound instead. Does nothing when /dev is a bind mount of
// somebody's.
Status MakeDevices(const UniqueFd& root, const oci::Spec& spec);

// The nodes that it makes.
std::vector<std::string> DevicePaths(const oci::Spec& spec);

}  // namespace ocirun::linux_
