// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/status.h"

namespace ocirun::shim {

// `-info`: reads runtime options (an Any) from stdin and writes what there is to know of this
// runtime to stdout, as containerd.types.RuntimeInfo. Returns the exit status.
StatusOr<int> Info();

}  // namespace ocirun::shim
