// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/devices.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/path.h"
#include "base/sys/file.h"
#include "ocirun/linux/mount_attributes.h"
#include "ocirun/linux/mount_options.h"
#include "ocirun/linux/tree.h"
#include "ocirun/log/log.h"

namespace ocirun::linux_ {
namespace {

constexpr struct {
  const char* path;
  unsigned major, minor;
} kDefaultDevices[] = {{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
                       {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};

// Not every kernel has it.
constexpr char kKernelMemory[] = "/proc/kcore";

constexpr struct {
  const char *path, *target;
} kLinks[] = {{"/dev/fd", "/proc/self/fd"},
              {"/dev/stdin", "/proc/self/fd/0"},
              {"/dev/stdout", "/proc/self/fd/1"},
              {"/dev/stderr", "/proc/self/fd/2"},
              {"/dev/core", kKernelMemory}};

mode_t TypeBits(char type) { return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR; }

// The folder that holds `path` below the root, made when missing, and the last name.
StatusOr<std::pair<UniqueFd, std::string>> Parent(const UniqueFd& root, const std::string& path) {
  const size_t slash = path.rfind('/');
  std::string name = path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..")
    return InvalidArgument("linux.devices: {:?} is not a file", path);
  ASSIGN_OR_RETURN(UniqueFd folder, MakeDirsInRoot(root, path.substr(0, slash), 0755));
  return std::pair(std::move(folder), std::move(name));
}

// The node is the host's: to give it another owner or mode would give it to the host, too.
void WarnOfHostsNode(const oci::Device& device, const struct stat& st) {
  const bool has_owner =
      (device.uid != 0 && device.uid != st.st_uid) || (device.gid != 0 && device.gid != st.st_gid);
  const bool has_mode =
      device.file_mode.has_value() && (*device.file_mode & 07777) != (st.st_mode & 07777);
  if (has_owner || has_mode)
    Warn("linux.devices: {:?} is the host's own, which keeps its owner and mode ({:o})",
         device.path, st.st_mode & 07777);
}

// Without CAP_MKNOD: the host's node of that name, if it is the same device.
Status BindFromHost(const UniqueFd& folder, const std::string& name, const oci::Device& device) {
  ASSIGN_OR_RETURN(const UniqueFd host, sys::Open(device.path, O_PATH | O_NOFOLLOW));
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(host));
  if ((st.st_mode & S_IFMT) != TypeBits(device.type) ||
      st.st_rdev != makedev(device.major, device.minor))
    return FailedPrecondition("the host's {} is another device", device.path);
  // What stands there already is covered and never opened.
  if (::mknodat(folder.get(), name.c_str(), S_IFREG | 0666, 0) < 0 && errno != EEXIST)
    return SysError(errno, "mknod", device.path);
  ASSIGN_OR_RETURN(const UniqueFd target, sys::OpenAt(folder, name, O_PATH | O_NOFOLLOW));
  ASSIGN_OR_RETURN(const UniqueFd tree, CloneTree(host, false));
  WarnOfHostsNode(device, st);
  return Attach(tree, target, {.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC});
}

Status MakeDevice(const UniqueFd& root, const oci::Device& device) {
  ASSIGN_OR_RETURN(const auto parent, Parent(root, device.path));
  const auto& [folder, name] = parent;
  const dev_t number = device.type == 'p' ? 0 : makedev(device.major, device.minor);
  const mode_t mode = device.file_mode.value_or(0666);
  bool was_there = false;
  if (::mknodat(folder.get(), name.c_str(), TypeBits(device.type) | mode, number) < 0) {
    was_there = errno == EEXIST;
    if (errno == EPERM && device.type != 'p')
      return Annotate(BindFromHost(folder, name, device),
                      fmt::format("mknod {}: operation not permitted, and nothing to bind instead",
                                  device.path));
    if (!was_there) return SysError(errno, "mknod", device.path);
  }
  // An image may bring its own /dev, or config.json bind a device there: the same device is kept as
  // it is, which may be the host's, and anything else is not trusted. Owner and mode go to what was
  // looked at: behind the name another container could have put a link to a file of the host by
  // now.
  ASSIGN_OR_RETURN(const UniqueFd node, sys::OpenAt(folder, name, O_PATH | O_NOFOLLOW));
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(node));
  if ((st.st_mode & S_IFMT) != TypeBits(device.type) || st.st_rdev != number)
    return SysError(EEXIST, "mknod", device.path);
  if (was_there) return OkStatus();
  if ((st.st_uid != device.uid || st.st_gid != device.gid) &&
      ::fchownat(node.get(), "", device.uid, device.gid, AT_EMPTY_PATH) < 0)
    return SysError(errno, "chown", device.path);
  // O_PATH descriptors have no fchmod before Linux 6.6; a device is no link, so this one is final.
  if ((st.st_mode & 07777) != mode && ::chmod(ProcFdPath(node).c_str(), mode) < 0)
    return SysError(errno, "chmod", device.path);
  return OkStatus();
}

Status MakeLink(const UniqueFd& root, const std::string& path, const char* target) {
  ASSIGN_OR_RETURN(const auto parent, Parent(root, path));
  if (::symlinkat(target, parent.first.get(), parent.second.c_str()) < 0 && errno != EEXIST)
    return SysError(errno, "symlink", path);
  return OkStatus();
}

// ptmx must be that of the container's own devpts instance.
Status MakePtmx(const UniqueFd& root) {
  if (!OpenInRoot(root, "/dev/pts/ptmx", O_PATH | O_NOFOLLOW).ok()) return OkStatus();
  ASSIGN_OR_RETURN(const auto parent, Parent(root, "/dev/ptmx"));
  if (::unlinkat(parent.first.get(), parent.second.c_str(), 0) < 0 && errno != ENOENT)
    return SysError(errno, "unlink", "/dev/ptmx");
  return MakeLink(root, "/dev/ptmx", "pts/ptmx");
}

bool DevIsBound(const oci::Spec& spec) {
  return std::any_of(spec.mounts.begin(), spec.mounts.end(), [](const oci::Mount& mount) {
    const auto options = ParseMountOptions(mount);
    return PathComponents(mount.destination) == std::vector<std::string>{"dev"} && options.ok() &&
           options->bind;
  });
}

}  // namespace

std::vector<std::string> DevicePaths(const oci::Spec& spec) {
  std::vector<std::string> out;
  for (const auto& device : kDefaultDevices) out.emplace_back(device.path);
  for (const oci::Device& device : spec.linux.devices) out.push_back(device.path);
  return out;
}

Status MakeDevices(const UniqueFd& root, const oci::Spec& spec) {
  if (DevIsBound(spec)) return OkStatus();
  // /dev as a link would have the nodes made wherever it points (inside the root, but still).
  auto dev = OpenBelow(root, "dev", O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
  if (!dev.ok() && ErrnoOf(dev.status()) == ELOOP)
    return InvalidArgument("/dev of the image must not be a symbolic link");
  const mode_t old_umask = ::umask(0);
  Undo restore([old_umask] { ::umask(old_umask); });
  for (const auto& device : kDefaultDevices) {
    const bool replaced = std::any_of(spec.linux.devices.begin(), spec.linux.devices.end(),
                                      [&](const oci::Device& d) { return d.path == device.path; });
    if (replaced) continue;
    RETURN_IF_ERROR(MakeDevice(
        root, {.type = 'c', .path = device.path, .major = device.major, .minor = device.minor}));
  }
  for (const oci::Device& device : spec.linux.devices) {
    // The container's own, whatever config.json calls by that name (as runc).
    if (PathComponents(device.path) == std::vector<std::string>{"dev", "ptmx"}) continue;
    RETURN_IF_ERROR(MakeDevice(root, device));
  }
  for (const auto& link : kLinks)
    if (std::string_view(link.target) != kKernelMemory || PathExists(kKernelMemory))
      RETURN_IF_ERROR(MakeLink(root, link.path, link.target));
  return MakePtmx(root);
}

}  // namespace ocirun::linux_
