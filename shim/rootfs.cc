// SPDX-License-Identifier: Apache-2.0
#include "shim/rootfs.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "base/file.h"
#include "base/mountinfo.h"
#include "base/path.h"
#include "base/sys/file.h"
#include "base/sys/mount.h"
#include "base/text.h"
#include "ocirun/linux/idmap.h"
#include "ocirun/linux/mount_attributes.h"
#include "ocirun/linux/mount_options.h"

namespace ocirun::shim {
namespace {

using containerd::types::Mount;

constexpr size_t kMaxMounts = 128;
// mount(2) takes a page of options, the last byte of which is its end.
constexpr size_t kMaxOptions = 4095;
constexpr std::string_view kLowerDir = "lowerdir=";

// Words that mount(2) wants as flags of the filesystem.
constexpr struct {
  std::string_view word;
  unsigned long set, clear;
} kFilesystemFlags[] = {{"sync", MS_SYNCHRONOUS, 0},  {"dirsync", MS_DIRSYNC, 0},
                        {"lazytime", MS_LAZYTIME, 0}, {"nolazytime", 0, MS_LAZYTIME},
                        {"acl", MS_POSIXACL, 0},      {"noacl", 0, MS_POSIXACL}};

// What only a helper program or a device of its own can do.
Status CheckSupported(const Mount& mount) {
  for (const std::string_view type : {"fuse.", "fuse3."})
    if (std::string_view(mount.type()).starts_with(type))
      return Unsupported("mount of type {:?}: needs a helper, which is not supported",
                         mount.type());
  for (const std::string& option : mount.options()) {
    if (option == "loop" || option.starts_with("X-containerd."))
      return Unsupported("mount option {:?}: not supported", option);
  }
  return OkStatus();
}

// CONTAINER-ID:HOST-ID:SIZE, several with commas between them.
StatusOr<std::vector<oci::IdMapping>> ParseMappings(std::string_view text) {
  std::vector<oci::IdMapping> out;
  for (const std::string_view word : SplitWords(text, ",")) {
    std::vector<uint32_t> numbers;
    bool good = true;
    for (const std::string_view digits : SplitWords(word, ":")) {
      const char* end = digits.data() + digits.size();
      const auto [at, error] = std::from_chars(digits.data(), end, numbers.emplace_back());
      good = good && error == std::errc() && at == end;
    }
    if (!good || numbers.size() != 3)
      return InvalidArgument("mapping {:?}: must be CONTAINER-ID:HOST-ID:SIZE", word);
    out.push_back({.container_id = numbers[0], .host_id = numbers[1], .size = numbers[2]});
  }
  return out;
}

// Takes `option` if it is one of the two that map the ids of a mount.
StatusOr<bool> TakeMapping(std::string_view option, linux_::MountOptions* out) {
  for (const auto& [word, mappings] :
       {std::pair{"uidmap=", &out->uid_mappings}, std::pair{"gidmap=", &out->gid_mappings}}) {
    if (!option.starts_with(word)) continue;
    ASSIGN_OR_RETURN(*mappings, ParseMappings(option.substr(std::strlen(word))));
    return true;
  }
  return false;
}

struct Request {
  std::string source, type, data;
  unsigned long flags = 0;
  linux_::MountOptions options;
};

StatusOr<Request> Translate(const Mount& mount) {
  RETURN_IF_ERROR(CheckSupported(mount));
  Request out{.source = mount.source(), .type = mount.type()};
  oci::Mount parsed;
  parsed.type = mount.type();
  parsed.source = mount.source();
  linux_::MountOptions mappings;
  for (const std::string& option : mount.options()) {
    ASSIGN_OR_RETURN(const bool taken, TakeMapping(option, &mappings));
    if (!taken) parsed.options.push_back(option);
  }
  if (mappings.uid_mappings.empty() != mappings.gid_mappings.empty())
    return InvalidArgument("uidmap= and gidmap= go together");
  ASSIGN_OR_RETURN(out.options, linux_::ParseMountOptions(parsed));
  if (out.options.id_map != linux_::IdMapScope::kNone || out.options.copy_up)
    return Unsupported("mount option \"idmap\" or \"tmpcopyup\": not supported");
  if (!mappings.uid_mappings.empty()) {
    out.options.id_map = linux_::IdMapScope::kTree;
    out.options.uid_mappings = std::move(mappings.uid_mappings);
    out.options.gid_mappings = std::move(mappings.gid_mappings);
  }
  if (out.options.bind) {
    out.flags = MS_BIND;
    if (out.options.recursive_bind) out.flags |= MS_REC;
    return out;
  }
  if (out.options.remount) out.flags |= MS_REMOUNT;
  // These four have the same bits in both interfaces, and count for the filesystem, too.
  static_assert(MOUNT_ATTR_RDONLY == MS_RDONLY && MOUNT_ATTR_NOSUID == MS_NOSUID &&
                MOUNT_ATTR_NODEV == MS_NODEV && MOUNT_ATTR_NOEXEC == MS_NOEXEC);
  out.flags |= out.options.set & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
  for (const std::string& word : out.options.superblock) {
    const auto* flag = std::find_if(std::begin(kFilesystemFlags), std::end(kFilesystemFlags),
                                    [&](const auto& f) { return f.word == word; });
    if (flag != std::end(kFilesystemFlags)) {
      out.flags = (out.flags & ~flag->clear) | flag->set;
    } else {
      out.data += (out.data.empty() ? "" : ",") + word;
    }
  }
  return out;
}

std::string PlaceOfLayers(const std::string& rootfs) { return rootfs + ".layers"; }

Status RemovePlaceOfLayers(const std::string& place) {
  RETURN_IF_ERROR(UnmountBelow(place));
  // Nothing below: it is the layers themselves if they are still there.
  if (::rmdir(place.c_str()) < 0 && errno != ENOENT) return SysError(errno, "rmdir", place);
  return OkStatus();
}

// The place of a mount, opened inside what is mounted already.
StatusOr<UniqueFd> OpenTarget(const std::string& rootfs, const std::string& below) {
  ASSIGN_OR_RETURN(UniqueFd root, sys::Open(rootfs, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  if (PathComponents(below).empty()) return root;
  return OpenInRoot(root, below, O_PATH);
}

// As mount(2), with the layers named from the folder that they have in common, to which this
// process, having one thread, goes for a moment.
Status MountFrom(const UniqueFd& folder, const Request& request, const std::string& target,
                 const std::string& data) {
  ASSIGN_OR_RETURN(const UniqueFd here, sys::Open(".", O_PATH | O_DIRECTORY));
  if (::fchdir(folder.get()) < 0) return SysError(errno, "fchdir");
  const Status mounted = sys::Mount(request.source, target, request.type, request.flags, data);
  if (::fchdir(here.get()) < 0) return SysError(errno, "fchdir");
  return mounted;
}

// A copy of the tree at `folder` whose files are owned as the request's mappings say.
StatusOr<UniqueFd> MappedCopy(const std::string& folder, const Request& request) {
  ASSIGN_OR_RETURN(UniqueFd tree, sys::CloneTreeAt(folder, true));
  RETURN_IF_ERROR(sys::MountSetAttr(tree, true, 0, 0, MS_PRIVATE));
  RETURN_IF_ERROR(linux_::MapMount(tree, request.options, {}, {}));
  return tree;
}

// overlayfs keeps what its layers are mounted as, and takes them from mounts that are attached
// somewhere only: for the time of the call.
Status MountMapped(const std::string& folder, const Request& request, const std::string& target,
                   const std::string& data, const std::string& place) {
  ASSIGN_OR_RETURN(const UniqueFd tree, MappedCopy(folder, request));
  RETURN_IF_ERROR(sys::MountSetAttr(tree, true, MOUNT_ATTR_RDONLY, 0));
  RETURN_IF_ERROR(MakeDirs(place, 0700));
  const Undo remove([&] { IgnoreError(RemovePlaceOfLayers(place), "it is the bundle's"); });
  {
    ASSIGN_OR_RETURN(const UniqueFd on, sys::Open(place, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    RETURN_IF_ERROR(sys::MoveMount(tree, on));
  }
  return MountFrom(tree, request, target, data);
}

// With more layers than a page of options has room for, or mapped ones, from their folder.
Status MountWithLayers(const Request& request, const std::string& target,
                       const std::string& place) {
  const bool mapped = request.options.id_map != linux_::IdMapScope::kNone;
  if (request.data.size() <= kMaxOptions && !(mapped && request.type == "overlay"))
    return sys::Mount(request.source, target, request.type, request.flags, request.data);
  std::string data = request.data, folder;
  const bool shortened = ShortenLayers(&data, &folder);
  if (!shortened && mapped) return InvalidArgument("mapped layers need a folder in common");
  if (!shortened || data.size() > kMaxOptions)
    return InvalidArgument("mount {} on {}: {} bytes of options are more than the kernel takes",
                           request.type, target, request.data.size());
  if (mapped) return MountMapped(folder, request, target, data, place);
  ASSIGN_OR_RETURN(const UniqueFd from, sys::Open(folder, O_PATH | O_DIRECTORY));
  return MountFrom(from, request, target, data);
}

Status MountOne(const Mount& mount, const std::string& rootfs) {
  ASSIGN_OR_RETURN(const Request request, Translate(mount));
  {
    ASSIGN_OR_RETURN(const UniqueFd target, OpenTarget(rootfs, mount.target()));
    RETURN_IF_ERROR(MountWithLayers(request, ProcFdPath(target), PlaceOfLayers(rootfs)));
  }
  // What has no layers is mapped as it stands.
  if (request.options.id_map != linux_::IdMapScope::kNone && request.type != "overlay") {
    ASSIGN_OR_RETURN(const UniqueFd plain, OpenTarget(rootfs, mount.target()));
    ASSIGN_OR_RETURN(const UniqueFd tree, MappedCopy(ProcFdPath(plain), request));
    RETURN_IF_ERROR(sys::MoveMount(tree, plain));
  }
  // Opened again: now it is what was mounted.
  ASSIGN_OR_RETURN(const UniqueFd mounted, OpenTarget(rootfs, mount.target()));
  const linux_::MountOptions& options = request.options;
  linux_::MountAttributes attributes{.set = options.set,
                                     .clear = options.clear,
                                     .recursive_set = options.recursive_set,
                                     .recursive_clear = options.recursive_clear};
  if (options.access_time.has_value() || (options.set & MOUNT_ATTR_NODIRATIME) != 0) {
    attributes.set |= options.access_time.value_or(MOUNT_ATTR_RELATIME);
    attributes.clear |= MOUNT_ATTR__ATIME;
  }
  if ((attributes.set | attributes.clear | attributes.recursive_set | attributes.recursive_clear) !=
      0)
    RETURN_IF_ERROR(linux_::ChangeAttributes(mounted, attributes));
  for (const uint64_t flags : options.propagation)
    RETURN_IF_ERROR(linux_::ChangePropagation(mounted, flags));
  return OkStatus();
}

}  // namespace

Status MountAll(const google::protobuf::RepeatedPtrField<Mount>& mounts,
                const std::string& rootfs) {
  if (mounts.empty()) return OkStatus();
  if (static_cast<size_t>(mounts.size()) > kMaxMounts)
    return InvalidArgument("{} mounts for a root file system: at most {}", mounts.size(),
                           kMaxMounts);
  RETURN_IF_ERROR(MakeDirs(rootfs, 0711));
  Undo undo([&] { IgnoreError(UnmountAll(rootfs), "the first error is the one to tell"); });
  for (const Mount& mount : mounts) {
    const Status mounted = MountOne(mount, rootfs);
    if (!mounted.ok())
      return Annotate(mounted, fmt::format("failed to mount rootfs component ({:?} of type {:?})",
                                           mount.source(), mount.type()));
  }
  undo.Release();
  return OkStatus();
}

Status UnmountAll(const std::string& rootfs) {
  RETURN_IF_ERROR(UnmountBelow(rootfs));
  return RemovePlaceOfLayers(PlaceOfLayers(rootfs));
}

Status UnmountBelow(const std::string& rootfs) {
  char resolved[PATH_MAX];
  if (::realpath(rootfs.c_str(), resolved) == nullptr)
    return errno == ENOENT ? OkStatus() : SysError(errno, "realpath", rootfs);
  const std::string top = resolved;
  std::vector<std::string> places;
  RETURN_IF_ERROR(VisitMounts([&](const MountInfo& mount) {
    if (mount.mount_point == top || mount.mount_point.starts_with(top + "/"))
      places.push_back(mount.mount_point);
    return true;
  }));
  // What was mounted last covers what was mounted first.
  std::reverse(places.begin(), places.end());
  for (const std::string& place : places) {
    const Status unmounted = sys::Unmount(place, MNT_DETACH | UMOUNT_NOFOLLOW);
    if (!unmounted.ok() && ErrnoOf(unmounted) != EINVAL) return unmounted;  // EINVAL: gone
  }
  return OkStatus();
}

bool ShortenLayers(std::string* options, std::string* folder) {
  std::string out;
  for (const std::string_view option : SplitWords(*options, ",")) {
    if (!out.empty()) out += ',';
    if (!option.starts_with(kLowerDir)) {
      out += option;
      continue;
    }
    const std::string_view list = option.substr(kLowerDir.size());
    std::string_view common = list.substr(0, list.find(':'));
    for (const std::string_view layer : SplitWords(list, ":")) {
      const size_t end =
          std::mismatch(common.begin(), common.end(), layer.begin(), layer.end()).first -
          common.begin();
      common = common.substr(0, end);
    }
    common = common.substr(0, common.rfind('/') + 1);  // whole folders; npos + 1 is nothing
    if (common.size() <= 1) return false;
    out += kLowerDir;
    bool first = true;
    for (const std::string_view layer : SplitWords(list, ":")) {
      if (!first) out += ':';
      first = false;
      out += layer.substr(common.size());
    }
    *folder = std::string(common);
  }
  if (folder->empty()) return false;
  *options = std::move(out);
  return true;
}

}  // namespace ocirun::shim
