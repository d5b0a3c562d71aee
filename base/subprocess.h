// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace ocirun {

struct Command {
  std::string path;               // executed as it is: no shell, no PATH
  std::vector<std::string> args;  // argv; empty: {path}
  std::vector<std::string> env;
  std::string input;  // given on stdin, which then ends
  std::string cwd;    // empty: inherited
  std::optional<std::chrono::milliseconds> timeout;
  size_t max_output = 64u << 10;  // bytes kept of each stream; the rest is read and dropped
};

struct CommandResult {
  int wait_status = 0;               // as of waitpid(2)
  std::string output, error_output;  // stdout and stderr as they came
};

// Runs a program to its end, with pipes on its three standard descriptors. Safe in a program with
// threads (posix_spawn). A program that is still running after the timeout is killed, and the
// result is DeadlineExceeded, with what it had written. Does not wait for grandchildren that keep
// the pipes.
StatusOr<CommandResult> RunCommand(const Command& command);

// What the program wrote, as the end of an error: ": " and all of it in one line; empty if it wrote
// nothing.
std::string OutputAfterColon(const CommandResult& result);

}  // namespace ocirun
