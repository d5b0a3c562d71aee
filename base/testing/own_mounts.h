// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/status.h"

namespace ocirun::testing {

// Moves this process, a test's child, into a mount namespace of its own that tells the host's
// nothing; an ordinary user into a user namespace as well, as its root.
Status EnterOwnMounts();

}  // namespace ocirun::testing
