// SPDX-License-Identifier: Apache-2.0
//
// A container's processes to files and back, by CRIU (criu.h). The folder of a checkpoint:
//
//   <image-path>/
//     *.img, dump.log        CRIU's own; dump.log and restore.log are in <work-path> if there is
//     one descriptors.json       what 0, 1 and 2 of the container were:
//     ["/dev/null","pipe:[5]",...]
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "ocirun/container/criu_request.h"
#include "ocirun/container/lifecycle.h"
#include "ocirun/container/state.h"

namespace ocirun::container {

// Where CRIU's files go when nobody says: ./checkpoint.
inline constexpr char kDefaultImagePath[] = "checkpoint";

// Writes the checkpoint; the folders are made when missing. Unless the options keep it running, the
// container is then deleted, with its poststop hooks. When it fails the container runs on.
Status Checkpoint(const Store& store, const std::string& id, const CriuOptions& options);

// Makes the container anew from a checkpoint and the bundle, running. When it fails nothing is
// left. Returns the record; the process is a child of the caller.
StatusOr<Record> Restore(const Store& store, const CreateOptions& create, Bundle bundle,
                         const CriuOptions& options);

// What the two share. The folders stay open as long as CRIU works: `request` names them by number.
struct CriuFolders {
  UniqueFd images, work;  // work: invalid when there is none of its own
  std::string log_folder;
};
StatusOr<CriuFolders> OpenCriuFolders(const CriuOptions& options, Json* request);

// `destination` below the folder `root`, with its symbolic links followed inside; what does not
// exist is kept as it is.
StatusOr<std::string> ResolveInRoot(const std::string& root, const std::string& destination);

// What 0, 1 and 2 of this process are: "pipe:[5]", "/dev/null"; empty for one that is closed or has
// no ASCII name.
std::vector<std::string> StandardDescriptors();

}  // namespace ocirun::container
