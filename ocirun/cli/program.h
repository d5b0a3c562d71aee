// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace ocirun::cli {

// The whole command line of the runtime: what the program `ocirun` is, and what the shim runs in a
// child that it forks for it. Once a process, which has one thread: log and working folder are the
// process's. `argv` as main()'s; returns the exit status, after it told the error.
int RunCommandLine(int argc, char** argv);

}  // namespace ocirun::cli
