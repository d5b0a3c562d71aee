// SPDX-License-Identifier: Apache-2.0
#include "ocirun/container/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/sys/process.h"

namespace ocirun::container {
namespace {

Json ToJson(const Record& record) {
  return {{"id", record.id},
          {"ociVersion", record.oci_version},
          {"pid", record.init_pid},
          {"startTime", record.init_start_time},
          {"bundle", record.bundle},
          {"rootfs", record.rootfs},
          {"created", record.created},
          {"owner", record.owner},
          {"annotations", record.annotations},
          {"cgroups", record.cgroups},
          {"cgroupInodes", record.cgroup_inodes},
          {"systemdUnit", record.unit.name},
          {"systemdBus", record.unit.bus},
          {"resctrl", record.resctrl},
          {"rdtClass", record.rdt.class_folder},
          {"rdtMonitor", record.rdt.monitor_folder},
          {"newKeyring", record.new_keyring},
          {"descriptors", record.descriptors},
          {"ownsCgroups", record.owns_cgroups},
          {"mayTrace", record.may_trace},
          {"tracerAwaited", record.tracer_awaited},
          {"liveMounts", record.live_mounts},
          {"later",
           {{"atStart", record.later.at_start},
            {"atDelete", record.later.at_delete},
            {"sharesPids", record.later.shares_pids}}}};
}

Status ReadMap(const JsonView& view, std::string_view key,
               std::map<std::string, std::string>* out) {
  ASSIGN_OR_RETURN(const JsonView object, view.Get(key));
  ASSIGN_OR_RETURN(const auto members, object.Members());
  for (const auto& [name, value] : members) {
    ASSIGN_OR_RETURN(std::string text, value.String());
    out->emplace(name, std::move(text));
  }
  return OkStatus();
}

Status ReadInodes(const JsonView& view, cgroup::Inodes* out) {
  ASSIGN_OR_RETURN(const JsonView object, view.Get("cgroupInodes"));
  ASSIGN_OR_RETURN(const auto members, object.Members());
  for (const auto& [name, value] : members) {
    ASSIGN_OR_RETURN((*out)[name], value.UInt64());
  }
  return OkStatus();
}

StatusOr<Record> FromJson(const Json& json) {
  const JsonView view(json);
  Record record;
  ASSIGN_OR_RETURN(record.id, StringOr(view, "id", ""));
  ASSIGN_OR_RETURN(record.oci_version, StringOr(view, "ociVersion", ""));
  ASSIGN_OR_RETURN(const auto pid, OptionalInt64(view, "pid"));
  record.init_pid = static_cast<pid_t>(pid.value_or(0));
  ASSIGN_OR_RETURN(const auto start_time, OptionalUInt64(view, "startTime"));
  record.init_start_time = start_time.value_or(0);
  ASSIGN_OR_RETURN(record.bundle, StringOr(view, "bundle", ""));
  ASSIGN_OR_RETURN(record.rootfs, StringOr(view, "rootfs", ""));
  ASSIGN_OR_RETURN(const auto created, OptionalInt64(view, "created"));
  record.created = created.value_or(0);
  ASSIGN_OR_RETURN(const auto owner, OptionalUInt32(view, "owner"));
  record.owner = owner.value_or(0);
  RETURN_IF_ERROR(ReadMap(view, "annotations", &record.annotations));
  RETURN_IF_ERROR(ReadMap(view, "cgroups", &record.cgroups));
  RETURN_IF_ERROR(ReadInodes(view, &record.cgroup_inodes));
  ASSIGN_OR_RETURN(record.unit.name, StringOr(view, "systemdUnit", ""));
  ASSIGN_OR_RETURN(record.unit.bus, StringOr(view, "systemdBus", ""));
  ASSIGN_OR_RETURN(record.resctrl, StringOr(view, "resctrl", ""));
  ASSIGN_OR_RETURN(record.rdt.class_folder, StringOr(view, "rdtClass", ""));
  ASSIGN_OR_RETURN(record.rdt.monitor_folder, StringOr(view, "rdtMonitor", ""));
  ASSIGN_OR_RETURN(record.new_keyring, BoolOr(view, "newKeyring", true));
  ASSIGN_OR_RETURN(record.descriptors, StringsOf(view, "descriptors"));
  ASSIGN_OR_RETURN(record.owns_cgroups, BoolOr(view, "ownsCgroups", true));
  ASSIGN_OR_RETURN(record.may_trace, BoolOr(view, "mayTrace", true));
  ASSIGN_OR_RETURN(record.tracer_awaited, BoolOr(view, "tracerAwaited", true));
  if (json.contains("liveMounts") && json["liveMounts"].is_array())
    for (const Json& mount : json["liveMounts"])
      if (mount.is_number_unsigned()) record.live_mounts.push_back(mount.get<uint64_t>());
  ASSIGN_OR_RETURN(const JsonView later, view.Get("later"));
  ASSIGN_OR_RETURN(record.later.at_start, BoolOr(later, "atStart", true));
  ASSIGN_OR_RETURN(record.later.at_delete, BoolOr(later, "atDelete", true));
  ASSIGN_OR_RETURN(record.later.shares_pids, BoolOr(later, "sharesPids", true));
  return record;
}

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

}  // namespace

std::string_view StatusName(ContainerStatus status) {
  switch (status) {
    case ContainerStatus::kCreating:
      return "creating";
    case ContainerStatus::kCreated:
      return "created";
    case ContainerStatus::kRunning:
      return "running";
    case ContainerStatus::kPaused:
      return "paused";
    case ContainerStatus::kStopped:
      return "stopped";
  }
  return "unknown";
}

Status CheckId(const std::string& id) {
  const bool clean = !id.empty() && id.size() <= 1024 && id != "." && id != ".." &&
                     std::all_of(id.begin(), id.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '_' || c == '+' || c == '-' ||
                              c == '.';
                     });
  // A leading dot is kept for our own folders.
  if (clean && id[0] != '.') return OkStatus();
  return InvalidArgument("invalid container ID format: {:?}", id);
}

