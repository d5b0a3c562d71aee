// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/status.h"
#include "base/unique_fd.h"
#include "ocirun/container/state.h"
#include "ocirun/spec/spec.h"

namespace ocirun::container {

// Hands the listener of a seccomp filter to the agent at linux.seccomp.listenerPath, with the state
// of the container and the process that it supervises (config-linux.md#containerprocessstate).
Status SendToAgent(const oci::Seccomp& seccomp, const Record& record, ContainerStatus status,
                   pid_t pid, const UniqueFd& listener);

}  // namespace ocirun::container
