// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "shim/flags.h"

namespace ocirun::shim {

// `delete`: removes what is left of a container whose shim has gone, and tells on stdout, as a
// DeleteResponse, how it ended. Fine when there is nothing left, or when it is done twice. Runs in
// the bundle, or is told where that is. Returns the exit status.
StatusOr<int> Delete(const Flags& flags);

}  // namespace ocirun::shim
