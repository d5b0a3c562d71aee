// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "ocirun/spec/spec.h"

namespace ocirun::cgroup {

// The rules of config.json, in order, and after them what every container needs to make and use its
// own /dev: mknod of anything, and access to the default devices and ptys.
std::vector<oci::DeviceRule> WithDefaults(const std::vector<oci::DeviceRule>& rules);

// "c 1:3 rwm", as devices.allow and devices.deny of cgroup v1 take it.
std::string FormatRule(const oci::DeviceRule& rule);

}  // namespace ocirun::cgroup
