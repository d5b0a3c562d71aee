// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace ocirun::shim {

// Where the output of a process goes, from the `stdout` of Create and Exec:
//
//   (empty)                                                         nowhere
//   json-file:///path/ID-json.log?attach=SOCKET&max-size=B&max-file=N   a log, and attach clients
//   attach:///path/exec.sock                                        attach clients alone
//
// SOCKET is percent-encoded; max-size is bytes (0: no limit), max-file the number of files kept.
struct StdioUri {
  std::string log_path;     // empty: no log
  std::string attach_path;  // empty: no attach socket
  uint64_t max_size = 0;
  unsigned max_file = 1;
};

// Unimplemented names a scheme that is not supported, InvalidArgument what is wrong. Pure.
StatusOr<StdioUri> ParseStdioUri(std::string_view uri);

}  // namespace ocirun::shim
