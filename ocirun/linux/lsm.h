// SPDX-License-Identifier: Apache-2.0
//
// Labels of the security modules: AppArmor profiles and SELinux contexts.
#pragma once

#include <string>

#include "base/status.h"
#include "base/unique_fd.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

// Whether this host's kernel has AppArmor on.
bool HasAppArmor();

// Whether this host enforces or at least has SELinux. Where it has not, labels for mounts are left
// out.
bool HasSelinux();

// Fails when a label is asked for and this host does not have its module: an unconfined container
// must not pass for a confined one. To be called early, before anything is made.
Status CheckLabels(const oci::Process& process);

// Asks for the profile and the context at the caller's next exec (proc(5), attr/). `proc` is from
// OpenProc(), or invalid: then one is made for this.
Status SetExecLabels(const UniqueFd& proc, const oci::Process& process);

// SELinux: keys that the caller makes from now on get the process's label.
Status SetKeyLabel(const UniqueFd& proc, const std::string& label);

}  // namespace ocirun::linux_
