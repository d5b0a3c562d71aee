// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "base/file.h"
#include "base/path.h"
#include "base/sys/file.h"
#include "base/sys/mount.h"
#include "base/sys/process.h"
#include "base/sys/socket.h"
#include "base/text.h"
#include "ocirun/container/checkpoint.h"
#include "ocirun/container/create.h"
#include "ocirun/container/criu.h"
#include "ocirun/container/environment.h"
#include "ocirun/container/hooks.h"
#include "ocirun/init/sync.h"
#include "ocirun/linux/devices.h"
#include "ocirun/linux/mount_options.h"
#include "ocirun/linux/mounts.h"
#include "ocirun/log/log.h"

namespace ocirun::container {
namespace {

using oci::NamespaceType;

bool IsCgroup(const oci::Mount& mount) { return mount.type == "cgroup" || mount.type == "cgroup2"; }

// CRIU brings a tmpfs back with what is in it.
bool IsOnTmpfs(const oci::Spec& spec, const std::string& destination) {
  for (const oci::Mount& mount : spec.mounts)
    if (mount.type == "tmpfs" && destination.rfind(mount.destination + "/", 0) == 0) return true;
  return false;
}

// Makes the places to mount on that are missing, as `create` does: also those inside of bind
// mounts, which are therefore bound, in a mount namespace that is thrown away.
Status MakeMountPoints(const oci::Spec& spec) {
  RETURN_IF_ERROR(sys::Mount("", "/", "", MS_REC | MS_PRIVATE, ""));
  ASSIGN_OR_RETURN(const UniqueFd root, sys::Open(spec.root.path, O_PATH | O_DIRECTORY));
  const linux_::MountContext context{root, {}, spec.linux.mount_label};
  for (const oci::Mount& mount : spec.mounts) {
    const auto options = linux_::ParseMountOptions(mount);
    RETURN_IF_ERROR(options.status());
    if (IsCgroup(mount) || options->remount || IsOnTmpfs(spec, mount.destination)) continue;
    const Status made = options->bind ? linux_::MountInRoot(context, mount, UniqueFd())
                                      : MakeDirsInRoot(root, mount.destination, 0755).status();
    RETURN_IF_ERROR(Annotate(made, "mount point " + mount.destination));
  }
  return OkStatus();
}

Status MakeMountPointsAside(const oci::Spec& spec) {
  ASSIGN_OR_RETURN(auto sockets, sys::SocketPair());
  ASSIGN_OR_RETURN(const pid_t pid, sys::Clone(CLONE_NEWNS));
  if (pid == 0) {
    const Status made = MakeMountPoints(spec);
    if (!made.ok())
      IgnoreError(init::SendFailure(sockets.second, made), "the status says that it failed");
    ::_exit(made.ok() ? 0 : 1);
  }
  sockets.second.Reset();
  const Status made = init::ExpectEnd(
      sockets.first, [](UniqueFd) { return Internal("a descriptor that nobody asked for"); });
  ASSIGN_OR_RETURN(const int ended, sys::WaitPid(pid));
  if (made.ok() && ended != 0) return Internal("making mount points failed");
  return made;
}

// Where it can't be told, the path as it is: CRIU then says why.
std::string RealPath(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), ::free);
  return real ? real.get() : path;
}

// CRIU wants the root to be a mount point whose parent nothing is mounted over.
class RootForCriu {
 public:
  RootForCriu() = default;
  RootForCriu(const RootForCriu&) = delete;
  RootForCriu& operator=(const RootForCriu&) = delete;
  ~RootForCriu() {
    if (path_.empty()) return;
    IgnoreError(sys::Unmount(path_, MNT_DETACH), "it may not have been mounted");
    if (::rmdir(path_.c_str()) < 0) Warn("can't remove {}", path_);
  }

