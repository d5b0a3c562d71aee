// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace ocirun::shim {

// containerd's command line of a shim (shim protocol, section 2). `publish_binary` is for shims
// that run it to send their events; ours go over ttrpc, and it tells that containerd calls.
struct Flags {
  std::string name_space, address, publish_binary, id, bundle, socket;
  bool debug = false, version = false, info = false;
  std::string action;  // start, delete, or empty
};

// Go's flag style: one dash or two, "-x value" or "-x=value", the action behind the flags.
// InvalidArgument names what is not known.
StatusOr<Flags> ParseFlags(const std::vector<std::string>& args);

}  // namespace ocirun::shim
