// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/sys/socket.h"
#include "ocirun/cgroup/manager.h"
#include "ocirun/container/hooks.h"
#include "ocirun/container/lifecycle.h"
#include "ocirun/init/init.h"
#include "ocirun/init/sync.h"
#include "ocirun/linux/limits.h"
#include "ocirun/linux/seccomp.h"

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
  return linux_::CheckSysctls(spec.linux);
}

// Opens the namespaces to join and checks that each is of the type that it should be.
StatusOr<std::vector<init::JoinedNamespace>> OpenNamespaces(const oci::Linux& config) {
  std::vector<init::JoinedNamespace> out;
  for (const oci::Namespace& ns : config.namespaces) {
    if (ns.path.empty()) continue;
    if (ns.type == NamespaceType::kUser)
      return Unsupported("linux.namespaces: joining a user namespace is not supported");
    auto fd = sys::Open(ns.path, O_RDONLY);
    if (!fd.ok()) return Annotate(fd.status(), "linux.namespaces");
    constexpr unsigned long kNsGetNstype = 0xb703;  // NS_GET_NSTYPE, linux/nsfs.h
    const int type = ::ioctl(fd->get(), kNsGetNstype);
    if (type < 0 || static_cast<uint64_t>(type) != oci::NamespaceFlag(ns.type))
      return InvalidArgument("linux.namespaces: {} is not a {} namespace", ns.path,
                             oci::NamespaceName(ns.type));
    out.push_back({ns.type, std::move(*fd)});
  }
  return out;
}

uint64_t CloneFlags(const oci::Linux& config) {
  uint64_t flags = 0;
  for (const oci::Namespace& ns : config.namespaces)
    // The cgroup namespace comes later, when init is in its cgroup.
    if (ns.path.empty() && ns.type != NamespaceType::kCgroup) flags |= oci::NamespaceFlag(ns.type);
  return flags;
}

// A child goes into the pid namespace that its parent has chosen, so it is chosen for the clone
// only: hooks that run later belong into ours.
StatusOr<pid_t> CloneInit(const oci::Linux& config,
                          const std::vector<init::JoinedNamespace>& joined) {
  for (const init::JoinedNamespace& ns : joined) {
    if (ns.type != NamespaceType::kPid) continue;
    ASSIGN_OR_RETURN(const UniqueFd own, sys::Open("/proc/self/ns/pid", O_RDONLY));
    RETURN_IF_ERROR(Annotate(sys::SetNs(ns.fd, CLONE_NEWPID), "pid"));
    auto pid = sys::Clone(CloneFlags(config), nullptr);
    if (!pid.ok() || *pid > 0) RETURN_IF_ERROR(sys::SetNs(own, CLONE_NEWPID));
    return pid;
  }
  return sys::Clone(CloneFlags(config), nullptr);
}

Status WriteIdMaps(pid_t pid, const oci::Linux& config) {
  if (!config.Makes(NamespaceType::kUser)) return absl::OkStatus();
  const auto lines = [](const std::vector<oci::IdMapping>& mappings) {
    std::string text;
    for (const oci::IdMapping& m : mappings)
      text += fmt::format("{} {} {}\n", m.container_id, m.host_id, m.size);
    return text;
  };
  RETURN_IF_ERROR(
      Annotate(WriteFile(fmt::format("/proc/{}/uid_map", pid), lines(config.uid_mappings)),
               "linux.uidMappings"));
  return Annotate(WriteFile(fmt::format("/proc/{}/gid_map", pid), lines(config.gid_mappings)),
                  "linux.gidMappings");
}

// With a relative or missing path v2 and v1 differ in nothing that matters here; no cgroup at all
// is right only for a host that has none and a configuration that asks for nothing.
StatusOr<std::unique_ptr<cgroup::Manager>> MakeCgroups(const oci::Spec& spec,
                                                       const std::string& id) {
  ASSIGN_OR_RETURN(auto manager, cgroup::NewHostManager(spec.linux.cgroups_path, id));
  RETURN_IF_ERROR(manager->Create());
  const Status set = manager->Set(spec.linux.resources);
  if (!set.ok()) IgnoreError(manager->Destroy(), "the error that counts is the first");
  RETURN_IF_ERROR(set);
  return manager;
}

// The parent's side of init/sync.h, up to kReady.
Status Accompany(const UniqueFd& socket, const oci::Hooks& hooks, const Record& record) {
  RETURN_IF_ERROR(init::SendMessage(socket, init::Message::kGo));
  if (!hooks.prestart.empty() || !hooks.create_runtime.empty()) {
    RETURN_IF_ERROR(init::Expect(socket, init::Message::kRunHooks));
    const std::string state = StateJson(record, ContainerStatus::kCreating);
    RETURN_IF_ERROR(RunHooks(hooks.prestart, "prestart", state));
    RETURN_IF_ERROR(RunHooks(hooks.create_runtime, "createRuntime", state));
    RETURN_IF_ERROR(init::SendMessage(socket, init::Message::kGo));
  }
  return init::Expect(socket, init::Message::kReady);
}

Record NewRecord(const CreateOptions& options, const oci::Spec& spec) {
  Record record;
  record.id = options.id;
  record.oci_version = spec.version;
  record.bundle = options.bundle;
  record.rootfs = spec.root.path;
  record.created = NowUnixNanos();
  record.owner = ::geteuid();
  record.annotations = spec.annotations;
  return record;
}

