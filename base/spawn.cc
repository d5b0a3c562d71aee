// SPDX-License-Identifier: Apache-2.0
#include "base/spawn.h"

#include <signal.h>

namespace ocirun {

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

SpawnSetup::SpawnSetup() {
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
}

SpawnSetup::~SpawnSetup() {
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
}

void SpawnSetup::ResetSignals() {
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  AddFlags(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

void SpawnSetup::NewProcessGroup() {
  ::posix_spawnattr_setpgroup(&attributes, 0);
  AddFlags(POSIX_SPAWN_SETPGROUP);
}

void SpawnSetup::AddFlags(int flags) {
  short before = 0;
  ::posix_spawnattr_getflags(&attributes, &before);
  ::posix_spawnattr_setflags(&attributes, static_cast<short>(before | flags));
}

StatusOr<pid_t> SpawnSetup::Spawn(const std::string& path, char* const* argv,
                                  char* const* envp) const {
  pid_t pid = 0;
  const int result = ::posix_spawn(&pid, path.c_str(), &actions, &attributes, argv, envp);
  if (result != 0) return SysError(result, "exec", path);
  return pid;
}

StatusOr<pid_t> SpawnSetup::SpawnFromPath(const std::string& name, char* const* argv,
                                          char* const* envp) const {
  pid_t pid = 0;
  const int result = ::posix_spawnp(&pid, name.c_str(), &actions, &attributes, argv, envp);
  if (result != 0) return SysError(result, "exec", name);
  return pid;
}

}  // namespace ocirun
