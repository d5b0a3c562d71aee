// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "ocirun/cgroup/entry.h"
#include "ocirun/container/state.h"
#include "ocirun/linux/mounts.h"
#include "ocirun/linux/root.h"
#include "ocirun/linux/seccomp.h"
#include "ocirun/spec/spec.h"

namespace ocirun::init {

struct JoinedNamespace {
  oci::NamespaceType type;
  UniqueFd fd;
};

// Whether a namespace that is joined has been entered when init begins. In a user namespace all are
// but the mount namespace: once inside, init has no right to one that belongs to another.
bool JoinedAtClone(oci::NamespaceType type, const oci::Linux& config);

// All that init needs, made by the parent before the clone.
struct InitContext {
  const oci::Spec& spec;
  UniqueFd parent;   // sync.h
  UniqueFd start;    // listening: `start` connects
  UniqueFd console;  // connected console socket; invalid without a terminal
  UniqueFd proc;     // linux_::OpenProc()
  std::vector<JoinedNamespace> joined;
  std::vector<UniqueFd> sources;  // linux_::OpenSources()
  cgroup::Entry cgroups_entry;
  linux_::CgroupView cgroups;
  std::optional<linux_::SeccompFilter> seccomp;
  linux_::RootChange root_change = linux_::RootChange::kPivot;
  bool new_keyring = true;
  bool runtime_is_root = true;  // it may do more than init in a user namespace
  int preserve_fds = 0;
  container::Record record;  // for the state that hooks are given; init fills in its process id
};

// Runs in the child of the clone, in the new namespaces: the recipe. Ends in the container's
// command or with status 1, after it told the parent, or `start`, why.
[[noreturn]] void RunInit(InitContext* context);

}  // namespace ocirun::init
