// SPDX-License-Identifier: Apache-2.0
//
// The host's procfs through a checked descriptor. What the runtime reads or writes below /proc once
// the container can have a say in the mounts must not go by name: a tmpfs or a link on the path
// would turn the write of a label or a sysctl into a write to a file of the attacker's choice
// (CVE-2019-16884, CVE-2025-52881).
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::linux_ {

// Opens /proc (O_PATH) and checks that it is the root of a procfs. To be called before the
// container's mounts exist, in the runtime's own mount namespace; "self" below it goes on naming
// the process that asks, as the pid namespace of this mount numbers it.
StatusOr<UniqueFd> OpenProc();

// Whether the folder is the root of a procfs and not a part of one.
StatusOr<bool> IsProcRoot(const UniqueFd& folder);

// A procfs of the caller's pid namespace that is mounted nowhere, so that nobody can have put
// anything on it. Needs CAP_SYS_ADMIN; in a user namespace the kernel may refuse it.
StatusOr<UniqueFd> NewProc();

// `given`, of OpenProc() or NewProc(), or where it is invalid a new one that ends with `made`.
StatusOr<const UniqueFd*> ProcOrNew(const UniqueFd& given, UniqueFd* made);

// Files of a process that is not dumpable belong to the host's root, so that the root of a user
// namespace can't write its own (proc(5)). While one of these lives the calling process is
// dumpable.
class Dumpable {
 public:
  Dumpable();
  ~Dumpable();
  Dumpable(const Dumpable&) = delete;
  Dumpable& operator=(const Dumpable&) = delete;
};

// Opens `path` below `proc` without following links other than /proc's own "self", and without
// leaving that one procfs.
StatusOr<UniqueFd> OpenInProc(const UniqueFd& proc, const std::string& path, int flags);
Status WriteInProc(const UniqueFd& proc, const std::string& path, std::string_view value);

}  // namespace ocirun::linux_
