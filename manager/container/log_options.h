// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/status.h"
#include "ocid/v1/container.pb.h"

namespace ocirun::container {

// What Docker's --log-driver and --log-opt ask for (formats.md 4.3).
struct LogOptions {
  bool kept = true;       // none: no file, and nothing for `logs` to read
  uint64_t max_size = 0;  // bytes; 0: no limit
  uint32_t max_file = 1;
  bool compress = false;
};

// InvalidArgument, with Docker's words, for an option that the driver does not know or a value that
// is none; Unimplemented names a driver that is not there. No type is json-file. Pure.
StatusOr<LogOptions> ParseLogConfig(const ocid::v1::LogConfig& config);

}  // namespace ocirun::container