Later NeedsOf(const oci::Spec& spec) {
  const std::optional<oci::Seccomp>& seccomp = spec.linux.seccomp;
  return {.at_start = !spec.hooks.poststart.empty() ||
                      (seccomp.has_value() && !seccomp->listener_path.empty()),
          .at_delete = !spec.hooks.poststop.empty() ||
                       spec.linux.Find(oci::NamespaceType::kMount) == nullptr,
          .shares_pids = !spec.linux.Makes(oci::NamespaceType::kPid)};
}

bool MeetsStrangers(const oci::Linux& config) {
  return config.Joins(oci::NamespaceType::kPid) && !config.Joins(oci::NamespaceType::kUser);
}

bool MayTrace(const std::optional<oci::Process>& process) {
  if (!process.has_value() || !process->capabilities.has_value()) return true;
  // What it has not may come with a program.
  const std::vector<std::string>& bounding = process->capabilities->bounding;
  return std::find(bounding.begin(), bounding.end(), "CAP_SYS_PTRACE") != bounding.end();
}

namespace {

// A lock of the process, not of the open file: init, which is cloned while it is held and keeps the
// descriptor until exec, must not hold it. `command` is F_SETLKW or F_SETLK.
Status SetLock(const UniqueFd& fd, LockPart part, short type, int command) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_start = static_cast<off_t>(part);
  lock.l_len = 1;
  if (sys::RetryEintr([&] { return ::fcntl(fd.get(), command, &lock); }) < 0)
    return SysError(errno, "fcntl F_SETLK");
  return OkStatus();
}

// Whether the lock is none any more: it was removed, with its container.
StatusOr<bool> IsRemoved(const UniqueFd& lock) {
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(lock));
  return st.st_nlink == 0;
}

Status NoContainer() { return NotFound("container does not exist"); }

// A file in the container's folder.
StatusOr<Record> LoadRecord(const std::string& path, const std::string& id) {
  RETURN_IF_ERROR(CheckId(id));
  auto text = ReadFile(path);
  if (ErrnoOf(text.status()) == ENOENT) return NoContainer();
  if (!text.ok()) return text.status();
  ASSIGN_OR_RETURN(const Json json, ParseJson(*text));
  auto record = FromJson(json);
  if (!record.ok()) return Annotate(record.status(), "state of container " + id);
  // Where systemd makes its own, the scope that bears the unit's name is then another's, too.
  for (const std::string& name : cgroup::DisownReplaced(record->cgroup_inodes, &record->cgroups))
    if (name.empty() || name == "systemd") record->unit = {};
  return record;
}

// Whole or not at all. No fsync: a crash of the host ends the container, too.
Status SaveAs(const std::string& path, const Record& record) {
  RETURN_IF_ERROR(WriteFile(path + ".new", ToJson(record).dump(), 0600));
  return sys::Rename(path + ".new", path);
}

}  // namespace

