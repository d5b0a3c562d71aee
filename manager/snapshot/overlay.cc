// SPDX-License-Identifier: Apache-2.0
#include "manager/snapshot/overlay.h"

#include <fcntl.h>

#include "base/sys/file.h"
#include "base/sys/mount.h"

namespace ocirun::snapshot {
namespace {

constexpr size_t kMaxOptions = 4095;

Status ConfigureByPieces(const UniqueFd& context, const OverlayMount& mount) {
  for (auto lower = mount.lower.rbegin(); lower != mount.lower.rend(); ++lower) {
    RETURN_IF_ERROR(sys::FsSetString(context, "lowerdir+", *lower));
  }
  if (mount.upper.empty()) return OkStatus();
  RETURN_IF_ERROR(sys::FsSetString(context, "upperdir", mount.upper));
  if (mount.throw_away) RETURN_IF_ERROR(sys::FsSetFlag(context, "volatile"));
  return sys::FsSetString(context, "workdir", mount.work);
}

Status MountByPieces(const OverlayMount& mount) {
  ASSIGN_OR_RETURN(const UniqueFd context, sys::FsOpen("overlay"));
  RETURN_IF_ERROR(ConfigureByPieces(context, mount));
  const Status created = sys::FsCreate(context);
  if (!created.ok()) return Annotate(created, "overlay: " + sys::FsMessages(context));
  ASSIGN_OR_RETURN(const UniqueFd mounted, sys::FsMount(context, 0));
  ASSIGN_OR_RETURN(const UniqueFd target, sys::Open(mount.target, O_PATH | O_DIRECTORY));
  return sys::MoveMount(mounted, target);
}

Status MountByString(const OverlayMount& mount) {
  std::string options = "lowerdir=";
  for (auto lower = mount.lower.rbegin(); lower != mount.lower.rend(); ++lower) {
    if (lower != mount.lower.rbegin()) options += ':';
    options += *lower;
  }
  if (!mount.upper.empty()) {
    options += ",upperdir=" + mount.upper + ",workdir=" + mount.work;
    if (mount.throw_away) options += ",volatile";
  }
  if (options.size() > kMaxOptions) {
    return Unsupported("an image of {} layers needs a kernel of 6.8 or later", mount.lower.size());
  }
  return sys::Mount("overlay", mount.target, "overlay", 0, options);
}

}  // namespace

Status MountOverlay(const OverlayMount& mount) {
  const Status status = MountByPieces(mount);
  const int err = ErrnoOf(status);
  return err == EINVAL || err == ENOSYS ? MountByString(mount) : status;
}

}  // namespace ocirun::snapshot
