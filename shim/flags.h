// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace ocirun::shim {

// containerd's command line of a shim (shim protocol, section 2). -address, -publish-binary and
// -debug say where containerd's own services are; they matter to whoever forwards events.
struct Flags {
  std::string name_space, address, publish_binary, id, bundle, socket, runtime_root;
  bool debug = false, version = false;
  std::string action;  // start, delete, or empty
};

// Go's flag style: one dash or two, "-x value" or "-x=value", the action behind the flags.
// InvalidArgument names what is not known.
StatusOr<Flags> ParseFlags(const std::vector<std::string>& args);

}  // namespace ocirun::shim
