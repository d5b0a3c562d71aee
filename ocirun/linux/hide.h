// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

// Finds what is to be hidden. What does not exist is skipped, and that must not be said of a file
// in a procfs or sysfs whose folder somebody has renamed, from another container of the same root
// file system: these are looked up from the mount itself.
class HiddenPaths {
 public:
  // Both outlive this.
  HiddenPaths(const UniqueFd& root, const std::vector<oci::Mount>& mounts);

  // O_PATH; invalid when there is no such path.
  StatusOr<UniqueFd> Open(const std::string& path);

 private:
  struct KernelMount {
    std::vector<std::string> place;  // its destination
    long type;                       // *_MAGIC of statfs(2)
    UniqueFd fd;                     // opened when it is needed
  };
  StatusOr<UniqueFd> OpenBelow(KernelMount* mount, const std::vector<std::string>& parts);

  const UniqueFd& root_;
  std::vector<KernelMount> mounts_;
};

// Hides files behind /dev/null and folders behind an empty read-only tmpfs; what does not exist is
// skipped (config-linux.md#masked-paths). The tmpfs is the container's own: of one that all of a
// host share, a container with CAP_SYS_ADMIN could make its view writable, and speak to the others.
Status MaskPaths(HiddenPaths* places, const std::vector<std::string>& paths);
// Makes what is there, with all mounts below, read-only (config-linux.md#readonly-paths).
Status MakeReadOnly(HiddenPaths* places, const std::vector<std::string>& paths);

}  // namespace ocirun::linux_
