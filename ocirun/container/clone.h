// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "base/status.h"
#include "ocirun/cgroup/entry.h"
#include "ocirun/init/init.h"
#include "ocirun/spec/spec.h"

namespace ocirun::container {

// Opens the namespaces to join and checks that each is of the type that it should be.
StatusOr<std::vector<init::JoinedNamespace>> OpenNamespaces(const oci::Linux& config);

// The one of that type; nullptr when none is joined.
const UniqueFd* FindJoined(const std::vector<init::JoinedNamespace>& joined,
                           oci::NamespaceType type);

// Enters them one after the other, the user namespace last, since what does not belong to it can't
// be entered from inside; what can't be entered from outside (by an ordinary user) is tried again.
Status EnterNamespaces(const std::vector<const init::JoinedNamespace*>& namespaces);

// What makes a process in namespaces that the runtime can't enter and come back from: new ones
// belong to the user namespace of who makes them.
//
//   runtime                    helper                      sibling
//     |--- vfork ----------------->|  enter()                 |
//     |    (stands still)          |--- clone, CLONE_PARENT ->|  run()
//     |<-- end, with its number ---|                          |
struct SiblingOptions {
  // In the helper, which may share the runtime's memory: it changes nothing there, and what it
  // closes it closes by number.
  std::function<Status()> enter;
  std::function<void()> run;  // in the sibling, and does not return
  uint64_t clone_flags = 0;   // of the sibling
  // The kernel lets nobody enter a time namespace who shares his memory.
  bool enters_time_namespace = false;
};
// The sibling is the caller's child. `cgroups` are the helper's, for its child to inherit: inside,
// it may have no right to them.
StatusOr<pid_t> CloneAsSibling(const SiblingOptions& options, cgroup::Entry* cgroups);

// Makes init, a child of the caller, in all new namespaces and the joined pid namespace; the caller
// itself stays in its own. Init runs `run`, which does not return; it still has to enter those of
// the joined namespaces that init::JoinedAtClone() does not name, and the files of `cgroups`.
StatusOr<pid_t> CloneInit(const oci::Linux& config,
                          const std::vector<init::JoinedNamespace>& joined, cgroup::Entry* cgroups,
                          const std::function<void()>& run);

}  // namespace ocirun::container
