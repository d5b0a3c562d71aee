// SPDX-License-Identifier: Apache-2.0
//
// Starting another program as a child that the runtime keeps talking to: its helpers, and CRIU.
// What needs big libraries is in a program of its own beside ocirun, so that the runtime does not
// carry them.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::linux_ {

struct Program {
  std::string path;
  std::vector<std::string> args;     // argv
  std::vector<const UniqueFd*> fds;  // become 3, 4, ...
  bool share_stdio = false;          // otherwise /dev/null
  // How the child is made, as sys::Clone() returns, and what it does first; empty: nothing special.
  std::function<StatusOr<pid_t>()> clone;
  std::function<Status()> prepare;
};

// A child of the caller, which is executing the program when this returns, with no other
// descriptors and no signal blocked. The caller must have one thread.
StatusOr<pid_t> Spawn(const Program& program);

// The path of a helper, which is looked for beside this program. FailedPrecondition "... is
// missing: install it beside ocirun to <purpose>".
StatusOr<std::string> FindHelper(const std::string& name, std::string_view purpose);

}  // namespace ocirun::linux_
