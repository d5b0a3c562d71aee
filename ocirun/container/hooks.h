// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "ocirun/spec/spec.h"

namespace ocirun::container {

// Runs hooks one after another with the container's state on their stdin, in the namespaces of the
// caller (config.md#posix-platform-hooks). Stops at the first that fails; the error holds the
// hook's output. `kind` is the name in config.json ("createRuntime").
Status RunHooks(const std::vector<oci::Hook>& hooks, std::string_view kind,
                const std::string& state_json);

// Runs all poststop hooks. One that fails is a warning, and the others run all the same
// (config.md#poststop).
void RunPoststopHooks(const std::vector<oci::Hook>& hooks, const std::string& state_json);

}  // namespace ocirun::container
