// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/bpf.h>

#include <vector>

#include "base/status.h"
#include "ocirun/spec/spec.h"

namespace ocirun::cgroup {

// The device rules as a program for cgroup v2 (BPF_PROG_TYPE_CGROUP_DEVICE): the last rule that
// covers the type, the number and every wanted access decides; without one access is refused. Pure.
std::vector<bpf_insn> CompileDeviceRules(const std::vector<oci::DeviceRule>& rules);

// Loads the program and attaches it to the cgroup folder, where it lives as long as the cgroup.
Status AttachDeviceRules(const std::string& folder, const std::vector<oci::DeviceRule>& rules);

}  // namespace ocirun::cgroup
