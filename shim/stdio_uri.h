// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "shim/log_writer.h"

namespace ocirun::shim {

// binary:///PROGRAM?NAME=VALUE&NAME=VALUE: each name and each value is an argument. With
// binary-v2:// a logger must say that it is ready.
struct LoggerUri {
  std::string program;  // empty: none
  std::vector<std::string> args;
  bool must_answer = false;
};

// Where the output of a process goes, from the `stdout` of Create and Exec:
//
//   (empty)                                      nowhere
//   json-file:///path/ID-json.log?OPTION&OPTION  a log in Docker's format
//   cri:///path/0.log?OPTION&OPTION              a log in CRI's format
//   attach:///path/exec.sock?OPTION              attach clients alone
//   /path, fifo:///path                          a fifo or a file that exists, of one stream:
//   stderr
//                                                has its own
//   file:///path                                 a file for both streams, which is made
//   binary:///..., binary-v2://...               a logger
//
//   attach=SOCKET    percent-encoded: attach clients as well
//   max-size=BYTES   when the log is rotated; 0, and the default: never
//   max-file=N       files that are kept, 1 and more; the default: 1
//   compress=true    those that are full; wants a size and 2 files
//   keep=SECONDS     of attach: how long an exec that has ended waits for its Delete, so that one
//                    whose manager has died is not kept for ever
struct StdioUri {
  const LogFormat* log_format = nullptr;  // none: no log
  LogFile::Options log;
  std::string attach_path;                   // empty: no attach socket
  std::optional<std::chrono::seconds> keep;  // none: as long as the container
  std::string path;                          // of one stream
  std::string file;                          // of both
  LoggerUri logger;
};

// Unimplemented names a scheme that is not supported, InvalidArgument what is wrong. Pure.
StatusOr<StdioUri> ParseStdioUri(std::string_view uri);

// The path of a fifo: a plain one, or fifo:///path. Empty for nothing.
StatusOr<std::string> ParseFifoUri(std::string_view uri);

}  // namespace ocirun::shim
