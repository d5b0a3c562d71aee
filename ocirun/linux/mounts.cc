// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>

#include "base/copy_tree.h"
#include "base/file.h"
#include "base/mountinfo.h"
#include "base/path.h"
#include "base/sys/file.h"
#include "base/sys/mount.h"
#include "base/sys/process.h"
#include "ocirun/linux/idmap.h"
#include "ocirun/linux/lsm.h"
#include "ocirun/linux/mount_attributes.h"
#include "ocirun/linux/mount_options.h"
#include "ocirun/linux/proc.h"
#include "ocirun/linux/tree.h"
#include "ocirun/log/log.h"

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

namespace ocirun::linux_ {
namespace {

// Filesystems that take the option `context`.
constexpr std::string_view kLabelled[] = {"tmpfs", "devpts", "ramfs"};

template <typename List>
bool Contains(const List& list, std::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

MountAttributes AttributesOf(const MountOptions& options) {
  MountAttributes out{.set = options.set,
                      .clear = options.clear,
                      .recursive_set = options.recursive_set,
                      .recursive_clear = options.recursive_clear};
  // The access times are one choice: whoever makes a part of it makes it whole.
  if (options.access_time.has_value() || (options.set & MOUNT_ATTR_NODIRATIME) != 0) {
    out.set |= options.access_time.value_or(MOUNT_ATTR_RELATIME);
    out.clear |= MOUNT_ATTR__ATIME | (MOUNT_ATTR_NODIRATIME & ~options.set);
  }
  // A bind mount with options has those and no others of its source's; without any it is as its
  // source is.
  constexpr uint64_t kAll = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                            MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;
  if (options.bind && (out.set != 0 || out.clear != 0)) out.clear_if_allowed = kAll & ~out.set;
  return out;
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

bool IsOf(const UniqueFd& fd, long filesystem) {
  struct statfs fs;
  return ::fstatfs(fd.get(), &fs) == 0 && fs.f_type == filesystem;
}

// Whatever stands on /proc must be a procfs, or labels and sysctls would be written to files of the
// image's choice (CVE-2019-16884); below it only a few files may be covered. `source` is what a
// bind mount shows, invalid for another mount.
Status CheckProc(const UniqueFd& target, const oci::Mount& mount, const UniqueFd& source) {
  std::string clean;
  for (const std::string& part : PathComponents(mount.destination)) clean += "/" + part;
  if (clean == "/proc") {
    bool is_proc = mount.type == "proc";
    if (source.valid()) {
      ASSIGN_OR_RETURN(is_proc, IsProcRoot(source));
    }
    if (is_proc) return OkStatus();
    return InvalidArgument("{:?} cannot be mounted because it is not of type proc",
                           mount.destination);
  }
  if (!IsOf(target, PROC_SUPER_MAGIC) || Contains(kCoverable, clean)) return OkStatus();
  return InvalidArgument("{:?} cannot be mounted because it is inside /proc", mount.destination);
}

// Opens `path` below the root as a place to mount a file on, making an empty file when missing. A
// link that leads nowhere yet is followed, inside the root, and what it points to is made.
StatusOr<UniqueFd> FileTarget(const UniqueFd& root, std::string path) {
  for (int links = 0; links < kMaxLinks; ++links) {
    auto target = OpenInRoot(root, path, O_PATH);
    if (target.ok() || ErrnoOf(target.status()) != ENOENT) return target;
    const size_t slash = path.rfind('/');
    const std::string name = path.substr(slash + 1);
    ASSIGN_OR_RETURN(const UniqueFd folder, MakeDirsInRoot(root, path.substr(0, slash), 0755));
    const auto to = sys::ReadLinkAt(folder, name);
    if (!to.ok()) {
      RETURN_IF_ERROR(
          sys::OpenAt(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0755).status());
      return sys::OpenAt(folder, name, O_PATH | O_NOFOLLOW);
    }
    path = to->starts_with('/') ? *to : path.substr(0, slash + 1) + *to;
  }
  return SysError(ELOOP, "open", path);
}

// The link itself as a place to mount on; without one, as any other target.
StatusOr<UniqueFd> LinkTarget(const UniqueFd& root, const std::string& path) {
  auto target = OpenInRoot(root, path, O_PATH | O_NOFOLLOW);
  if (target.ok() || ErrnoOf(target.status()) != ENOENT) return target;
  return FileTarget(root, path);
}

StatusOr<UniqueFd> FolderTarget(const UniqueFd& root, const oci::Mount& mount) {
  // /proc and /sys themselves must be real folders: behind a link they could stand anywhere.
  if (mount.type != "proc" && mount.type != "sysfs")
    return MakeDirsInRoot(root, mount.destination, 0755);
  IgnoreError(MakeDirsInRoot(root, mount.destination, 0755).status(), "the next call reports it");
  auto target = OpenBelow(root, mount.destination, O_PATH | O_DIRECTORY,
                          RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
  const int err = ErrnoOf(target.status());
  if (err == ELOOP || err == ENOTDIR)
    return InvalidArgument("filesystem {:?} must be mounted on ordinary directory, and {} is none",
                           mount.type, mount.destination);
  return target;
}

Status SetPropagation(const UniqueFd& tree, const MountOptions& options) {
  for (const uint64_t flags : options.propagation) RETURN_IF_ERROR(ChangePropagation(tree, flags));
  return OkStatus();
}

StatusOr<UniqueFd> NewFilesystem(const oci::Mount& mount, const MountOptions& options,
                                 const std::string& label) {
  Filesystem filesystem{.type = mount.type, .source = mount.source, .options = options.superblock};
  // SELinux: one context for every file of a filesystem that keeps none.
  if (!label.empty() && Contains(kLabelled, mount.type) && HasSelinux())
    filesystem.options.insert(filesystem.options.begin(), "context=" + label);
  return linux_::NewFilesystem(filesystem);
}

// A tmpfs over a folder that is there has that folder's mode, unless it is told another (as runc),
// and its owner, too, when it has its content.
void InheritFromFolder(const UniqueFd& root, const oci::Mount& mount, MountOptions* options) {
  const auto target = OpenInRoot(root, mount.destination, O_PATH | O_DIRECTORY);
  const auto st = target.ok() ? sys::Stat(*target) : target.status();
  if (!st.ok()) return;
  std::vector<std::string>& told = options->superblock;
  const auto inherit = [&told](std::string_view key, const std::string& value) {
    const bool is_told = std::any_of(told.begin(), told.end(), [key](const std::string& option) {
      return option.starts_with(key);
    });
    if (!is_told) told.push_back(std::string(key) + value);
  };
  inherit("mode=", fmt::format("{:o}", st->st_mode & 07777));
  if (!options->copy_up) return;
  // What reads so in a user namespace has no id there.
  constexpr uint32_t kOverflowId = 65534;
  const bool host = sys::IsHostRoot();
  if (host || st->st_uid != kOverflowId) inherit("uid=", std::to_string(st->st_uid));
  if (host || st->st_gid != kOverflowId) inherit("gid=", std::to_string(st->st_gid));
}

StatusOr<UniqueFd> OpenSource(const oci::Mount& mount, const MountOptions& options) {
  const int links = options.source_link == LinkHandling::kFollow ? 0 : O_NOFOLLOW;
  auto source = sys::Open(mount.source, O_PATH | links);
  if (!source.ok()) return Annotate(source.status(), "source of the bind mount");
  return source;
}

// A link that says the same as the source.
Status CopyLink(const UniqueFd& root, const oci::Mount& mount, const UniqueFd& source) {
  auto text = sys::ReadLinkAt(source, "");
  if (!text.ok()) return Annotate(text.status(), mount.source);
  const size_t slash = mount.destination.rfind('/');
  ASSIGN_OR_RETURN(const UniqueFd folder,
                   MakeDirsInRoot(root, mount.destination.substr(0, slash), 0755));
  const std::string name = mount.destination.substr(slash + 1);
  if (::symlinkat(text->c_str(), folder.get(), name.c_str()) == 0) return OkStatus();
  if (errno != EEXIST) return SysError(errno, "symlink", mount.destination);
  const auto there = sys::ReadLinkAt(folder, name);
  if (there.ok() && *there == *text) return OkStatus();
  return SysError(EEXIST, "symlink", mount.destination);
}

StatusOr<UniqueFd> BindTarget(const UniqueFd& root, const oci::Mount& mount,
                              const MountOptions& options, const struct stat& source) {
  if (options.target_link == LinkHandling::kKeep) return LinkTarget(root, mount.destination);
  return S_ISDIR(source.st_mode) ? FolderTarget(root, mount) : FileTarget(root, mount.destination);
}

Status MountBind(const UniqueFd& root, const oci::Mount& mount, const MountOptions& options,
                 const UniqueFd& opened) {
  for (const std::string& option : options.without_effect)
    Warn("mount {:?}: option {:?} has no effect on a bind mount", mount.destination, option);
  UniqueFd own;
  if (!opened.valid()) {
    ASSIGN_OR_RETURN(own, OpenSource(mount, options));
  }
  const UniqueFd& source = opened.valid() ? opened : own;
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(source));
  if (S_ISLNK(st.st_mode) && options.source_link == LinkHandling::kCopy)
    return CopyLink(root, mount, source);
  ASSIGN_OR_RETURN(const UniqueFd target, BindTarget(root, mount, options, st));
  RETURN_IF_ERROR(CheckProc(target, mount, source));
  // What was opened for us is a tree already, where there are such.
  const bool is_tree = opened.valid() && CanDetachTrees();
  UniqueFd tree;
  if (!is_tree) {
    ASSIGN_OR_RETURN(tree, CloneTree(source, options.recursive_bind));
  }
  const UniqueFd& attached = is_tree ? opened : tree;
  RETURN_IF_ERROR(Attach(attached, target, AttributesOf(options)));
  return SetPropagation(attached, options);
}

// Where nothing is changed, or it is changed later, nobody else would notice. Kernels before 5.8
// can't say.
Status CheckMounted(const UniqueFd& target) {
  struct statx st;
  if (::statx(target.get(), "", AT_EMPTY_PATH, STATX_TYPE, &st) < 0)
    return SysError(errno, "statx");
  if ((st.stx_attributes_mask & ~st.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0) return OkStatus();
  return FailedPrecondition("remount: nothing is mounted there");
}

Status Remount(const UniqueFd& root, const oci::Mount& mount, const MountOptions& options) {
  ASSIGN_OR_RETURN(const UniqueFd target, OpenInRoot(root, mount.destination, O_PATH));
  RETURN_IF_ERROR(CheckMounted(target));
  MountAttributes attributes = AttributesOf(options);
  if (IsReadOnlyLater(mount)) attributes.set &= ~uint64_t{MOUNT_ATTR_RDONLY};
  RETURN_IF_ERROR(ChangeAttributes(target, attributes));
  RETURN_IF_ERROR(SetPropagation(target, options));
  if (options.bind || options.superblock.empty()) return OkStatus();
  // The filesystem's own options: mount(2) is the only call that changes them by the mount's name.
  std::string data;
  for (const std::string& option : options.superblock) data += (data.empty() ? "" : ",") + option;
  return sys::Mount("", ProcFdPath(target), "", MS_REMOUNT, data);
}

// "cpu,cpuacct" can be reached as "cpu", too.
Status LinkControllers(const UniqueFd& folder, const std::string& hierarchy) {
  if (hierarchy.find(',') == std::string::npos) return OkStatus();
  for (size_t at = 0; at != std::string::npos;) {
    const size_t comma = hierarchy.find(',', at);
    const std::string name = hierarchy.substr(at, comma == std::string::npos ? comma : comma - at);
    if (::symlinkat(hierarchy.c_str(), folder.get(), name.c_str()) < 0 && errno != EEXIST)
      return SysError(errno, "symlink", name);
    at = comma == std::string::npos ? comma : comma + 1;
  }
  return OkStatus();
}

// Shows a cgroup of the host's, on its own: it does not follow what is mounted there on the host,
// which criu could not bring back.
Status AttachCgroup(const std::string& path, const UniqueFd& place, const MountOptions& options) {
  ASSIGN_OR_RETURN(const UniqueFd tree, CloneTreeAt(path, false));
  RETURN_IF_ERROR(Attach(tree, place, AttributesOf(options)));
  return ChangePropagation(tree, MS_PRIVATE);
}

// Where the host has its cgroup v2. A copy of that mount is shown and not a new one: made in the
// host's cgroup namespace it would set the options of all of them (nsdelegate,
// memory_recursiveprot) back to its own, none.
StatusOr<std::string> HostCgroup2() {
  ASSIGN_OR_RETURN(const std::string mountinfo, ReadFile("/proc/self/mountinfo"));
  for (const MountInfo& mount : ParseMountInfo(mountinfo))
    if (mount.type == "cgroup2") return mount.mount_point;
  return FailedPrecondition("this host has no cgroup v2 mounted");
}

// The container's cgroup; without a cgroup namespace of its own the host's tree, in which the paths
// of /proc/PID/cgroup are valid.
Status MountCgroup2(const MountContext& c, const MountOptions& options, const UniqueFd& target) {
  std::string path = c.cgroups.begin()->second;
  if (!c.cgroup_namespace) {
    ASSIGN_OR_RETURN(path, HostCgroup2());
  }
  return AttachCgroup(path, target, options);
}

// cgroup v1: a tmpfs with the container's own cgroup of every hierarchy, as config-linux.md and
// runc show it. cgroup v2: the container's cgroup itself.
Status MountCgroups(const MountContext& c, const oci::Mount& mount, const MountOptions& options) {
  ASSIGN_OR_RETURN(const UniqueFd target, FolderTarget(c.root, mount));
  if (c.cgroups.empty()) return FailedPrecondition("this host has no cgroups to show");
  if (c.cgroups.size() == 1 && c.cgroups.begin()->first.empty())
    return MountCgroup2(c, options, target);
  oci::Mount tmpfs{.destination = mount.destination, .type = "tmpfs", .source = "tmpfs"};
  ASSIGN_OR_RETURN(const UniqueFd folder,
                   NewFilesystem(tmpfs, {.superblock = {"mode=755"}}, c.label));
  // Attached before what comes into it: the attributes of a mount in a detached tree can't be
  // changed by mount(2), and its own come last, or nothing could be made in it.
  RETURN_IF_ERROR(Attach(folder, target, {}));
  for (const auto& [name, path] : c.cgroups) {
    if (name == "unified") continue;  // a hybrid host's: no controllers there to look at
    RETURN_IF_ERROR(sys::MakeDirAt(folder, name, 0755));
    ASSIGN_OR_RETURN(const UniqueFd place, sys::OpenAt(folder, name, O_PATH | O_DIRECTORY));
    RETURN_IF_ERROR(AttachCgroup(path, place, options));
    RETURN_IF_ERROR(LinkControllers(folder, name));
  }
  return ChangeAttributes(folder, AttributesOf(options));
}

bool IsHosts(const MountContext& c, const oci::Mount& mount) {
  return (mount.type == "proc" && c.host_proc) || (mount.type == "sysfs" && c.host_sysfs);
}

// The host's cgroups are none of the container's. Their own mount, if config.json has one, comes
// onto the same folder.
Status CoverCgroups(const UniqueFd& sysfs) {
  const auto cgroups =
      OpenBelow(sysfs, "fs/cgroup", O_PATH | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  if (ErrnoOf(cgroups.status()) == ENOENT) return OkStatus();
  RETURN_IF_ERROR(cgroups.status());
  ASSIGN_OR_RETURN(const UniqueFd empty, EmptyFolder());
  return PlaceTree(empty, *cgroups);
}

// With all that is mounted below: what the host has covered there stays so, and a user namespace
// may not uncover it (mount_namespaces(7)). What is asked of the mount is asked of all of them.
Status ShowHosts(const MountContext& c, const oci::Mount& mount, const MountOptions& options) {
  const bool is_proc = mount.type == "proc";
  if (!options.superblock.empty())
    return Unsupported(
        "option {:?}: in a user namespace without a {} namespace the host's {} is "
        "shown, which takes none",
        options.superblock[0], is_proc ? "pid" : "network", mount.type);
  ASSIGN_OR_RETURN(const UniqueFd target, FolderTarget(c.root, mount));
  const char* place = is_proc ? "/proc" : "/sys";
  ASSIGN_OR_RETURN(const UniqueFd tree, CloneTreeAt(place, true));
  if (!IsOf(tree, is_proc ? PROC_SUPER_MAGIC : SYSFS_MAGIC))
    return FailedPrecondition("the host has no {} on {}", mount.type, place);
  MountAttributes attributes = AttributesOf(options);
  attributes.recursive_set |= options.set;
  RETURN_IF_ERROR(Attach(tree, target, attributes));
  RETURN_IF_ERROR(SetPropagation(tree, options));
  return is_proc ? OkStatus() : CoverCgroups(tree);
}

}  // namespace

bool IsReadOnlyLater(const oci::Mount& mount) {
  const auto options = ParseMountOptions(mount);
  return mount.type == "tmpfs" && options.ok() && !options->bind &&
         (options->set & MOUNT_ATTR_RDONLY) != 0;
}

Status FinishReadOnly(const UniqueFd& root, const std::vector<oci::Mount>& mounts) {
  for (const oci::Mount& mount : mounts) {
    if (!IsReadOnlyLater(mount)) continue;
    ASSIGN_OR_RETURN(const UniqueFd target, OpenInRoot(root, mount.destination, O_PATH));
    RETURN_IF_ERROR(Annotate(ChangeAttributes(target, {.set = MOUNT_ATTR_RDONLY}),
                             fmt::format("making {:?} read-only", mount.destination)));
  }
  return OkStatus();
}

bool NeedsRuntime(const oci::Mount& mount, const oci::Linux& config) {
  const auto options = ParseMountOptions(mount);
  if (!options.ok() || !options->bind || options->remount) return false;
  return options->id_map != IdMapScope::kNone || config.Find(oci::NamespaceType::kUser) != nullptr;
}

bool GoesOut(const oci::Mount& mount, const oci::Linux& config) {
  if (config.rootfs_propagation != "shared" && config.rootfs_propagation != "rshared") return false;
  const auto options = ParseMountOptions(mount);
  if (!options.ok() || !options->bind || options->remount) return false;
  const auto& propagation = options->propagation;
  return std::any_of(propagation.begin(), propagation.end(),
                     [](uint64_t flags) { return (flags & MS_SHARED) != 0; });
}

StatusOr<UniqueFd> OpenSourceTree(const oci::Mount& mount, const oci::Linux& config,
                                  const UniqueFd& user_namespace) {
  ASSIGN_OR_RETURN(const MountOptions options, ParseMountOptions(mount));
  ASSIGN_OR_RETURN(UniqueFd source, OpenSource(mount, options));
  if (!CanDetachTrees()) {
    if (GoesOut(mount, config))
      return Unsupported("a mount whose own mounts the host sees needs Linux 5.2 (open_tree)");
    if (options.id_map == IdMapScope::kNone) return source;
    return Unsupported("an idmapped mount needs Linux 5.12 (open_tree, mount_setattr)");
  }
  ASSIGN_OR_RETURN(UniqueFd tree, sys::CloneTree(source, options.recursive_bind));
  if (options.id_map != IdMapScope::kNone)
    RETURN_IF_ERROR(MapMount(tree, options, config, user_namespace));
  return tree;
}

Status MountInRoot(const MountContext& context, const oci::Mount& mount, const UniqueFd& source) {
  ASSIGN_OR_RETURN(MountOptions options, ParseMountOptions(mount));
  if (options.remount) return Remount(context.root, mount, options);
  if (options.bind) return MountBind(context.root, mount, options, source);
  if (mount.type == "cgroup" || mount.type == "cgroup2")
    return MountCgroups(context, mount, options);
  if (mount.type.empty()) return InvalidArgument("a mount that is no bind mount needs a type");
  if (IsHosts(context, mount)) return ShowHosts(context, mount, options);
  if (mount.type == "tmpfs") InheritFromFolder(context.root, mount, &options);
  ASSIGN_OR_RETURN(const UniqueFd target, FolderTarget(context.root, mount));
  RETURN_IF_ERROR(CheckProc(target, mount, UniqueFd()));
  ASSIGN_OR_RETURN(const UniqueFd tree, NewFilesystem(mount, options, context.label));
  if (options.copy_up) {
    // The content goes in before the mount is read-only, if that is what it is to be.
    ASSIGN_OR_RETURN(const UniqueFd from, OpenInRoot(target, ".", O_RDONLY | O_DIRECTORY));
    RETURN_IF_ERROR(Annotate(CopyTree(from, tree), "tmpcopyup"));
  }
  MountAttributes attributes = AttributesOf(options);
  if (IsReadOnlyLater(mount)) attributes.set &= ~uint64_t{MOUNT_ATTR_RDONLY};
  RETURN_IF_ERROR(Attach(tree, target, attributes));
  return SetPropagation(tree, options);
}

namespace {

Status CheckDetachable(const oci::Mount& mount, const MountOptions& options,
                       const oci::Linux& config) {
  if (options.remount) return Unsupported("a mount can't be changed");
  if (options.source_link == LinkHandling::kCopy || options.copy_up)
    return Unsupported("copy-symlink and tmpcopyup are for config.json");
  if (options.bind) return OkStatus();
  if (mount.type != "tmpfs")
    return Unsupported("a mount of type {:?} can't be added to a running container", mount.type);
  // Its files would be those of the host's root.
  if (config.Find(oci::NamespaceType::kUser) != nullptr)
    return Unsupported("a tmpfs can't be added to a container with a user namespace");
  return OkStatus();
}

}  // namespace

StatusOr<UniqueFd> NewDetachedMount(const oci::Mount& mount, const oci::Linux& config,
                                    const UniqueFd& user_namespace) {
  ASSIGN_OR_RETURN(const MountOptions options, ParseMountOptions(mount));
  RETURN_IF_ERROR(CheckDetachable(mount, options, config));
  ASSIGN_OR_RETURN(UniqueFd tree, options.bind ? OpenSourceTree(mount, config, user_namespace)
                                               : NewFilesystem(mount, options, config.mount_label));
  RETURN_IF_ERROR(ChangeAttributes(tree, AttributesOf(options)));
  RETURN_IF_ERROR(SetPropagation(tree, options));
  return tree;
}

Status PlaceInRoot(const UniqueFd& root, const oci::Mount& mount, const UniqueFd& tree) {
  ASSIGN_OR_RETURN(const MountOptions options, ParseMountOptions(mount));
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(tree));
  ASSIGN_OR_RETURN(const UniqueFd target, BindTarget(root, mount, options, st));
  RETURN_IF_ERROR(CheckProc(target, mount, tree));
  return PlaceTree(tree, target);
}

}  // namespace ocirun::linux_
