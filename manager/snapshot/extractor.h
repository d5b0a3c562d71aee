// SPDX-License-Identifier: Apache-2.0
//
// From a layer's tar to a folder in overlayfs's form (image-spec, layer.md; formats.md section 3).
// This is a security boundary: the tar is a stranger's. Every name is walked with openat2 from the
// folder's descriptor, nothing is looked up twice by name.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"
#include "manager/snapshot/decompressor.h"

namespace ocirun::snapshot {

struct ExtractResult {
  std::string diff_id;  // digest of the whole plain stream, padding included
  uint64_t size = 0;    // bytes of the regular files
};

// Extracts `plain` (an uncompressed tar) into the empty folder `root`. Needs root: owners, device
// nodes and trusted.* attributes are set. On failure the folder holds a part; the caller removes
// it. InvalidArgument for a tar that climbs out or has an impossible entry, DataLoss for a damaged
// one, ResourceExhausted for a full disk, Cancelled.
StatusOr<ExtractResult> ExtractLayer(const ByteSource& plain, const UniqueFd& root,
                                     const std::stop_token& stop);

}  // namespace ocirun::snapshot
