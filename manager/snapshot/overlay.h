// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace ocirun::snapshot {

struct OverlayMount {
  std::vector<std::string> lower;  // folders, base first
  std::string upper;               // empty, with `work`: read-only
  std::string work;
  std::string target;
  // `upper` is thrown away after the mount: its writes are never synced, not by fsync and not when
  // it is unmounted, which for others syncs the whole file system below (option volatile,
  // kernel 5.10).
  bool throw_away = false;
};

// Mounts an overlay (Documentation/filesystems/overlayfs.rst). By lowerdir+ (kernel 6.8), which
// knows no limit of the options' length; older kernels get one string, of a page at most.
Status MountOverlay(const OverlayMount& mount);

}  // namespace ocirun::snapshot
