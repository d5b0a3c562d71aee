// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/lsm.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>

#include "base/file.h"
#include "ocirun/linux/proc.h"

namespace ocirun::linux_ {
namespace {

// The module's own folder (Linux 5.8) works beside other modules; the old file belongs to the
// first.
Status WriteAttribute(const UniqueFd& proc, const std::string& module, const std::string& file,
                      const std::string& value) {
  const Status status = WriteInProc(proc, "self/attr/" + module + "/" + file, value);
  if (ErrnoOf(status) != ENOENT) return status;
  return WriteInProc(proc, "self/attr/" + file, value);
}

}  // namespace

bool HasAppArmor() {
  const auto enabled = ReadFile("/sys/module/apparmor/parameters/enabled", 16);
  return enabled.ok() && !enabled->empty() && (*enabled)[0] == 'Y';
}

bool HasSelinux() {
  struct statfs fs;
  return ::statfs("/sys/fs/selinux", &fs) == 0 && fs.f_type == SELINUX_MAGIC;
}

Status CheckLabels(const oci::Process& process) {
  if (!process.apparmor_profile.empty() && !HasAppArmor())
    return FailedPrecondition(
        "process.apparmorProfile: AppArmor is not enabled on this host, so {:?} can't be applied",
        process.apparmor_profile);
  if (!process.selinux_label.empty() && !HasSelinux())
    return FailedPrecondition(
        "process.selinuxLabel: selinux label is specified in config, but selinux is disabled or "
        "not supported");
  return OkStatus();
}

Status SetExecLabels(const UniqueFd& given, const oci::Process& process) {
  if (process.apparmor_profile.empty() && process.selinux_label.empty()) return OkStatus();
  UniqueFd made;
  ASSIGN_OR_RETURN(const UniqueFd* usable, ProcOrNew(given, &made));
  const UniqueFd& proc = *usable;
  const Dumpable dumpable;
  if (!process.apparmor_profile.empty())
    RETURN_IF_ERROR(
        Annotate(WriteAttribute(proc, "apparmor", "exec", "exec " + process.apparmor_profile),
                 fmt::format("apply apparmor profile {:?}", process.apparmor_profile)));
  if (!process.selinux_label.empty())
    RETURN_IF_ERROR(Annotate(WriteInProc(proc, "self/attr/exec", process.selinux_label),
                             fmt::format("set selinux label {:?}", process.selinux_label)));
  return OkStatus();
}

Status SetKeyLabel(const UniqueFd& given, const std::string& label) {
  if (label.empty()) return OkStatus();
  UniqueFd made;
  ASSIGN_OR_RETURN(const UniqueFd* proc, ProcOrNew(given, &made));
  const Dumpable dumpable;
  return Annotate(WriteInProc(*proc, "self/attr/keycreate", label),
                  fmt::format("set selinux label {:?} for keys", label));
}

}  // namespace ocirun::linux_
