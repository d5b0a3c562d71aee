// SPDX-License-Identifier: Apache-2.0
//
// Help in the layout that runc's callers know: NAME, USAGE, COMMANDS, OPTIONS.
#pragma once

#include <span>
#include <string>

#include "ocirun/cli/cli.h"

namespace ocirun::cli {

// Of the program: `global` are its own options.
std::string ProgramHelp(const OptionSet& global, std::span<const CommandInfo> commands);

std::string CommandHelp(const CommandInfo& info, const OptionSet& options);

// "ocirun kill [options] <container-id> [signal]"
std::string UsageLine(const CommandInfo& info);

}  // namespace ocirun::cli
