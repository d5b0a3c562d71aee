// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "ocirun/linux/seccomp.h"
#include "ocirun/spec/spec.h"

namespace ocirun::init {

// The last part of `run` and of `exec`: what turns the prepared process into the container's.
struct Identity {
  const oci::Process& process;
  const std::optional<linux_::SeccompFilter>& seccomp;
  const UniqueFd& proc;           // linux_::OpenProc(); invalid: one is made where it is needed
  const UniqueFd& companion;      // who hears of the seccomp listener (sync.h)
  int preserve_fds = 0;           // descriptors 3 .. 3+n-1 stay open
  bool in_working_folder = true;  // Command, below
};

// process.env with the last of several entries for a name, and HOME from the container's
// /etc/passwd when it has none. To be called inside the container.
std::vector<std::string> Environment(const oci::Process& process);

struct Command {
  std::string path;  // for execve(2)
  // False: only the process's user may enter it, and not the container's root (a mount of FUSE or
  // NFS, an owner that the user namespace does not map). Become() does.
  bool in_working_folder = true;
};
// Enters process.cwd, and checks that it is inside the container:
// a descriptor that leaked from the host would otherwise be a way out (CVE-2024-21626).
// Then looks up process.args[0].
StatusOr<Command> PrepareCommand(const oci::Process& process);

// Changes user, capabilities, labels and seccomp: from here on the process is the container's, and
// so is what it runs.
Status Become(const Identity& identity);

// Executes the command. Returns only on failure.
Status Execute(const oci::Process& process, const std::string& path);

}  // namespace ocirun::init