StatusOr<UniqueFd> Store::TakeLock(const std::string& id, LockPart part, short type) const {
  RETURN_IF_ERROR(CheckId(id));
  RETURN_IF_ERROR(MakeDirs(root_ + "/.locks", 0700));
  for (;;) {
    ASSIGN_OR_RETURN(UniqueFd fd, sys::Open(LockFile(id), O_RDWR | O_CREAT, 0600));
    RETURN_IF_ERROR(Annotate(SetLock(fd, part, type, F_SETLKW), id));
    // The one who held it may have removed the container, and this file with it.
    ASSIGN_OR_RETURN(const bool removed, IsRemoved(fd));
    if (!removed) return fd;
  }
}

StatusOr<UniqueFd> Store::TakeLockOfExisting(const std::string& id, LockPart part,
                                             short type) const {
  RETURN_IF_ERROR(CheckId(id));
  // Asked first: a lock would be left of what never was.
  if (!PathExists(Folder(id))) return NoContainer();
  {
    ASSIGN_OR_RETURN(UniqueFd lock, TakeLock(id, part, type));
    if (PathExists(Folder(id))) return lock;
  }
  // It was deleted since, and the lock with it: this file is new, and may be that of who makes
  // another container by the name.
  RemoveStaleLock(id);
  return NoContainer();
}

StatusOr<UniqueFd> Store::Lock(const std::string& id) const {
  return TakeLockOfExisting(id, LockPart::kCommand, F_WRLCK);
}

StatusOr<UniqueFd> Store::LockNew(const std::string& id) const {
  return TakeLock(id, LockPart::kCommand, F_WRLCK);
}

StatusOr<UniqueFd> Store::LockEntry(const std::string& id) const {
  return TakeLockOfExisting(id, LockPart::kEntry, F_RDLCK);
}

Status Store::LockCommand(const UniqueFd& lock, const std::string& id) const {
  RETURN_IF_ERROR(Annotate(SetLock(lock, LockPart::kCommand, F_WRLCK, F_SETLKW), id));
  ASSIGN_OR_RETURN(const bool removed, IsRemoved(lock));
  return removed ? NoContainer() : OkStatus();
}

void Unlock(const UniqueFd& lock, LockPart part) {
  IgnoreError(SetLock(lock, part, F_UNLCK, F_SETLK), "it ends with the process");
}

void Store::RemoveStaleLock(const std::string& id) const {
  const auto fd = sys::Open(LockFile(id), O_RDWR);
  // Who holds it is about to make the container, or to remove the file.
  if (!fd.ok() || !SetLock(*fd, LockPart::kCommand, F_WRLCK, F_SETLK).ok() ||
      PathExists(Folder(id)))
    return;
  const auto removed = IsRemoved(*fd);
  if (!removed.ok() || *removed) return;  // the name is another's lock by now
  IgnoreError(sys::Unlink(LockFile(id)), "somebody else removed it");
}

Status Store::Add(const std::string& id, const std::string& config) const {
  RETURN_IF_ERROR(MakeDirs(root_, 0700));
  const Status made = sys::MakeDir(Folder(id), 0700);
  if (ErrnoOf(made) == EEXIST)
    return Error(StatusCode::kAlreadyExists, "container with given ID already exists");
  RETURN_IF_ERROR(made);
  Undo remove([&] { IgnoreError(RemoveTree(Folder(id)), "the first error is the one to report"); });
  RETURN_IF_ERROR(WriteFile(Folder(id) + "/config.json", config, 0600));
  remove.Release();
  return OkStatus();
}

Status Store::Save(const Record& record) const { return SaveAs(StateFile(record.id), record); }

StatusOr<std::vector<std::string>> Store::ListInPidNamespace(
    const struct stat& pid_namespace) const {
  ASSIGN_OR_RETURN(std::vector<std::string> ids, List());
  std::erase_if(ids, [&](const std::string& id) {
    const auto record = Load(id);
    if (!record.ok() || record->init_pid == 0) return true;
    const auto theirs = sys::StatPath(fmt::format("/proc/{}/ns/pid", record->init_pid));
    return !theirs.ok() || theirs->st_dev != pid_namespace.st_dev ||
           theirs->st_ino != pid_namespace.st_ino;
  });
  return ids;
}

