// SPDX-License-Identifier: Apache-2.0
//
// Walking paths that an image, a bundle or a client controls. Everything starts from a descriptor
// of the root and goes through openat2(2) with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS: "..",
// absolute links and links through links end inside the root, whatever races with us. Where there
// is no openat2 (before 5.6) base/walk.h does the same.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun {

// The most links that are followed for one path, as by the kernel (path_resolution(7)).
inline constexpr int kMaxLinks = 40;

// "/a//./b/" -> {"a", "b"}; ".." is kept (the kernel resolves it inside the root).
std::vector<std::string> PathComponents(std::string_view path);

// openat2(2): `resolve` is of RESOLVE_*, with RESOLVE_IN_ROOT or RESOLVE_BENEATH, and with
// RESOLVE_NO_MAGICLINKS or RESOLVE_NO_SYMLINKS.
StatusOr<UniqueFd> OpenBelow(const UniqueFd& dir, std::string_view path, int flags,
                             uint64_t resolve, mode_t mode = 0);

// Opens `path` below `root`; symbolic links are followed inside the root. `flags` as for open(2);
// add O_NOFOLLOW to stop at a last link.
StatusOr<UniqueFd> OpenInRoot(const UniqueFd& root, std::string_view path, int flags,
                              mode_t mode = 0);

// Like mkdir -p below `root`, following links inside the root; returns the last folder, O_PATH.
// New folders get `mode` and belong to the caller.
StatusOr<UniqueFd> MakeDirsInRoot(const UniqueFd& root, std::string_view path, mode_t mode);

// "/proc/self/fd/N" of an O_PATH descriptor, for calls that take only names. The caller keeps the
// descriptor open while the text is used.
std::string ProcFdPath(const UniqueFd& fd);

}  // namespace ocirun
