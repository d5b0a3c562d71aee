// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/status.h"
#include "base/unique_fd.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

// Puts the root file system where it can be pivoted to and returns its descriptor (O_PATH): all
// mounts become slaves of the host's, and the root a mount of its own. Without a mount namespace
// the host's mounts stay as they are, and the root's own is private.
StatusOr<UniqueFd> PrepareRoot(const oci::Spec& spec);

Status MakeRootReadOnly(const UniqueFd& root);

// pivot_root(2), or without it (an initramfs has no parent to pivot away to) a move of the mount
// and chroot. Ends in "/" of the container, then applies linux.rootfsPropagation.
enum class RootChange { kPivot, kMove, kChroot };  // kChroot: without a mount namespace
Status ChangeRoot(const UniqueFd& root, RootChange how, const std::string& propagation);

}  // namespace ocirun::linux_