Status Store::NoteMayTrace(const std::string& id, bool awaited) const {
  ASSIGN_OR_RETURN(const UniqueFd lock, Lock(id));
  ASSIGN_OR_RETURN(Record record, Load(id));
  if (record.may_trace && (record.tracer_awaited || !awaited)) return OkStatus();
  record.may_trace = true;
  record.tracer_awaited = awaited;
  return Save(record);
}

// One after the other for all of them: a second tracer that finds one awaited may run beside any.
Status Store::NoteTracer(const struct stat& pid_namespace) const {
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, ListInPidNamespace(pid_namespace));
  const auto note = [this](const std::string& id) { return NoteMayTrace(id, false); };
  const auto await = [this](const std::string& id) {
    return TakeLockOfExisting(id, LockPart::kEntry, F_WRLCK).status();
  };
  const auto finish = [this](const std::string& id) { return NoteMayTrace(id, true); };
  const std::function<Status(const std::string&)> steps[] = {note, await, finish};
  for (const auto& step : steps)
    for (const std::string& id : ids) {
      const Status done = step(id);
      if (done.code() != StatusCode::kNotFound) RETURN_IF_ERROR(done);
    }
  return OkStatus();
}

Status Store::SaveHalf(const Record& record) const { return SaveAs(HalfFile(record.id), record); }

Status Store::Complete(const std::string& id) const {
  return sys::Rename(HalfFile(id), StateFile(id));
}

StatusOr<Record> Store::Load(const std::string& id) const { return LoadRecord(StateFile(id), id); }

StatusOr<Record> Store::LoadHalf(const std::string& id) const {
  return LoadRecord(HalfFile(id), id);
}

StatusOr<oci::Spec> Store::LoadSpec(const Record& record) const {
  const auto text = ReadFile(Folder(record.id) + "/config.json");
  // Deleted since the record was read.
  if (ErrnoOf(text.status()) == ENOENT && !PathExists(StateFile(record.id))) return NoContainer();
  RETURN_IF_ERROR(text.status());
  return oci::Parse(*text, record.bundle);
}

StatusOr<StoredContainer> Store::LoadWithSpec(const std::string& id) const {
  ASSIGN_OR_RETURN(Record record, Load(id));
  ASSIGN_OR_RETURN(oci::Spec spec, LoadSpec(record));
  return StoredContainer{std::move(record), std::move(spec)};
}

Status Store::Remove(const std::string& id) const {
  RETURN_IF_ERROR(RemoveTree(Folder(id)));
  IgnoreError(sys::Unlink(LockFile(id)), "an empty lock file harms nobody");
  return OkStatus();
}

StatusOr<std::vector<std::string>> Store::List() const {
  std::vector<std::string> ids;
  const std::unique_ptr<DIR, DirCloser> dir(::opendir(root_.c_str()));
  if (!dir && errno == ENOENT) return ids;
  if (!dir) return SysError(errno, "opendir", root_);
  while (const dirent* entry = ::readdir(dir.get()))
    if (entry->d_name[0] != '.' && PathExists(StateFile(entry->d_name)))
      ids.emplace_back(entry->d_name);
  std::sort(ids.begin(), ids.end());
  return ids;
}

ContainerStatus Store::StatusOf(const Record& record) const {
  if (record.init_pid == 0) return ContainerStatus::kStopped;
  const auto start_time = sys::ProcessStartTime(record.init_pid);
  if (!start_time.ok() || *start_time != record.init_start_time) return ContainerStatus::kStopped;
  // As runc: an init that waits for `start` can be paused, too, and then hears nothing of it.
  if (!record.cgroups.empty() && cgroup::ExistingManager(record.cgroups)->IsFrozen())
    return ContainerStatus::kPaused;
  if (PathExists(StartSocket(record.id))) return ContainerStatus::kCreated;
  return ContainerStatus::kRunning;
}

Json StateObject(const Record& record, ContainerStatus status) {
  Json json = {{"ociVersion", oci::kVersion},
               {"id", record.id},
               {"status", StatusName(status)},
               {"bundle", record.bundle}};
  if (record.init_pid != 0 && status != ContainerStatus::kStopped) json["pid"] = record.init_pid;
  if (!record.annotations.empty()) json["annotations"] = record.annotations;
  return json;
}

std::string StateJson(const Record& record, ContainerStatus status) {
  return StateObject(record, status).dump();
}

}  // namespace ocirun::container
