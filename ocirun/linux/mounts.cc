// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "base/path.h"
#include "base/sys/file.h"
#include "base/sys/mount.h"

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

namespace ocirun::linux_ {
namespace {

// Options that are attributes of the mount. With a leading "r" they hold for the whole tree (rro).
constexpr struct {
  std::string_view name;
  uint64_t set, clear;
} kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
    // The access time attributes are one field of three values, so each clears the field first.
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
};

constexpr struct {
  std::string_view name;
  uint64_t flags;
} kPropagations[] = {
    {"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE | MS_REC},
    {"slave", MS_SLAVE},           {"rslave", MS_SLAVE | MS_REC},
    {"shared", MS_SHARED},         {"rshared", MS_SHARED | MS_REC},
    {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC},
};

// Options that fsconfig(2) takes as flags of the superblock; "defaults", "async", ... ask for
// nothing.
constexpr std::string_view kNoEffect[] = {"defaults", "async",      "loud",
                                          "nomand",   "noiversion", "nolazytime"};
// The kernel ignores these two on every filesystem of the last years.
constexpr std::string_view kObsolete[] = {"mand", "silent", "iversion"};

template <typename List>
bool Contains(const List& list, std::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

void Apply(uint64_t set, uint64_t clear, uint64_t* all_set, uint64_t* all_clear) {
  *all_set = (*all_set & ~clear) | set;
  *all_clear = (*all_clear & ~set) | clear;
}

bool ParseAttribute(std::string_view option, MountOptions* out) {
  for (const auto& attribute : kAttributes) {
    if (attribute.name == option) {
      Apply(attribute.set, attribute.clear, &out->set, &out->clear);
      return true;
    }
    if (option.substr(0, 1) == "r" && attribute.name == option.substr(1)) {
      Apply(attribute.set, attribute.clear, &out->recursive_set, &out->recursive_clear);
      return true;
    }
  }
  return false;
}

// Files in /proc that may be covered by a bind mount (lxcfs does it); anything else there could
// hide what the runtime itself relies on.
constexpr std::string_view kCoverable[] = {"/proc/cpuinfo",
                                           "/proc/diskstats",
                                           "/proc/meminfo",
                                           "/proc/stat",
                                           "/proc/swaps",
                                           "/proc/uptime",
                                           "/proc/loadavg",
                                           "/proc/slabinfo",
                                           "/proc/net/dev",
                                           "/proc/sys/kernel/ns_last_pid",
                                           "/proc/sys/crypto/fips_enabled"};

Status CheckNotInProc(const UniqueFd& target, const oci::Mount& mount) {
  struct statfs fs;
  if (::fstatfs(target.get(), &fs) < 0) return SysError(errno, "fstatfs", mount.destination);
  if (fs.f_type != PROC_SUPER_MAGIC) return absl::OkStatus();
  std::string clean;
  for (const std::string& part : PathComponents(mount.destination)) clean += "/" + part;
  if (mount.type == "proc" && clean == "/proc") return absl::OkStatus();
  if (Contains(kCoverable, clean)) return absl::OkStatus();
  return InvalidArgument("{:?} is inside /proc and can't be mounted on", mount.destination);
}

// Opens `path` below the root as a place to mount a file on, making an empty file when missing.
StatusOr<UniqueFd> FileTarget(const UniqueFd& root, const std::string& path) {
  auto target = OpenInRoot(root, path, O_PATH);
  if (target.ok() || ErrnoOf(target.status()) != ENOENT) return target;
  const size_t slash = path.rfind('/');
  RETURN_IF_ERROR(MakeDirsInRoot(root, path.substr(0, slash), 0755).status());
  RETURN_IF_ERROR(OpenInRoot(root, path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0755).status());
  return OpenInRoot(root, path, O_PATH);
}

StatusOr<UniqueFd> FolderTarget(const UniqueFd& root, const oci::Mount& mount) {
  // /proc and /sys themselves must be real folders: behind a link they could stand anywhere.
  if (mount.type != "proc" && mount.type != "sysfs")
    return MakeDirsInRoot(root, mount.destination, 0755);
  IgnoreError(MakeDirsInRoot(root, mount.destination, 0755).status(), "the next call reports it");
  auto target = sys::OpenAt2(root, mount.destination, O_PATH | O_DIRECTORY,
                             RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
  if (ErrnoOf(target.status()) == ELOOP)
    return InvalidArgument("{} of the image must not be a symbolic link", mount.destination);
  return target;
}

// Attributes and propagation of a new mount that is not attached yet.
Status SetAttributes(const UniqueFd& tree, const MountOptions& options) {
  if (options.set != 0 || options.clear != 0)
    RETURN_IF_ERROR(sys::MountSetAttr(tree, false, options.set, options.clear));
  if (options.recursive_set != 0 || options.recursive_clear != 0)
    RETURN_IF_ERROR(sys::MountSetAttr(tree, true, options.recursive_set, options.recursive_clear));
  return absl::OkStatus();
}

// After it is attached: while detached a mount belongs to no peer group.
Status SetPropagation(const UniqueFd& tree, const MountOptions& options) {
  for (const uint64_t flags : options.propagation)
    RETURN_IF_ERROR(
        sys::MountSetAttr(tree, (flags & MS_REC) != 0, 0, 0, flags & ~uint64_t{MS_REC}));
  return absl::OkStatus();
}

// A new instance of a filesystem, not attached yet.
StatusOr<UniqueFd> NewFilesystem(const oci::Mount& mount, const MountOptions& options) {
  ASSIGN_OR_RETURN(const UniqueFd context, sys::FsOpen(mount.type));
  if (!mount.source.empty()) RETURN_IF_ERROR(sys::FsSetString(context, "source", mount.source));
  for (const std::string& option : options.superblock) {
    const size_t equals = option.find('=');
    const Status set =
        equals == std::string::npos
            ? sys::FsSetFlag(context, option)
            : sys::FsSetString(context, option.substr(0, equals), option.substr(equals + 1));
    if (!set.ok()) {
      const std::string reason = sys::FsMessages(context);
      return Annotate(set,
                      fmt::format("option {:?}{}{}", option, reason.empty() ? "" : ": ", reason));
    }
  }
  const Status created = sys::FsCreate(context);
  if (!created.ok()) return Annotate(created, mount.type + " " + sys::FsMessages(context));
  return sys::FsMount(context, 0);
}

StatusOr<UniqueFd> OpenDevNull() {
  // The host's own, and really the null device: the image's /dev/null could be anything
  // (CVE-2025-31133).
  ASSIGN_OR_RETURN(UniqueFd null, sys::Open("/dev/null", O_PATH | O_NOFOLLOW));
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(null));
  if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
    return FailedPrecondition("/dev/null of the host is not the null device");
  return null;
}

// An empty, read-only tmpfs to cover folders with; attached once, then copied.
StatusOr<UniqueFd> EmptyFolder() {
  ASSIGN_OR_RETURN(const UniqueFd context, sys::FsOpen("tmpfs"));
  RETURN_IF_ERROR(sys::FsSetString(context, "nr_blocks", "1"));
  RETURN_IF_ERROR(sys::FsSetString(context, "nr_inodes", "1"));
  RETURN_IF_ERROR(sys::FsCreate(context));
  return sys::FsMount(context,
                      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

Status MountBind(const UniqueFd& root, const oci::Mount& mount, const MountOptions& options) {
  auto source = sys::Open(mount.source, O_PATH);
  if (!source.ok()) return Annotate(source.status(), "source of the bind mount");
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(*source));
  ASSIGN_OR_RETURN(const UniqueFd target, S_ISDIR(st.st_mode)
                                              ? FolderTarget(root, mount)
                                              : FileTarget(root, mount.destination));
  RETURN_IF_ERROR(CheckNotInProc(target, mount));
  ASSIGN_OR_RETURN(const UniqueFd tree, sys::CloneTree(*source, options.recursive_bind));
  RETURN_IF_ERROR(SetAttributes(tree, options));
  RETURN_IF_ERROR(sys::MoveMount(tree, target));
  return SetPropagation(tree, options);
}

// cgroup v1: a tmpfs with the container's own cgroup of every hierarchy, as config-linux.md and
// runc show it. cgroup v2: the container's cgroup itself.
Status MountCgroups(const UniqueFd& root, const oci::Mount& mount, const MountOptions& options,
                    const CgroupView& cgroups) {
  ASSIGN_OR_RETURN(const UniqueFd target, FolderTarget(root, mount));
  if (cgroups.empty()) return FailedPrecondition("this host has no cgroups to show");
  if (cgroups.size() == 1 && cgroups.begin()->first.empty()) {
    ASSIGN_OR_RETURN(const UniqueFd tree, sys::CloneTreeAt(cgroups.begin()->second, false));
    RETURN_IF_ERROR(SetAttributes(tree, options));
    return sys::MoveMount(tree, target);
  }
  oci::Mount tmpfs{mount.destination, "tmpfs", "tmpfs", {}};
  ASSIGN_OR_RETURN(const UniqueFd folder, NewFilesystem(tmpfs, {.superblock = {"mode=755"}}));
  for (const auto& [name, path] : cgroups) {
    RETURN_IF_ERROR(sys::MakeDirAt(folder, name, 0755));
    ASSIGN_OR_RETURN(const UniqueFd place, sys::OpenAt(folder, name, O_PATH | O_DIRECTORY));
    ASSIGN_OR_RETURN(const UniqueFd tree, sys::CloneTreeAt(path, false));
    RETURN_IF_ERROR(SetAttributes(tree, options));
    RETURN_IF_ERROR(sys::MoveMount(tree, place));
  }
  RETURN_IF_ERROR(SetAttributes(folder, options));
  return sys::MoveMount(folder, target);
}

}  // namespace

StatusOr<MountOptions> ParseMountOptions(const oci::Mount& mount) {
  MountOptions out;
  for (const std::string& option : mount.options) {
    const auto* propagation = std::find_if(std::begin(kPropagations), std::end(kPropagations),
                                           [&](const auto& p) { return p.name == option; });
    if (propagation != std::end(kPropagations)) {
      out.propagation.push_back(propagation->flags);
    } else if (option == "bind" || option == "rbind") {
      out.bind = true;
      out.recursive_bind = out.recursive_bind || option == "rbind";
    } else if (option == "tmpcopyup") {
      if (mount.type != "tmpfs") return InvalidArgument("tmpcopyup needs a tmpfs");
      return Unsupported("mount option tmpcopyup: not supported");
    } else if (option == "idmap" || option == "ridmap" || option == "remount") {
      return Unsupported("mount option {}: not supported", option);
    } else if (Contains(kNoEffect, option) || Contains(kObsolete, option) || option.empty()) {
      continue;
    } else if (!ParseAttribute(option, &out)) {
      out.superblock.push_back(option);
    }
  }
  if (mount.type == "bind") out.bind = true;
  if (out.bind && !out.superblock.empty())
    return InvalidArgument("a bind mount has no filesystem to take option {:?}",
                           out.superblock.front());
  return out;
}

StatusOr<UniqueFd> PrepareRoot(const oci::Spec& spec) {
  // What the host mounts later may still come in; what is mounted here never goes out.
  ASSIGN_OR_RETURN(const UniqueFd host_root, sys::Open("/", O_PATH | O_DIRECTORY));
  const bool is_private =
      spec.linux.rootfs_propagation == "private" || spec.linux.rootfs_propagation == "unbindable";
  RETURN_IF_ERROR(sys::MountSetAttr(host_root, true, 0, 0, is_private ? MS_PRIVATE : MS_SLAVE));
  auto place = sys::Open(spec.root.path, O_PATH | O_DIRECTORY);
  if (!place.ok()) return Annotate(place.status(), "root.path");
  ASSIGN_OR_RETURN(UniqueFd tree, sys::CloneTree(*place, true));
  RETURN_IF_ERROR(sys::MoveMount(tree, *place));
  return tree;
}

Status MountInRoot(const UniqueFd& root, const oci::Mount& mount, const CgroupView& cgroups) {
  ASSIGN_OR_RETURN(const MountOptions options, ParseMountOptions(mount));
  if (options.bind) return MountBind(root, mount, options);
  if (mount.type == "cgroup" || mount.type == "cgroup2")
    return MountCgroups(root, mount, options, cgroups);
  if (mount.type.empty()) return InvalidArgument("a mount that is no bind mount needs a type");
  ASSIGN_OR_RETURN(const UniqueFd target, FolderTarget(root, mount));
  RETURN_IF_ERROR(CheckNotInProc(target, mount));
  ASSIGN_OR_RETURN(const UniqueFd tree, NewFilesystem(mount, options));
  RETURN_IF_ERROR(SetAttributes(tree, options));
  RETURN_IF_ERROR(sys::MoveMount(tree, target));
  return SetPropagation(tree, options);
}

Status MaskPaths(const UniqueFd& root, const std::vector<std::string>& paths) {
  UniqueFd null, empty;
  for (const std::string& path : paths) {
    auto target = OpenInRoot(root, path, O_PATH);
    if (!target.ok()) {
      const int err = ErrnoOf(target.status());
      if (err == ENOENT || err == ENOTDIR) continue;
      return target.status();
    }
    ASSIGN_OR_RETURN(const struct stat st, sys::Stat(*target));
    if (S_ISDIR(st.st_mode) && !empty) {
      // One tmpfs for all folders: it is attached at the first and copied from there.
      ASSIGN_OR_RETURN(empty, EmptyFolder());
      RETURN_IF_ERROR(Annotate(sys::MoveMount(empty, *target), path));
      continue;
    }
    if (!S_ISDIR(st.st_mode) && !null) {
      ASSIGN_OR_RETURN(null, OpenDevNull());
    }
    ASSIGN_OR_RETURN(const UniqueFd tree,
                     sys::CloneTree(S_ISDIR(st.st_mode) ? empty : null, false));
    RETURN_IF_ERROR(Annotate(sys::MoveMount(tree, *target), path));
  }
  return absl::OkStatus();
}

Status MakeReadOnly(const UniqueFd& root, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    auto target = OpenInRoot(root, path, O_PATH);
    if (!target.ok()) {
      const int err = ErrnoOf(target.status());
      if (err == ENOENT || err == ENOTDIR) continue;
      return target.status();
    }
    ASSIGN_OR_RETURN(const UniqueFd tree, sys::CloneTree(*target, true));
    RETURN_IF_ERROR(Annotate(sys::MountSetAttr(tree, true, MOUNT_ATTR_RDONLY, 0), path));
    RETURN_IF_ERROR(Annotate(sys::MoveMount(tree, *target), path));
  }
  return absl::OkStatus();
}

Status MakeRootReadOnly(const UniqueFd& root) {
  return sys::MountSetAttr(root, false, MOUNT_ATTR_RDONLY, 0);
}

Status ChangeRoot(const UniqueFd& root, RootChange how, const std::string& propagation) {
  if (::fchdir(root.get()) < 0) return SysError(errno, "fchdir");
  if (how == RootChange::kPivot) {
    // The old root ends below the new one's "." and is detached there (pivot_root(2), notes).
    RETURN_IF_ERROR(sys::PivotRoot(".", "."));
    RETURN_IF_ERROR(sys::Unmount(".", MNT_DETACH));
  } else {
    RETURN_IF_ERROR(sys::Mount(".", "/", "", MS_MOVE, ""));
    if (::chroot(".") < 0) return SysError(errno, "chroot");
  }
  if (::chdir("/") < 0) return SysError(errno, "chdir", "/");
  for (const auto& entry : kPropagations)
    if (entry.name == propagation && entry.flags != MS_SLAVE)
      RETURN_IF_ERROR(sys::Mount("", "/", "", entry.flags, ""));
  return absl::OkStatus();
}

}  // namespace ocirun::linux_