  Status Mount(const std::string& path, const std::string& rootfs) {
    RETURN_IF_ERROR(sys::MakeDir(path, 0755));
    path_ = path;
    path_ = RealPath(path);
    return sys::Mount(rootfs, path_, "", MS_BIND | MS_REC, "");
  }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Everything that a restore holds while it is under way.
struct Restoring {
  const Store& store;
  const CriuOptions& options;
  const oci::Spec& spec;
  cgroup::Manager* cgroups;
  Record record;
  UniqueFd console;
  RootForCriu root;
  std::vector<UniqueFd> namespaces;  // inherited by CRIU
};

// Those of the network and of process ids were left out of the image, and stand in by their key;
// the others CRIU can join.
Status AddNamespaces(Restoring* r, Json* opts) {
  for (const oci::Namespace& ns : r->spec.linux.namespaces) {
    if (ns.path.empty()) continue;
    if (ns.type == NamespaceType::kCgroup)
      return Unsupported("restore: criu can't join an existing cgroup namespace");
    if (ns.type != NamespaceType::kNetwork && ns.type != NamespaceType::kPid) {
      (*opts)["join_ns"].push_back({{"ns", oci::NamespaceProcName(ns.type)}, {"ns_file", ns.path}});
      continue;
    }
    auto fd = sys::Open(ns.path, O_RDONLY);
    if (!fd.ok())
      return Annotate(fd.status(), fmt::format("requested {} namespace {} does not exist",
                                               oci::NamespaceName(ns.type), ns.path));
    (*opts)["inherit_fd"].push_back(
        {{"key", ExternalNamespaceKey(ns.type)},
         {"fd", kFirstInheritedFd + static_cast<int>(r->namespaces.size())}});
    r->namespaces.push_back(std::move(*fd));
  }
  return OkStatus();
}

Status AddMounts(const Restoring& r, Json* opts) {
  Json mounts = Json::array();
  for (const auto& [destination, source] : FindHostMounts(r.spec, r.cgroups->View())) {
    ASSIGN_OR_RETURN(const std::string key, ResolveInRoot(r.spec.root.path, destination));
    // CRIU looks at the last part of the path, which must be a name: not the "." of a bundle.
    mounts.push_back(ExternalMount(key, RealPath(source)));
  }
  if (!r.spec.linux.masked_paths.empty()) mounts.push_back(ExternalMount("/dev/null", "/dev/null"));
  for (const std::string& path : linux_::DevicePaths(r.spec))
    mounts.push_back(ExternalMount(path, path));
  (*opts)["ext_mnt"] = std::move(mounts);
  return OkStatus();
}

// The image knows the cgroups of the container that it was made of; these take their place.
// "4:a,b:/x"
Status AddCgroupRoots(pid_t criu, Json* opts) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(fmt::format("/proc/{}/cgroup", criu)));
  for (const std::string_view line : SplitWords(text, "\n")) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    std::string controllers(line.substr(first + 1, second - first - 1));
    if (controllers.rfind("name=", 0) == 0) controllers.erase(0, 5);
    (*opts)["cg_root"].push_back({{"ctrl", controllers}, {"path", line.substr(second + 1)}});
  }
  return OkStatus();
}

Status AddInheritedPipes(const CriuOptions& options, Json* opts) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(options.image_path + "/descriptors.json"));
  ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  ASSIGN_OR_RETURN(const auto descriptors, JsonView(json).Strings());
  for (Json& pipe : InheritedPipes(descriptors)) (*opts)["inherit_fd"].push_back(std::move(pipe));
  return OkStatus();
}

Status RunRuntimeHooks(const Restoring& r, pid_t pid) {
  Record record = r.record;
  record.init_pid = pid;
  RETURN_IF_ERROR(
      RunHooks(r.spec.hooks.prestart, "prestart", StateJson(record, ContainerStatus::kCreated)));
  return RunHooks(r.spec.hooks.create_runtime, "createRuntime",
                  StateJson(record, ContainerStatus::kCreating));
}

// The processes are there and do not run yet: from their first moment on the state is true.
Status SaveRestored(Restoring* r, pid_t pid) {
  r->record.init_pid = pid;
  ASSIGN_OR_RETURN(r->record.init_start_time, sys::ProcessStartTime(pid));
  r->record.cgroups = r->cgroups->View();
  r->record.unit = r->cgroups->Unit();
  return r->store.Save(r->record);
}

Status Notified(Restoring* r, const Notification& notification) {
  if (notification.script == "setup-namespaces") return RunRuntimeHooks(*r, notification.pid);
  if (notification.script == "post-restore") return SaveRestored(r, notification.pid);
  if (notification.script != "orphan-pts-master") return OkStatus();
  if (!notification.fd.valid() || !r->console.valid())
    return FailedPrecondition("the checkpoint has a terminal: restore it with --console-socket");
  return sys::SendFd(r->console, notification.fd, "orphan-pts-master");
}

