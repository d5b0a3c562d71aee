// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

// A compiled filter: struct sock_filter instructions and the flags of seccomp(2).
struct SeccompFilter {
  std::string bpf;
  unsigned flags = 0;
};

// Compiles the profile with libseccomp. Makes no system call that changes this process, so it runs
// in the parent. Names of system calls that libseccomp does not know are skipped, as runc does: a
// profile is written for many kernels; a call that is newer than all that the profile names gets
// ENOSYS. InvalidArgument names an unknown action, operator, architecture or flag.
StatusOr<SeccompFilter> CompileSeccomp(const oci::Seccomp& profile);

// As CompileSeccomp, with the result kept in `folder` (owner-only files named by a hash of the
// profile, the architecture and libseccomp's version): compiling Docker's profile takes longer
// than starting a container. A cached file that is not ours, not a plain file, or whose
// digest does not match is not used. A cache that can't be written costs time only.
StatusOr<SeccompFilter> CachedSeccomp(const oci::Seccomp& profile, const std::string& folder);

// The filter of a container, if it has one: linux.seccomp through the cache in `folder`, or what
// the annotation run.oci.seccomp_bpf_data (crun's) has in its place: a whole program as base64, in
// the kernel's own form for this machine. What its instructions are the kernel checks when it is
// loaded.
StatusOr<std::optional<SeccompFilter>> SeccompOf(const oci::Spec& spec, const std::string& folder);

// Loads it into the calling thread, for good. Needs no_new_privs or CAP_SYS_ADMIN. The result is
// the listener's descriptor (seccomp_unotify(2)) if a rule notifies, else invalid.
StatusOr<UniqueFd> LoadSeccomp(const SeccompFilter& filter);

// What this build can do, sorted; for `features`.
std::vector<std::string> SeccompActions();
std::vector<std::string> SeccompOperators();
std::vector<std::string> SeccompFlags();
std::vector<std::string> SeccompArchitectures();

}  // namespace ocirun::linux_
