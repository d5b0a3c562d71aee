// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::linux_ {

// Makes sure that nobody in a container can write to this program through /proc/PID/exe
// (CVE-2019-5736): executes it again from a detached read-only bind mount of itself, which no
// namespace holds and nobody can remount, and from which nobody executes it once more. Costs an
// exec, no copy. Returns OK when this process already runs from a read-only mount; otherwise it
// does not return unless it fails.
Status ProtectSelf(char** argv);
// Executes it once more, with the same arguments, from a sealed copy in memory: in a container
// where somebody may look at every process, even a descriptor to read from would be one of the
// host's own file (CVE-2022-0847). To be called before anything is done that an exec would lose.
// Returns when this is such a copy already, when it has not protected itself, since its command
// enters no container, and with a warning on a host that refuses it (vm.memfd_noexec).
void HideSelf();

// The two halves of it, for a program that starts others of itself: whether this process runs from
// where nobody can write, and the mount to execute that from.
bool RunsProtected();
StatusOr<UniqueFd> ReadOnlySelf();

// The descriptor of that mount is kept over the exec, from this number on: to close the last one
// dissolves the mount, and that waits for an RCU grace period. ReleaseSelf() closes it and is
// called by the runtime when it has nothing else to do, while init works; elsewhere it ends with
// the process. No process of a container has it: init closes all it does not need.
inline constexpr int kHeldSelf = 100;
// kLater: it does not wait, but whoever else has the descriptor still does, if he closes it last.
enum class Release { kNow, kLater };
void ReleaseSelf(Release when);

// The file that this program was started from, also after ProtectSelf(); absolute.
StatusOr<std::string> SelfPath();
// The path of a program that is installed beside this one.
StatusOr<std::string> PathBesideSelf(std::string_view name);

}  // namespace ocirun::linux_