Status RunCriu(Restoring* r, Json opts) {
  ASSIGN_OR_RETURN(const CriuFolders folders, OpenCriuFolders(r->options, &opts));
  RETURN_IF_ERROR(AddInheritedPipes(r->options, &opts));
  RETURN_IF_ERROR(AddNamespaces(r, &opts));
  RETURN_IF_ERROR(AddMounts(*r, &opts));
  RETURN_IF_ERROR(r->root.Mount(r->store.Folder(r->record.id) + "/criu-root", r->spec.root.path));
  opts["root"] = r->root.path();
  ASSIGN_OR_RETURN(cgroup::Entry entry, r->cgroups->OpenEntry({}));
  CriuSetup setup{
      .log_file = folders.log_folder + "/restore.log", .cgroups = &entry, .share_stdio = true};
  for (const UniqueFd& fd : r->namespaces) setup.inherited.push_back(&fd);
  ASSIGN_OR_RETURN(Criu criu, Criu::Start(setup));
  RETURN_IF_ERROR(criu.CheckVersion(30000).status());
  if (!r->options.lsm_profile.empty() || !r->options.lsm_mount_context.empty())
    RETURN_IF_ERROR(Annotate(criu.CheckVersion(31600).status(),
                             "--lsm-profile and --lsm-mount-context require at least CRIU 3.16"));
  if (r->options.lazy_pages) RETURN_IF_ERROR(criu.CheckFeature("lazy_pages"));
  RETURN_IF_ERROR(AddCgroupRoots(criu.pid(), &opts));
  if (r->spec.linux.intel_rdt.has_value())
    RETURN_IF_ERROR(linux_::EnterRdtGroup(r->record.resctrl, *r->spec.linux.intel_rdt, r->record.id,
                                          criu.pid()));
  return criu
      .Run({{"type", "RESTORE"}, {"opts", std::move(opts)}},
           [&](const Notification& notification) { return Notified(r, notification); })
      .status();
}

}  // namespace

StatusOr<Record> Restore(const Store& store, const CreateOptions& create, Bundle bundle,
                         const CriuOptions& options) {
  oci::Spec& spec = bundle.spec;
  RETURN_IF_ERROR(CheckBundle(create, spec));
  ASSIGN_OR_RETURN(const Json opts, RestoreOptions(options, spec));
  ASSIGN_OR_RETURN(const UniqueFd lock, store.LockNew(create.id));
  RETURN_IF_ERROR(store.Add(create.id, bundle.text));
  Undo remove_state([&] {
    IgnoreError(store.Remove(create.id), "undoing: the first error is the one to report");
  });
  if (const auto notify = NotifySocket::FromEnvironment(store, create.id)) {
    RETURN_IF_ERROR(notify->MakeFolder());
    notify->AddTo(&spec);
  }
  UniqueFd console;
  if (!create.console_socket.empty()) {
    ASSIGN_OR_RETURN(console, sys::ConnectUnix(create.console_socket, SOCK_STREAM));
  }
  RETURN_IF_ERROR(MakeMountPointsAside(spec));
  Record record = NewRecord(create, spec);
  ASSIGN_OR_RETURN(const auto cgroups, MakeCgroups(store, spec, create, &record));
  // What criu makes waits for nobody.
  RETURN_IF_ERROR(store.SaveHalf(record));
  Undo remove_cgroups([&] {
    IgnoreError(cgroups->KillAll(SIGKILL), "undoing: what criu made may be left");
    IgnoreError(cgroups->Destroy(), "undoing: the first error is the one to report");
  });
  {
    Restoring restoring{store, options, spec, cgroups.get(), record, std::move(console), {}, {}};
    RETURN_IF_ERROR(MakeRdtGroup(spec, &restoring.record));
    Undo remove_rdt([&] {
      IgnoreError(linux_::RemoveRdtGroup(restoring.record.rdt),
                  "undoing: the first error is the one to report");
    });
    Undo run_poststop([&] {
      // config.md#poststop: whatever hooks made before the failure is theirs to undo.
      RunPoststopHooks(spec.hooks.poststop, StateJson(restoring.record, ContainerStatus::kStopped));
    });
    RETURN_IF_ERROR(RunCriu(&restoring, opts));
    RETURN_IF_ERROR(cgroups->Entered());
    record = restoring.record;
    const Status handed = HandOver({create.pid_file, create.pidfd_socket}, record.init_pid);
    if (!handed.ok()) {
      IgnoreError(sys::Kill(record.init_pid, SIGKILL), "it may have ended");
      IgnoreError(sys::WaitPid(record.init_pid).status(), "it may have been reaped");
      return handed;
    }
    run_poststop.Release();
    remove_rdt.Release();
  }
  remove_cgroups.Release();
  remove_state.Release();
  return record;
}

}  // namespace ocirun::container
