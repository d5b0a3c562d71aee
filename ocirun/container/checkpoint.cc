// SPDX-License-Identifier: Apache-2.0
#include "ocirun/container/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "base/path.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "ocirun/container/criu.h"
#include "ocirun/linux/devices.h"
#include "ocirun/log/log.h"

namespace ocirun::container {
namespace {

Status CheckStatus(ContainerStatus status) {
  if (status == ContainerStatus::kRunning || status == ContainerStatus::kPaused) return OkStatus();
  return FailedPrecondition("container cannot be checkpointed in {} state", StatusName(status));
}

// CRIU itself says "no such file" of something else than what was asked for.
Status CheckParentPath(const CriuOptions& options) {
  if (options.parent_path.empty()) return OkStatus();
  if (options.parent_path[0] == '/') return InvalidArgument("--parent-path must be relative");
  const auto st = sys::StatPath(options.image_path + "/" + options.parent_path);
  if (!st.ok()) return Annotate(st.status(), "invalid --parent-path");
  if (S_ISDIR(st->st_mode)) return OkStatus();
  return Annotate(SysError(ENOTDIR, "stat", options.parent_path), "invalid --parent-path");
}

Status CheckStatusFd(int fd) {
  if (fd < 0) return OkStatus();
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0)
    return Annotate(SysError(errno, "fcntl"), fmt::format("invalid --status-fd argument {}", fd));
  if ((flags & O_ACCMODE) == O_RDONLY)
    return InvalidArgument("invalid --status-fd argument {}: not writable", fd);
  return OkStatus();
}

// A namespace that config.json names by a path stays where it is.
Status AddExternalNamespaces(const oci::Spec& spec, Json* request) {
  for (const oci::NamespaceType type : {oci::NamespaceType::kNetwork, oci::NamespaceType::kPid}) {
    const oci::Namespace* ns = spec.linux.Find(type);
    if (ns == nullptr || ns->path.empty()) continue;
    ASSIGN_OR_RETURN(const struct stat st, sys::StatPath(ns->path));
    (*request)["external"].push_back(ExternalNamespace(type, st.st_ino));
  }
  return OkStatus();
}

// Files are hidden by the host's /dev/null (folders by a tmpfs, which CRIU knows).
Status AddMaskedFiles(const oci::Spec& spec, pid_t init, Json* mounts) {
  ASSIGN_OR_RETURN(const UniqueFd root,
                   sys::Open(fmt::format("/proc/{}/root", init), O_PATH | O_DIRECTORY));
  for (const std::string& path : spec.linux.masked_paths) {
    const auto masked = OpenInRoot(root, path, O_PATH);
    if (!masked.ok()) continue;  // what does not exist was not hidden
    ASSIGN_OR_RETURN(const struct stat st, sys::Stat(*masked));
    if (!S_ISDIR(st.st_mode)) mounts->push_back(ExternalMount(path, "/dev/null"));
  }
  return OkStatus();
}

Status AddMounts(const Store& store, const Record& record, const oci::Spec& spec, Json* request) {
  Json mounts = Json::array();
  HostMounts host = FindHostMounts(spec, record.cgroups);
  if (PathExists(store.Folder(record.id) + "/notify")) host["/run/notify"] = "";  // NotifySocket
  for (const auto& [destination, source] : host) {
    ASSIGN_OR_RETURN(const std::string key, ResolveInRoot(record.rootfs, destination));
    mounts.push_back(ExternalMount(key, key));
  }
  RETURN_IF_ERROR(AddMaskedFiles(spec, record.init_pid, &mounts));
  // In a user namespace they are the host's, bound.
  for (const std::string& path : linux_::DevicePaths(spec))
    mounts.push_back(ExternalMount(path, path));
  (*request)["ext_mnt"] = std::move(mounts);
  return OkStatus();
}

// The freezer stops all processes at once; of cgroup v2 CRIU knows it from 3.14 on.
void AddFreezer(const Record& record, int criu_version, Json* request) {
  const auto v1 = record.cgroups.find("freezer"), v2 = record.cgroups.find("");
  if (v1 != record.cgroups.end()) {
    (*request)["freeze_cgroup"] = v1->second;
  } else if (v2 != record.cgroups.end() && criu_version >= 31400) {
    (*request)["freeze_cgroup"] = v2->second;
  }
}

// Tells who waits that the pages can be fetched now.
void TellReady(int* status_fd) {
  if (*status_fd < 0) return;
  const UniqueFd fd(std::exchange(*status_fd, -1));
  const Status told = sys::WriteAll(fd, std::string_view("\0", 1));
  if (!told.ok()) Warn("can't write \\0 to status fd: {}", MessageOf(told));
}

Status Dump(const Store& store, const Record& record, const oci::Spec& spec,
            const CriuOptions& options) {
  ASSIGN_OR_RETURN(Json opts, DumpOptions(options, spec));
  ASSIGN_OR_RETURN(const CriuFolders folders, OpenCriuFolders(options, &opts));
  opts["root"] = record.rootfs;
  opts["pid"] = record.init_pid;
  RETURN_IF_ERROR(AddExternalNamespaces(spec, &opts));
  if (!options.pre_dump) {
    RETURN_IF_ERROR(AddMounts(store, record, spec, &opts));
    RETURN_IF_ERROR(
        WriteFile(options.image_path + "/descriptors.json", Json(record.descriptors).dump(), 0600));
  }
  ASSIGN_OR_RETURN(Criu criu, Criu::Start({.log_file = folders.log_folder + "/dump.log"}));
  ASSIGN_OR_RETURN(const int version, criu.CheckVersion(30000));
  if (options.pre_dump) RETURN_IF_ERROR(criu.CheckFeature("mem_track"));
  if (options.lazy_pages) RETURN_IF_ERROR(criu.CheckFeature("lazy_pages"));
  AddFreezer(record, version, &opts);
  int status_fd = options.status_fd;
  if (options.lazy_pages && status_fd >= 0 && version < 31500) opts["status_fd"] = status_fd;
  return criu
      .Run({{"type", options.pre_dump ? "PRE_DUMP" : "DUMP"}, {"opts", opts}},
           [&](Notification notification) -> Status {
             if (notification.script == "status-ready") TellReady(&status_fd);
             return OkStatus();
           })
      .status();
}

}  // namespace

