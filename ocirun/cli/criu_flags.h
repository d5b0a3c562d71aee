// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ocirun/cli/cli.h"
#include "ocirun/container/criu_request.h"

namespace ocirun::cli {

// The options that checkpoint and restore share.
void AddCriuFlags(CliCommand* command, container::CriuOptions* options);

// Warns an ordinary user, as runc does.
void WarnRootless(std::string_view command);

}  // namespace ocirun::cli
