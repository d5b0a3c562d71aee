// SPDX-License-Identifier: Apache-2.0
//
// posix_spawn(3) with an owner for what it needs. For a program that is run to its end there is
// base/subprocess.h.
#pragma once

#include <spawn.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/status.h"

namespace ocirun {

// argv or an environment. The words must outlive the result, and are not written to.
std::vector<char*> Pointers(const std::vector<std::string>& words);

// What is done in the child before the exec; posix_spawn's own functions fill `actions` and
// `attributes`.
class SpawnSetup {
 public:
  SpawnSetup();
  ~SpawnSetup();
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  // The child starts with the signals of a fresh program, whatever ours are.
  void ResetSignals();
  // Its number is the child's.
  void NewProcessGroup();
  // Executes `path` as it is, or as one finds it in PATH. The result is a child of the caller. The
  // error is that of the exec, or of an action before it.
  StatusOr<pid_t> Spawn(const std::string& path, char* const* argv, char* const* envp) const;
  StatusOr<pid_t> SpawnFromPath(const std::string& name, char* const* argv,
                                char* const* envp) const;

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;

 private:
  void AddFlags(int flags);
};

}  // namespace ocirun