// Everything init needs; the descriptors of the parent's side are not part of it.
StatusOr<init::InitContext> NewContext(const Store& store, const CreateOptions& options,
                                       const oci::Spec& spec) {
  init::InitContext context{.spec = spec,
                            .root_change = options.root_change,
                            .new_keyring = options.new_keyring,
                            .preserve_fds = options.preserve_fds};
  ASSIGN_OR_RETURN(context.joined, OpenNamespaces(spec.linux));
  if (spec.linux.seccomp.has_value()) {
    ASSIGN_OR_RETURN(context.seccomp,
                     linux_::CachedSeccomp(*spec.linux.seccomp, store.SeccompCache()));
  }
  if (!options.console_socket.empty()) {
    ASSIGN_OR_RETURN(context.console, sys::ConnectUnix(options.console_socket, SOCK_STREAM));
  }
  ASSIGN_OR_RETURN(context.start, sys::ListenUnix(store.StartSocket(options.id), SOCK_SEQPACKET));
  return context;
}

// From the clone to kReady. The record has process and cgroups when this succeeds.
Status StartInit(init::InitContext* context, const oci::Spec& spec, cgroup::Manager* cgroups,
                 Record* record) {
  ASSIGN_OR_RETURN(auto sockets, sys::SocketPair());
  context->parent = std::move(sockets.second);
  context->cgroups = cgroups->View();
  ASSIGN_OR_RETURN(context->cgroup_entry, cgroups->OpenEntry());
  context->record = *record;
  ASSIGN_OR_RETURN(const pid_t pid, CloneInit(spec.linux, context->joined));
  if (pid == 0) {
    sockets.first.Reset();
    init::RunInit(context);
  }
  sys::ChildGuard guard(pid);
  context->parent.Reset();
  context->console.Reset();
  context->cgroup_entry.clear();
  if (spec.process->oom_score_adj.has_value())
    RETURN_IF_ERROR(linux_::SetOomScoreAdj(pid, *spec.process->oom_score_adj));
  RETURN_IF_ERROR(WriteIdMaps(pid, spec.linux));
  record->init_pid = pid;
  ASSIGN_OR_RETURN(record->init_start_time, sys::ProcessStartTime(pid));
  record->cgroups = cgroups->View();
  RETURN_IF_ERROR(Accompany(sockets.first, spec.hooks, *record));
  (void)guard.Release();
  return absl::OkStatus();
}

}  // namespace

StatusOr<Record> Create(const Store& store, const CreateOptions& options) {
  RETURN_IF_ERROR(CheckId(options.id));
  auto text = ReadFile(options.bundle + "/config.json");
  if (!text.ok()) return Annotate(text.status(), "bundle");
  ASSIGN_OR_RETURN(const oci::Spec spec, oci::Parse(*text, options.bundle));
  RETURN_IF_ERROR(CheckOptions(options, spec));
  ASSIGN_OR_RETURN(const UniqueFd lock, store.Lock(options.id));
  RETURN_IF_ERROR(store.Add(options.id, *text));
  Undo remove_state([&] {
    IgnoreError(store.Remove(options.id), "undoing: the first error is the one to report");
  });
  Record record = NewRecord(options, spec);
  ASSIGN_OR_RETURN(init::InitContext context, NewContext(store, options, spec));
  ASSIGN_OR_RETURN(const auto cgroups, MakeCgroups(spec, options.id));
  Undo remove_cgroups([&] {
    IgnoreError(cgroups->KillAll(SIGKILL), "undoing: init may have left children");
    IgnoreError(cgroups->Destroy(), "undoing: the first error is the one to report");
  });
  Undo run_poststop([&] {
    // config.md#poststop: whatever hooks made before the failure is theirs to undo.
    IgnoreError(
        RunHooks(spec.hooks.poststop, "poststop", StateJson(record, ContainerStatus::kStopped)),
        "undoing: the first error is the one to report");
  });
  RETURN_IF_ERROR(StartInit(&context, spec, cgroups.get(), &record));
  Undo kill([&] {
    IgnoreError(sys::Kill(record.init_pid, SIGKILL), "it may have ended");
    IgnoreError(sys::WaitPid(record.init_pid).status(), "it may have been reaped");
  });
  RETURN_IF_ERROR(store.Save(record));
  if (!options.pid_file.empty())
    RETURN_IF_ERROR(WriteFileAtomic(options.pid_file, std::to_string(record.init_pid)));
  kill.Release();
  run_poststop.Release();
  remove_cgroups.Release();
  remove_state.Release();
  return record;
}

Status Start(const Store& store, const std::string& id) {
  ASSIGN_OR_RETURN(const UniqueFd lock, store.Lock(id));
  ASSIGN_OR_RETURN(const Record record, store.Load(id));
  switch (store.StatusOf(record)) {
    case ContainerStatus::kCreated:
      break;
    case ContainerStatus::kStopped:
      return FailedPrecondition("cannot start a container that has stopped");
    default:
      return FailedPrecondition("cannot start an already running container");
  }
  ASSIGN_OR_RETURN(const UniqueFd socket, sys::ConnectUnix(store.StartSocket(id), SOCK_SEQPACKET));
  // Once init has accepted, a second start must not find the socket.
  IgnoreError(sys::Unlink(store.StartSocket(id)), "init has ended if it is gone");
  RETURN_IF_ERROR(init::ExpectEnd(socket));
  ASSIGN_OR_RETURN(const oci::Spec spec, store.LoadSpec(record));
  const Status hooks =
      RunHooks(spec.hooks.poststart, "poststart", StateJson(record, ContainerStatus::kRunning));
  if (!hooks.ok())
    IgnoreError(sys::Kill(record.init_pid, SIGKILL),
                "config.md#poststart: the container is stopped");
  return hooks;
}

}  // namespace ocirun::container
