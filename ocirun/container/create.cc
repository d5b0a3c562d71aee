// SPDX-License-Identifier: Apache-2.0
#include "ocirun/container/create.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/sys/socket.h"
#include "ocirun/cgroup/manager.h"
#include "ocirun/container/checkpoint.h"
#include "ocirun/container/clone.h"
#include "ocirun/container/environment.h"
#include "ocirun/container/hooks.h"
#include "ocirun/container/lifecycle.h"
#include "ocirun/init/init.h"
#include "ocirun/init/sync.h"
#include "ocirun/linux/idmap.h"
#include "ocirun/linux/limits.h"
#include "ocirun/linux/lsm.h"
#include "ocirun/linux/mount_options.h"
#include "ocirun/linux/mounts.h"
#include "ocirun/linux/net_devices.h"
#include "ocirun/linux/proc.h"
#include "ocirun/linux/resctrl.h"
#include "ocirun/linux/seccomp.h"
#include "ocirun/linux/self_exe.h"
#include "ocirun/log/log.h"

namespace ocirun::container {
namespace {

using oci::NamespaceType;

Status CheckOptions(const CreateOptions& options, const oci::Spec& spec) {
  if (!spec.process.has_value()) return InvalidArgument("process: is missing, must be an object");
  if (spec.process->terminal && options.console_socket.empty())
    return InvalidArgument(
        "cannot allocate tty if runc will detach without setting console socket");
  if (!spec.process->terminal && !options.console_socket.empty())
    return InvalidArgument("cannot use console socket if runc will not detach or allocate tty");
  if (::geteuid() != 0 && spec.linux.Find(NamespaceType::kUser) == nullptr)
    return InvalidArgument("linux.namespaces: rootless container requires user namespaces");
  RETURN_IF_ERROR(CheckEnvironment(spec.process->env));
  RETURN_IF_ERROR(linux_::CheckLabels(*spec.process));
  return linux_::CheckSysctls(spec);
}

// The container's root may make cgroups below its own when it sees them writable, in a cgroup
// namespace of its own: then they are to belong to it (as runc does).
bool MayDelegate(const oci::Spec& spec) {
  if (!spec.linux.Makes(NamespaceType::kUser) || !spec.linux.Makes(NamespaceType::kCgroup))
    return false;
  return std::any_of(spec.mounts.begin(), spec.mounts.end(), [](const oci::Mount& mount) {
    const auto options = linux_::ParseMountOptions(mount);
    return (mount.type == "cgroup" || mount.type == "cgroup2") && options.ok() &&
           (options->set & MOUNT_ATTR_RDONLY) == 0;
  });
}

// The host's id of the container's root; nobody's when it is not mapped.
std::optional<uid_t> HostRoot(const std::vector<oci::IdMapping>& uids) {
  for (const oci::IdMapping& mapping : uids)
    if (mapping.container_id == 0) return mapping.host_id;
  return std::nullopt;
}

Status NoteCgroups(const Store& store, const cgroup::Manager& manager, Record* record) {
  record->cgroups = manager.View();
  record->unit = manager.Unit();
  return store.SaveHalf(*record);
}

// In runc's words.
void WarnOfStrays() {
  Warn(
      "Creating a container with no cgroup and no private pid namespace. Such configuration is "
      "strongly discouraged (as it is impossible to properly kill all container's processes)");
}

// A cgroup that is asked for by its path is made, or nothing is.
cgroup::Tolerance ToleranceOf(const CreateOptions& options, const oci::Spec& spec) {
  if (!options.tolerate_cgroups) return cgroup::Tolerance::kNone;
  return spec.linux.cgroups_path.empty() ? cgroup::Tolerance::kSkipForbidden
                                         : cgroup::Tolerance::kSkipUnified;
}

StatusOr<std::unique_ptr<cgroup::Manager>> NewManager(const oci::Spec& spec,
                                                      const CreateOptions& options) {
  switch (options.cgroup_driver) {
    case cgroup::Driver::kDisabled:
      return cgroup::NewDisabledManager();
    case cgroup::Driver::kSystemd:
      return cgroup::NewSystemdManager(spec, options.id, options.tolerate_cgroups);
    case cgroup::Driver::kCgroupfs:
      break;
  }
  return cgroup::NewHostManager(spec.linux.cgroups_path, options.id, ToleranceOf(options, spec));
}

}  // namespace

// With a relative or missing path v2 and v1 differ in nothing that matters here; no cgroup at all
// is right only for a host that has none and a configuration that asks for nothing.
StatusOr<std::unique_ptr<cgroup::Manager>> MakeCgroups(const Store& store, const oci::Spec& spec,
                                                       const CreateOptions& options,
                                                       Record* record) {
  ASSIGN_OR_RETURN(auto manager, NewManager(spec, options));
  // Where systemd makes them, only it can say which.
  const bool systemd = options.cgroup_driver == cgroup::Driver::kSystemd;
  record->owns_cgroups = false;
  if (!systemd) RETURN_IF_ERROR(NoteCgroups(store, *manager, record));
  RETURN_IF_ERROR(Annotate(manager->Create(), "unable to apply cgroup configuration"));
  if (manager->View().empty() && !spec.linux.Makes(NamespaceType::kPid)) WarnOfStrays();
  record->owns_cgroups = true;  // this, and which they are, is noted with init
  record->cgroup_inodes = cgroup::InodesOf(manager->View());
  Status set = systemd ? NoteCgroups(store, *manager, record) : OkStatus();
  if (set.ok()) set = manager->Set(spec.linux.resources);
  if (const auto owner = HostRoot(spec.linux.uid_mappings); set.ok() && owner && MayDelegate(spec))
    set = manager->Delegate(*owner);
  if (!set.ok()) IgnoreError(manager->Destroy(), "the error that counts is the first");
  RETURN_IF_ERROR(set);
  return manager;
}

Status EnterMounts(const UniqueFd& mounts, const UniqueFd& root) {
  RETURN_IF_ERROR(sys::SetNs(mounts, CLONE_NEWNS));
  if (::fchdir(root.get()) < 0) return SysError(errno, "fchdir");
  if (::chroot(".") < 0) return SysError(errno, "chroot");
  return OkStatus();
}

namespace {

// Opens the source of a mount in the mount namespace of init, with the rights of the runtime.
StatusOr<UniqueFd> OpenSourceForInit(const init::InitContext& context, pid_t init, size_t index) {
  if (index >= context.spec.mounts.size()) return Internal("no mount {}", index);
  ASSIGN_OR_RETURN(const UniqueFd own, sys::Open("/proc/self/ns/mnt", O_RDONLY));
  ASSIGN_OR_RETURN(const UniqueFd folder, sys::Open(".", O_PATH | O_DIRECTORY));
  ASSIGN_OR_RETURN(const UniqueFd own_root, sys::Open("/", O_PATH | O_DIRECTORY));
  ASSIGN_OR_RETURN(const UniqueFd theirs,
                   sys::Open(fmt::format("/proc/{}/ns/mnt", init), O_RDONLY));
  ASSIGN_OR_RETURN(const UniqueFd their_root,
                   sys::Open(fmt::format("/proc/{}/root", init), O_PATH | O_DIRECTORY));
  const UniqueFd* user = FindJoined(context.joined, NamespaceType::kUser);
  const UniqueFd none;
  RETURN_IF_ERROR(EnterMounts(theirs, their_root));
  auto source = linux_::OpenSourceTree(context.spec.mounts[index], context.spec.linux,
                                       user != nullptr ? *user : none);
  RETURN_IF_ERROR(EnterMounts(own, own_root));
  if (::fchdir(folder.get()) < 0) return SysError(errno, "fchdir");
  return source;
}

// The parent's side of init/sync.h, up to kReady.
Status Accompany(const UniqueFd& socket, const init::InitContext& context, const Record& record) {
  const oci::Hooks& hooks = context.spec.hooks;
  const auto open_source = [&](size_t index) {
    return OpenSourceForInit(context, record.init_pid, index);
  };
  RETURN_IF_ERROR(init::SendMessage(socket, init::Message::kGo));
  linux_::ReleaseSelf(linux_::Release::kNow);
  if (!hooks.prestart.empty() || !hooks.create_runtime.empty()) {
    RETURN_IF_ERROR(init::ExpectServing(socket, init::Message::kRunHooks, open_source));
    // prestart is from the days when a container was created by then (config.md#prestart).
    RETURN_IF_ERROR(
        RunHooks(hooks.prestart, "prestart", StateJson(record, ContainerStatus::kCreated)));
    RETURN_IF_ERROR(RunHooks(hooks.create_runtime, "createRuntime",
                             StateJson(record, ContainerStatus::kCreating)));
    RETURN_IF_ERROR(init::SendMessage(socket, init::Message::kGo));
  }
  return init::ExpectServing(socket, init::Message::kReady, open_source);
}

}  // namespace

Record NewRecord(const CreateOptions& options, const oci::Spec& spec) {
  Record record;
  record.id = options.id;
  record.oci_version = spec.version;
  record.bundle = options.bundle;
  record.rootfs = spec.root.path;
  record.created = NowUnixNanos();
  record.owner = ::geteuid();
  record.annotations = spec.annotations;
  record.later = NeedsOf(spec);
  record.may_trace = MayTrace(spec.process);
  record.new_keyring = options.new_keyring;
  record.descriptors = StandardDescriptors();
  return record;
}

namespace {

// Everything init needs; the descriptors of the parent's side are not part of it.
StatusOr<init::InitContext> NewContext(const Store& store, const CreateOptions& options,
                                       const oci::Spec& spec) {
  init::InitContext context{.spec = spec,
                            .root_change = options.root_change,
                            .new_keyring = options.new_keyring,
                            .runtime_is_root = ::geteuid() == 0,
                            .preserve_fds = options.preserve_fds};
  if (spec.linux.Find(NamespaceType::kMount) == nullptr)
    context.root_change = linux_::RootChange::kChroot;
  ASSIGN_OR_RETURN(context.joined, OpenNamespaces(spec.linux));
  ASSIGN_OR_RETURN(context.proc, linux_::OpenProc());
  ASSIGN_OR_RETURN(context.seccomp, linux_::SeccompOf(spec, store.SeccompCache()));
  if (!options.console_socket.empty()) {
    ASSIGN_OR_RETURN(context.console, sys::ConnectUnix(options.console_socket, SOCK_STREAM));
  }
  ASSIGN_OR_RETURN(context.start, sys::ListenUnix(store.StartSocket(options.id), SOCK_SEQPACKET));
  return context;
}

// A joined network namespace is known by its descriptor, a new one by who is in it.
Status MoveNetDevices(const init::InitContext& context, const oci::Linux& config, pid_t pid) {
  if (config.net_devices.empty()) return OkStatus();
  if (const UniqueFd* joined = FindJoined(context.joined, NamespaceType::kNetwork))
    return linux_::MoveNetDevices(config.net_devices, *joined);
  ASSIGN_OR_RETURN(const UniqueFd made, sys::Open(fmt::format("/proc/{}/ns/net", pid), O_RDONLY));
  return linux_::MoveNetDevices(config.net_devices, made);
}

}  // namespace

Status MakeRdtGroup(const oci::Spec& spec, Record* record) {
  if (!spec.linux.intel_rdt.has_value()) return OkStatus();
  ASSIGN_OR_RETURN(const std::string mountinfo, ReadFile("/proc/self/mountinfo"));
  ASSIGN_OR_RETURN(record->resctrl, linux_::FindResctrl(mountinfo));
  ASSIGN_OR_RETURN(record->rdt,
                   linux_::MakeRdtGroup(record->resctrl, *spec.linux.intel_rdt, record->id));
  return OkStatus();
}

namespace {

// From the clone to kReady. The record has the process when this succeeds, and is noted. The result
// is the socket on which init waits to hear that the container is kept; it ends when it hears
// nothing.
StatusOr<UniqueFd> StartInit(const Store& store, init::InitContext* context, const oci::Spec& spec,
                             cgroup::Manager* cgroups, Record* record) {
  ASSIGN_OR_RETURN(auto sockets, sys::SocketPair());
  context->parent = std::move(sockets.second);
  context->cgroups = cgroups->View();
  if (context->cgroups.empty()) {
    ASSIGN_OR_RETURN(context->cgroups, cgroup::CallersView());
  }
  ASSIGN_OR_RETURN(context->cgroups_entry, cgroups->OpenEntry({}));
  context->record = *record;
  // Init is as visible as we are, and in a shared pid namespace a container of the host's root owns
  // a user namespace that we make, with every capability in it: not for a moment may it look at an
  // init that has the host's root. An ordinary user's is hidden when its id maps are written
  // (init.cc).
  if (context->runtime_is_root && ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
    return SysError(errno, "prctl PR_SET_DUMPABLE");
  const auto run = [&] {
    sockets.first.Reset();
    init::RunInit(context);
  };
  ASSIGN_OR_RETURN(const pid_t pid,
                   CloneInit(spec.linux, context->joined, &context->cgroups_entry, run));
  sys::ChildGuard guard(pid);
  context->parent.Reset();
  context->console.Reset();
  context->cgroups_entry = {};
  record->init_pid = pid;
  ASSIGN_OR_RETURN(record->init_start_time, sys::ProcessStartTime(pid));
  // From here on it may run hooks, and they others.
  RETURN_IF_ERROR(store.SaveHalf(*record));
  if (spec.process->oom_score_adj.has_value())
    RETURN_IF_ERROR(linux_::SetOomScoreAdj(pid, *spec.process->oom_score_adj));
  if (spec.linux.Makes(NamespaceType::kUser))
    RETURN_IF_ERROR(Annotate(
        linux_::WriteIdMaps(pid, spec.linux.uid_mappings, spec.linux.gid_mappings), "linux"));
  RETURN_IF_ERROR(MoveNetDevices(*context, spec.linux, pid));
  if (spec.linux.intel_rdt.has_value())
    RETURN_IF_ERROR(linux_::EnterRdtGroup(record->resctrl, *spec.linux.intel_rdt, record->id, pid));
  RETURN_IF_ERROR(Accompany(sockets.first, *context, *record));
  RETURN_IF_ERROR(cgroups->Entered());
  (void)guard.Release();
  return std::move(sockets.first);
}

Status HideFromOthers(const oci::Spec& spec, const std::string& path) {
  if (!MeetsStrangers(spec.linux)) return OkStatus();
  ASSIGN_OR_RETURN(const struct stat st, sys::StatPath(path));
  if (!S_ISREG(st.st_mode))
    return InvalidArgument(
        "{} must be a regular file: to join a pid namespace it is read once more", path);
  linux_::HideSelf();
  return OkStatus();
}

}  // namespace

StatusOr<Bundle> ReadBundle(const CreateOptions& options) {
  const std::string& other = options.config_file;
  const std::string path = other.empty() ? options.bundle + "/config.json" : other;
  auto text = ReadFile(path);
  if (!text.ok()) return Annotate(text.status(), other.empty() ? "bundle" : "--config");
  ASSIGN_OR_RETURN(oci::Spec spec, oci::Parse(*text, options.bundle));
  RETURN_IF_ERROR(HideFromOthers(spec, path));
  return Bundle{std::move(*text), std::move(spec)};
}

Status CheckBundle(const CreateOptions& options, const oci::Spec& spec) {
  RETURN_IF_ERROR(CheckId(options.id));
  RETURN_IF_ERROR(CheckOptions(options, spec));
  for (const std::string& warning : spec.warnings) Warn("{}", warning);
  return OkStatus();
}

namespace {

Status SendPidfd(const std::string& socket, pid_t pid) {
  ASSIGN_OR_RETURN(const UniqueFd receiver, sys::ConnectUnix(socket, SOCK_STREAM));
  const auto pidfd = sys::PidfdOpen(pid);
  if (ErrnoOf(pidfd.status()) == ENOSYS) return Annotate(pidfd.status(), "a pidfd needs Linux 5.3");
  RETURN_IF_ERROR(pidfd.status());
  return sys::SendFd(receiver, *pidfd, "pidfd");
}

// A limit that does not even hold init ends it without a word. In runc's words.
Status WhyNotStarted(const Status& error, const cgroup::Manager& cgroups) {
  if (error.code() != StatusCode::kInternal) return error;  // it could say why
  const auto events = cgroups.ReadStatistics().memory.events;
  const auto kills = events.find("oom_kill");
  if (kills == events.end() || kills->second == 0) return error;
  return Annotate(error, "container init was OOM-killed (memory limit too low?)");
}

// crun's: the caller of an engine that has no --pidfd-socket may name one of his own.
Status SendPidfdToAnnotated(const oci::Spec& spec, pid_t pid) {
  constexpr char kReceiver[] = "run.oci.pidfd_receiver";
  const auto receiver = spec.annotations.find(kReceiver);
  if (receiver == spec.annotations.end()) return OkStatus();
  return Annotate(SendPidfd(receiver->second, pid), fmt::format("annotations.{}", kReceiver));
}

}  // namespace

Status HandOver(const Handover& to, pid_t pid) {
  if (!to.pidfd_socket.empty())
    RETURN_IF_ERROR(Annotate(SendPidfd(to.pidfd_socket, pid), "--pidfd-socket"));
  if (!to.pid_file.empty()) RETURN_IF_ERROR(WriteFileAtomic(to.pid_file, std::to_string(pid)));
  return OkStatus();
}

namespace {

// For the execs into containers that are in the pid namespace which this one joins.
Status NoteTracer(const Store& store, const oci::Spec& spec) {
  if (!spec.linux.Joins(NamespaceType::kPid) || spec.linux.Find(NamespaceType::kUser) != nullptr ||
      !MayTrace(spec.process))
    return OkStatus();
  const auto pids = sys::StatPath(spec.linux.Find(NamespaceType::kPid)->path);
  return pids.ok() ? store.NoteTracer(*pids) : OkStatus();  // where it is opened it is an error
}

}  // namespace

StatusOr<Record> Create(const Store& store, CreateOptions options, Bundle bundle) {
  oci::Spec& spec = bundle.spec;
  RETURN_IF_ERROR(CheckBundle(options, spec));
  RETURN_IF_ERROR(NoteTracer(store, spec));
  options.preserve_fds += PassListenFds(&*spec.process);
  RETURN_IF_ERROR(CheckPreservedFds(options.preserve_fds));
  ASSIGN_OR_RETURN(const UniqueFd lock, store.LockNew(options.id));
  RETURN_IF_ERROR(store.Add(options.id, bundle.text));
  Undo remove_state([&] {
    IgnoreError(store.Remove(options.id), "undoing: the first error is the one to report");
  });
  if (const auto notify = NotifySocket::FromEnvironment(store, options.id)) {
    RETURN_IF_ERROR(notify->MakeFolder());
    notify->AddTo(&spec);
  }
  Record record = NewRecord(options, spec);
  ASSIGN_OR_RETURN(init::InitContext context, NewContext(store, options, spec));
  ASSIGN_OR_RETURN(const auto cgroups, MakeCgroups(store, spec, options, &record));
  Undo remove_cgroups([&] {
    IgnoreError(cgroups->KillAll(SIGKILL), "undoing: init may have left children");
    IgnoreError(cgroups->Destroy(), "undoing: the first error is the one to report");
  });
  RETURN_IF_ERROR(MakeRdtGroup(spec, &record));
  Undo remove_rdt([&] {
    IgnoreError(linux_::RemoveRdtGroup(record.rdt),
                "undoing: the first error is the one to report");
  });
  Undo run_poststop([&] {
    // config.md#poststop: whatever hooks made before the failure is theirs to undo.
    RunPoststopHooks(spec.hooks.poststop, StateJson(record, ContainerStatus::kStopped));
  });
  const auto init = StartInit(store, &context, spec, cgroups.get(), &record);
  if (!init.ok()) return Annotate(WhyNotStarted(init.status(), *cgroups), kNotStarted);
  Undo kill([&] {
    IgnoreError(sys::Kill(record.init_pid, SIGKILL), "it may have ended");
    IgnoreError(sys::WaitPid(record.init_pid).status(), "it may have been reaped");
  });
  RETURN_IF_ERROR(store.Complete(record.id));
  RETURN_IF_ERROR(SendPidfdToAnnotated(spec, record.init_pid));
  RETURN_IF_ERROR(HandOver({options.pid_file, options.pidfd_socket}, record.init_pid));
  RETURN_IF_ERROR(init::SendMessage(*init, init::Message::kGo));
  kill.Release();
  run_poststop.Release();
  remove_rdt.Release();
  remove_cgroups.Release();
  remove_state.Release();
  return record;
}

}  // namespace ocirun::container
