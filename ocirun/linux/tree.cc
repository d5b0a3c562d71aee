// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/tree.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <functional>

#include "base/path.h"
#include "base/sys/file.h"
#include "base/sys/mount.h"
#include "ocirun/linux/mount_attributes.h"

namespace ocirun::linux_ {
namespace {

// Whether a call of the 5.2 family failed because the kernel has none of them.
bool HasNoTrees(const Status& status) {
  return sys::MayBeMissing(ErrnoOf(status)) && !CanDetachTrees();
}

// Opens what `mount` puts on one of the host's own, which is covered until PlaceTree().
StatusOr<UniqueFd> Stage(bool is_folder, const std::function<Status(const std::string&)>& mount) {
  const std::string place = is_folder ? "/dev" : "/dev/null";
  RETURN_IF_ERROR(mount(place));
  return sys::Open(place, O_PATH | O_NOFOLLOW);
}

StatusOr<UniqueFd> StageCopy(const UniqueFd& object, bool recursive) {
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(object));
  ASSIGN_OR_RETURN(UniqueFd tree, Stage(S_ISDIR(st.st_mode), [&](const std::string& place) {
                     return sys::Mount(ProcFdPath(object), place, "",
                                       MS_BIND | (recursive ? MS_REC : 0), "");
                   }));
  ASSIGN_OR_RETURN(const struct stat staged, sys::Stat(tree));
  if (staged.st_dev != st.st_dev || staged.st_ino != st.st_ino)
    return Internal("a bind mount shows another file than its source");
  return tree;
}

// mount(2) takes these as flags; a filesystem would refuse them.
unsigned long SuperblockFlag(const std::string& option) {
  if (option == "sync") return MS_SYNCHRONOUS;
  if (option == "dirsync") return MS_DIRSYNC;
  return option == "lazytime" ? MS_LAZYTIME : 0;
}

// SELinux's contexts have commas in them, and are the only values that may be quoted.
std::string Quoted(const std::string& option) {
  constexpr std::string_view kContext = "context=";
  if (!option.starts_with(kContext)) return option;
  return fmt::format("{}\"{}\"", kContext, option.substr(kContext.size()));
}

StatusOr<UniqueFd> StageFilesystem(const Filesystem& filesystem) {
  unsigned long flags = 0;
  std::string data;
  for (const std::string& option : filesystem.options) {
    flags |= SuperblockFlag(option);
    if (SuperblockFlag(option) == 0 && option != "nolazytime")
      data += (data.empty() ? "" : ",") + Quoted(option);
  }
  ASSIGN_OR_RETURN(UniqueFd tree, Stage(true, [&](const std::string& place) {
                     const std::string& source = filesystem.source;
                     return Annotate(sys::Mount(source.empty() ? "none" : source, place,
                                                filesystem.type, flags, data),
                                     fmt::format("{} with options {:?}", filesystem.type, data));
                   }));
  if (filesystem.attributes != 0)
    RETURN_IF_ERROR(ChangeAttributes(tree, {.set = filesystem.attributes}));
  return tree;
}

Status SetOption(const UniqueFd& context, const std::string& option) {
  const size_t equals = option.find('=');
  const Status set =
      equals == std::string::npos
          ? sys::FsSetFlag(context, option)
          : sys::FsSetString(context, option.substr(0, equals), option.substr(equals + 1));
  if (set.ok()) return set;
  const std::string reason = sys::FsMessages(context);
  return Annotate(set, fmt::format("option {:?}{}{}", option, reason.empty() ? "" : ": ", reason));
}

}  // namespace

bool CanDetachTrees() {
  // A copy would ask for the right to mount first.
  static const bool can = ::open_tree(-1, "", AT_EMPTY_PATH) >= 0 || !sys::MayBeMissing(errno);
  return can;
}

StatusOr<UniqueFd> CloneTree(const UniqueFd& object, bool recursive) {
  auto tree = sys::CloneTree(object, recursive);
  return HasNoTrees(tree.status()) ? StageCopy(object, recursive) : std::move(tree);
}

StatusOr<UniqueFd> CloneTreeAt(const std::string& path, bool recursive) {
  auto tree = sys::CloneTreeAt(path, recursive);
  if (!HasNoTrees(tree.status())) return tree;
  ASSIGN_OR_RETURN(const UniqueFd object, sys::Open(path, O_PATH));
  return StageCopy(object, recursive);
}

StatusOr<UniqueFd> NewFilesystem(const Filesystem& filesystem) {
  const auto context = sys::FsOpen(filesystem.type);
  if (HasNoTrees(context.status())) return StageFilesystem(filesystem);
  RETURN_IF_ERROR(context.status());
  if (!filesystem.source.empty())
    RETURN_IF_ERROR(sys::FsSetString(*context, "source", filesystem.source));
  for (const std::string& option : filesystem.options) RETURN_IF_ERROR(SetOption(*context, option));
  const Status created = sys::FsCreate(*context);
  if (!created.ok()) return Annotate(created, filesystem.type + " " + sys::FsMessages(*context));
  return sys::FsMount(*context, filesystem.attributes);
}

StatusOr<UniqueFd> EmptyFolder() {
  return NewFilesystem(
      {.type = "tmpfs",
       .options = {"nr_blocks=1", "nr_inodes=1"},
       .attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC});
}

Status PlaceTree(const UniqueFd& tree, const UniqueFd& target) {
  const Status moved = sys::MoveMount(tree, target);
  if (!HasNoTrees(moved)) return moved;
  return sys::Mount(ProcFdPath(tree), ProcFdPath(target), "", MS_MOVE, "");
}

}  // namespace ocirun::linux_
