// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun {

// Copies what is in the folder `from` into the folder `to`, with owners, modes, times, links,
// device nodes and the extended attribute security.capability; hard links become files of their
// own. Both are walked by descriptors and no link is followed. Stays on the filesystem of `from`.
// What `to` has already under a name is an error (EEXIST), but folders are merged.
Status CopyTree(const UniqueFd& from, const UniqueFd& to);

}  // namespace ocirun