StatusOr<CriuFolders> OpenCriuFolders(const CriuOptions& options, Json* request) {
  CriuFolders out{.log_folder = options.image_path};
  ASSIGN_OR_RETURN(out.images, sys::Open(options.image_path, O_RDONLY | O_DIRECTORY));
  (*request)["images_dir_fd"] = out.images.get();
  if (options.work_path.empty()) return out;
  const Status made = sys::MakeDir(options.work_path, 0700);
  if (!made.ok() && ErrnoOf(made) != EEXIST) return Annotate(made, "--work-path");
  auto work = sys::Open(options.work_path, O_RDONLY | O_DIRECTORY);
  if (!work.ok()) return Annotate(work.status(), "--work-path");
  out.work = std::move(*work);
  out.log_folder = options.work_path;
  (*request)["work_dir_fd"] = out.work.get();
  return out;
}

StatusOr<std::string> ResolveInRoot(const std::string& root, const std::string& destination) {
  ASSIGN_OR_RETURN(const UniqueFd folder, sys::Open(root, O_PATH | O_DIRECTORY));
  ASSIGN_OR_RETURN(const std::string base, sys::ReadLink(ProcFdPath(folder)));
  const std::vector<std::string> parts = PathComponents(destination);
  std::string missing;
  for (size_t n = parts.size(); n > 0; --n) {
    std::string path;
    for (size_t i = 0; i < n; ++i) path += "/" + parts[i];
    const auto there = OpenInRoot(folder, path, O_PATH);
    if (there.ok()) {
      ASSIGN_OR_RETURN(const std::string name, sys::ReadLink(ProcFdPath(*there)));
      return name.substr(base == "/" ? 0 : base.size()) + missing;
    }
    if (ErrnoOf(there.status()) != ENOENT) return Annotate(there.status(), destination);
    missing = "/" + parts[n - 1] + missing;
  }
  return missing;
}

std::vector<std::string> StandardDescriptors() {
  std::vector<std::string> out;
  for (int fd = 0; fd < 3; ++fd) {
    const auto name = sys::ReadLink(fmt::format("/proc/self/fd/{}", fd));
    // Only pipes matter in the end; a file's name may be no text that JSON can hold.
    const bool ascii =
        name.ok() && std::all_of(name->begin(), name->end(), [](char c) { return c > 0; });
    out.push_back(ascii ? *name : "");
  }
  return out;
}

Status Checkpoint(const Store& store, const std::string& id, const CriuOptions& options) {
  {
    ASSIGN_OR_RETURN(const UniqueFd lock, store.Lock(id));
    ASSIGN_OR_RETURN(const Record record, store.Load(id));
    RETURN_IF_ERROR(CheckStatus(store.StatusOf(record)));
    ASSIGN_OR_RETURN(const oci::Spec spec, store.LoadSpec(record));
    RETURN_IF_ERROR(CheckStatusFd(options.status_fd));
    RETURN_IF_ERROR(MakeDirs(options.image_path, 0700));
    RETURN_IF_ERROR(CheckParentPath(options));
    RETURN_IF_ERROR(Dump(store, record, spec, options));
  }
  if (options.leave_running || options.pre_dump) return OkStatus();
  // The checkpoint is whole, whatever can't be removed now.
  const Status removed = Delete(store, id, DeleteMode::kForce);
  if (!removed.ok()) Warn("{}", MessageOf(removed));
  return OkStatus();
}

}  // namespace ocirun::container
