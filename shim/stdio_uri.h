// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "shim/log_writer.h"

namespace ocirun::shim {

// Where the output of a process goes, from the `stdout` of Create and Exec:
//
//   (empty)                                      nowhere
//   json-file:///path/ID-json.log?OPTION&OPTION  a log in Docker's format
//   cri:///path/0.log?OPTION&OPTION              a log in CRI's format
//   attach:///path/exec.sock                     attach clients alone
//
//   attach=SOCKET    percent-encoded: attach clients as well
//   max-size=BYTES   when the log is rotated; 0, and the default: never
//   max-file=N       files that are kept, 1 and more; the default: 1
//   compress=true    those that are full; wants a size and 2 files
struct StdioUri {
  const LogFormat* log_format = nullptr;  // none: no log
  LogFile::Options log;
  std::string attach_path;  // empty: no attach socket
};

// Unimplemented names a scheme that is not supported, InvalidArgument what is wrong. Pure.
StatusOr<StdioUri> ParseStdioUri(std::string_view uri);

}  // namespace ocirun::shim
