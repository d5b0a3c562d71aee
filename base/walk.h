// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun {

// What openat2(2) does (before 5.6 there is none), a component at a time: each is opened by one
// name from a descriptor that is held, without following a link; a link's text is read and walked
// itself; ".." goes back to the descriptor that the walk came from. So nothing but the kernel's
// lookup of one name in one folder is relied on, and at the end what was reached must be below
// `root` still, since a folder may have been moved meanwhile: else the walk begins again, a bounded
// number of times.
//
// `resolve` has RESOLVE_IN_ROOT or RESOLVE_BENEATH; RESOLVE_NO_SYMLINKS and RESOLVE_NO_XDEV are
// kept, and RESOLVE_NO_MAGICLINKS always. Errors are openat2's: ELOOP, EXDEV, EAGAIN. O_CLOEXEC is
// added.
StatusOr<UniqueFd> Walk(const UniqueFd& root, std::string_view path, int flags, uint64_t resolve,
                        mode_t mode);

}  // namespace ocirun
