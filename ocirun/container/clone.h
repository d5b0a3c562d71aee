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

// New namespaces belong to the user namespace of who makes them, and the runtime can't enter one
// and come back: a helper runs `enter`, and what it then clones with `flags` becomes the caller's
// child (CLONE_PARENT). Returns 0 in that child. `enter` may close every descriptor but the one it
// is given, over which the helper answers.
StatusOr<pid_t> CloneAsSibling(const std::function<Status(const UniqueFd& answer)>& enter,
                               uint64_t flags, cgroup::Entry* cgroups);

// Makes init, a child of the caller, in all new namespaces and the joined pid namespace; the caller
// itself stays in its own. Returns 0 in init and its process id in the caller. Init still has to
// enter those of the joined namespaces that init::JoinedAtClone() does not name, and the files of
// `cgroups`.
StatusOr<pid_t> CloneInit(const oci::Linux& config,
                          const std::vector<init::JoinedNamespace>& joined, cgroup::Entry* cgroups);

}  // namespace ocirun::container
