// SPDX-License-Identifier: Apache-2.0
#include "ocirun/init/init.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <map>

#include "base/open_fds.h"
#include "base/path.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/sys/socket.h"
#include "ocirun/cgroup/manager.h"
#include "ocirun/container/hooks.h"
#include "ocirun/init/become.h"
#include "ocirun/init/sync.h"
#include "ocirun/linux/console.h"
#include "ocirun/linux/devices.h"
#include "ocirun/linux/hide.h"
#include "ocirun/linux/keyring.h"
#include "ocirun/linux/limits.h"
#include "ocirun/linux/proc.h"
#include "ocirun/linux/scheduling.h"
#include "ocirun/linux/time_namespace.h"
#include "ocirun/log/log.h"

namespace ocirun::init {
namespace {

using oci::NamespaceType;

// What the steps share, besides the context.
struct Progress {
  UniqueFd root;  // of the container, before and after it is "/"
  std::optional<linux_::Terminal> terminal;
  Command command;  // what will be executed
  std::map<size_t, UniqueFd>
      sources;  // of spec.mounts, by their place: those opened before their turn
};

// What the caller of the runtime had open is not the container's, and what the runtime itself has
// open ends with it: kept is only what the steps need, and what is to be passed on.
Status CloseTheRest(InitContext* c, Progress*) {
  std::vector<int> keep = {LogFd(), c->parent.get(), c->start.get(), c->console.get(),
                           c->proc.get()};
  for (int fd = 0; fd < 3 + c->preserve_fds; ++fd) keep.push_back(fd);
  for (const JoinedNamespace& ns : c->joined) keep.push_back(ns.fd.get());
  for (const UniqueFd& file : c->cgroups_entry.files) keep.push_back(file.get());
  c->cgroups_entry.folder.Reset();
  return CloseAllBut(std::move(keep));
}

Status WaitForParent(InitContext* c, Progress*) {
  // These lines are in runc's words: people and tests look for them in a debug log.
  Debug("nsexec container setup: the namespaces are made");
  Debug("child process in init()");
  RETURN_IF_ERROR(Expect(c->parent, Message::kGo));
  // Nobody in the container may look into this process, which still has the host's files open. Not
  // before the id maps are written: an ordinary user writes them as the owner of our /proc files.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return SysError(errno, "prctl PR_SET_DUMPABLE");
  // /proc is the runtime's still, so this is our number there and not 1.
  ASSIGN_OR_RETURN(const std::string self, sys::ReadLink("/proc/self"));
  std::from_chars(self.data(), self.data() + self.size(), c->record.init_pid);
  return OkStatus();
}

Status EnterCgroups(InitContext* c, Progress*) {
  RETURN_IF_ERROR(cgroup::Enter(c->cgroups_entry));
  c->cgroups_entry = {};
  // The CPUs that the caller of the runtime was bound to are not the container's: its cpuset is.
  IgnoreError(linux_::ResetCpuAffinity(), "then the caller's hold, as they would without this");
  return OkStatus();
}

// In a user namespace we are nobody until we take the mapped root.
Status TakeRoot(InitContext* c, Progress*) {
  if (c->spec.linux.Find(NamespaceType::kUser) == nullptr) return OkStatus();
  if (::setresgid(0, 0, 0) < 0) return SysError(errno, "setresgid");
  if (::setresuid(0, 0, 0) < 0) return SysError(errno, "setresuid");
  // The change of user made us dumpable again, or not: say it.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return SysError(errno, "prctl PR_SET_DUMPABLE");
  return OkStatus();
}

Status JoinNamespaces(InitContext* c, Progress*) {
  for (const JoinedNamespace& ns : c->joined) {
    if (JoinedAtClone(ns.type, c->spec.linux)) continue;
    RETURN_IF_ERROR(Annotate(sys::SetNs(ns.fd, static_cast<int>(oci::NamespaceFlag(ns.type))),
                             oci::NamespaceName(ns.type)));
  }
  return OkStatus();
}

Status NewCgroupNamespace(InitContext* c, Progress*) {
  if (!c->spec.linux.Makes(NamespaceType::kCgroup)) return OkStatus();
  if (::unshare(CLONE_NEWCGROUP) < 0) return SysError(errno, "unshare CLONE_NEWCGROUP");
  return OkStatus();
}

// Of a user namespace's root, to whom /dev/mqueue is to belong.
Status NewIpcNamespace(InitContext* c, Progress*) {
  const oci::Linux& config = c->spec.linux;
  if (!config.Makes(NamespaceType::kIpc) || config.Find(NamespaceType::kUser) == nullptr)
    return OkStatus();
  if (::unshare(CLONE_NEWIPC) < 0) return SysError(errno, "unshare CLONE_NEWIPC");
  return OkStatus();
}

// Of a user namespace's own. Not every kernel changes to it at exec (6.1 does not).
Status NewTimeNamespace(InitContext* c, Progress*) {
  const oci::Linux& config = c->spec.linux;
  if (!config.Makes(NamespaceType::kTime) || config.Find(NamespaceType::kUser) == nullptr)
    return OkStatus();
  RETURN_IF_ERROR(linux_::NewTimeNamespace(config.time_offsets));
  return linux_::EnterTimeNamespace();
}

Status NewSession(InitContext* c, Progress*) {
  if (::setsid() < 0) return SysError(errno, "setsid");
  if (!c->new_keyring) return OkStatus();
  return linux_::NewSessionKeyring(c->proc, c->record.id, c->spec.process->selinux_label);
}

Status LoopbackUp(InitContext* c, Progress*) {
  if (!c->spec.linux.Makes(NamespaceType::kNetwork)) return OkStatus();
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return SysError(errno, "socket");
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) < 0) return SysError(errno, "loopback up");
  return OkStatus();
}

Status SetNames(InitContext* c, Progress*) {
  const std::string& host = c->spec.hostname;
  if (!host.empty() && ::sethostname(host.data(), host.size()) < 0)
    return SysError(errno, "sethostname", host);
  const std::string& domain = c->spec.domainname;
  if (!domain.empty() && ::setdomainname(domain.data(), domain.size()) < 0)
    return SysError(errno, "setdomainname", domain);
  return OkStatus();
}

// Some sources only the runtime may open.
StatusOr<UniqueFd> OpenSource(InitContext* c, size_t index) {
  const oci::Mount& mount = c->spec.mounts[index];
  if (!c->runtime_is_root || !linux_::NeedsRuntime(mount, c->spec.linux))
    return linux_::OpenSourceTree(mount, c->spec.linux, UniqueFd());
  RETURN_IF_ERROR(RequestSource(c->parent, index));
  return ReceiveSource(c->parent);
}

Status OpenPeers(InitContext* c, Progress* p) {
  if (c->spec.linux.Find(NamespaceType::kMount) == nullptr) return OkStatus();
  for (size_t i = 0; i < c->spec.mounts.size(); ++i) {
    if (!linux_::GoesOut(c->spec.mounts[i], c->spec.linux)) continue;
    auto source = OpenSource(c, i);
    // In another mount of the container, and not there before that one.
    if (ErrnoOf(source.status()) == ENOENT) continue;
    RETURN_IF_ERROR(source.status());
    p->sources[i] = *std::move(source);
  }
  return OkStatus();
}

Status PrepareRoot(InitContext* c, Progress* p) {
  ASSIGN_OR_RETURN(p->root, linux_::PrepareRoot(c->spec));
  return OkStatus();
}

// A source is opened when its turn has come, since it may be in another mount.
Status MakeMount(InitContext* c, Progress* p, const linux_::MountContext& context, size_t index) {
  const oci::Mount& mount = c->spec.mounts[index];
  UniqueFd source;
  if (const auto early = p->sources.find(index); early != p->sources.end()) {
    source = std::move(early->second);
  } else if (c->runtime_is_root && linux_::NeedsRuntime(mount, c->spec.linux)) {
    ASSIGN_OR_RETURN(source, OpenSource(c, index));
  }
  return linux_::MountInRoot(context, mount, source);
}

Status MakeMounts(InitContext* c, Progress* p) {
  const oci::Linux& config = c->spec.linux;
  const bool is_user = config.Find(NamespaceType::kUser) != nullptr;
  const linux_::MountContext context{
      .root = p->root,
      .cgroups = c->cgroups,
      .label = config.mount_label,
      .cgroup_namespace = config.Find(NamespaceType::kCgroup) != nullptr,
      .host_proc = is_user && config.Find(NamespaceType::kPid) == nullptr,
      .host_sysfs = is_user && config.Find(NamespaceType::kNetwork) == nullptr};
  for (size_t i = 0; i < c->spec.mounts.size(); ++i) {
    const oci::Mount& mount = c->spec.mounts[i];
    RETURN_IF_ERROR(
        Annotate(MakeMount(c, p, context, i),
                 fmt::format("error mounting {:?} to rootfs at {:?}",
                             mount.source.empty() ? mount.type : mount.source, mount.destination)));
  }
  return OkStatus();
}

Status RuntimeHooks(InitContext* c, Progress*) {
  const oci::Hooks& hooks = c->spec.hooks;
  if (hooks.prestart.empty() && hooks.create_runtime.empty()) return OkStatus();
  RETURN_IF_ERROR(SendMessage(c->parent, Message::kRunHooks));
  return Expect(c->parent, Message::kGo);
}

Status ContainerHooks(InitContext* c, Progress* p) {
  if (c->spec.hooks.create_container.empty()) return OkStatus();
  // They see the host's files still, and begin in the container's, as runc's do.
  if (::fchdir(p->root.get()) < 0) return SysError(errno, "fchdir", "root file system");
  return container::RunHooks(c->spec.hooks.create_container, "createContainer",
                             StateJson(c->record, container::ContainerStatus::kCreating));
}

Status MakeDevices(InitContext* c, Progress* p) { return linux_::MakeDevices(p->root, c->spec); }

Status OpenConsole(InitContext* c, Progress* p) {
  const oci::Process& process = *c->spec.process;
  if (!process.terminal) return OkStatus();
  ASSIGN_OR_RETURN(p->terminal, linux_::OpenTerminal(p->root, process.console_size));
  RETURN_IF_ERROR(linux_::MakeConsole(p->root, p->terminal->slave));
  RETURN_IF_ERROR(sys::SendFd(c->console, p->terminal->master, p->terminal->slave_name));
  p->terminal->master.Reset();
  return OkStatus();
}

Status SetSysctls(InitContext* c, Progress* p) {
  if (c->spec.linux.sysctl.empty()) return OkStatus();
  // The container's procfs: ours may show /proc/sys read-only. What is no procfs must not pass for
  // one, or the sysctl would only seem to be set.
  ASSIGN_OR_RETURN(const UniqueFd proc, OpenInRoot(p->root, "proc", O_PATH | O_DIRECTORY));
  ASSIGN_OR_RETURN(const bool is_proc, linux_::IsProcRoot(proc));
  if (!is_proc) return FailedPrecondition("linux.sysctl: no procfs is mounted on /proc");
  return linux_::SetSysctls(c->spec.linux, proc);
}

// Inside the root, through no link that leads out of it (CVE-2026-55686).
Status MakeWorkingFolder(InitContext* c, Progress* p) {
  const std::string& cwd = c->spec.process->cwd;
  const auto there = OpenInRoot(p->root, cwd, O_PATH);
  // What is wrong with it otherwise is told by who enters it.
  if (ErrnoOf(there.status()) != ENOENT) return OkStatus();
  return MakeDirsInRoot(p->root, cwd, 0755).status();
}

Status HidePaths(InitContext* c, Progress* p) {
  RETURN_IF_ERROR(linux_::FinishReadOnly(p->root, c->spec.mounts));
  linux_::HiddenPaths places(p->root, c->spec.mounts);
  RETURN_IF_ERROR(linux_::MakeReadOnly(&places, c->spec.linux.readonly_paths));
  RETURN_IF_ERROR(linux_::MaskPaths(&places, c->spec.linux.masked_paths));
  return c->spec.root.readonly ? linux_::MakeRootReadOnly(p->root) : OkStatus();
}

Status ChangeRoot(InitContext* c, Progress* p) {
  return linux_::ChangeRoot(p->root, c->root_change, c->spec.linux.rootfs_propagation);
}

// The host's null device that the caller gave becomes the container's: a file of another mount
// namespace is something that criu can't save (runc does it, too).
Status OwnNullDevice(InitContext*, Progress*) {
  UniqueFd own;
  for (int fd = 0; fd < 3; ++fd) {
    struct stat st;
    if (::fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)) continue;
    if (!own)
      own = UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
    // Without one, or with something else of that name, the host's is right enough.
    if (::fstat(own.get(), &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
      return OkStatus();
    if (::fcntl(own.get(), F_SETFL, 0) < 0) return SysError(errno, "fcntl F_SETFL");
    if (::dup2(own.get(), fd) < 0) return SysError(errno, "dup2");
  }
  return OkStatus();
}

Status UseTerminal(InitContext* c, Progress* p) {
  if (!p->terminal.has_value()) return OkStatus();
  return linux_::UseTerminal(p->terminal->slave, c->spec.process->user);
}

Status FindCommand(InitContext* c, Progress* p) {
  ASSIGN_OR_RETURN(p->command, PrepareCommand(*c->spec.process));
  return OkStatus();
}

Status SetLimits(InitContext* c, Progress*) {
  if (c->spec.process->rlimits.empty()) return OkStatus();
  RETURN_IF_ERROR(linux_::SetRlimits(c->spec.process->rlimits));
  // `start` comes through a new descriptor, and nobody could be told that there can be none.
  return Annotate(sys::Duplicate(c->start).status(),
                  "RLIMIT_NOFILE: the container can't be started");
}

Status SetScheduling(InitContext* c, Progress*) {
  const oci::Process& process = *c->spec.process;
  const oci::Linux& config = c->spec.linux;
  if (process.scheduler.has_value()) RETURN_IF_ERROR(linux_::SetScheduler(*process.scheduler));
  if (process.io_priority.has_value()) RETURN_IF_ERROR(linux_::SetIoPriority(*process.io_priority));
  if (config.memory_policy.has_value())
    RETURN_IF_ERROR(linux_::SetMemoryPolicy(*config.memory_policy));
  if (config.personality.has_value()) return linux_::SetPersonality(*config.personality);
  return OkStatus();
}

// What the text of a step's failure begins with. Callers match these, as they match runc's.
enum class Blame {
  kStep,    // "error during container init: devices: …"
  kItem,    // "error during container init: …", where the step names what failed
  kCommand  // "…": nothing is wrong but what was asked for
};

// The order is the recipe: each comment says why its step stands where it does.
constexpr struct {
  const char* name;
  Status (*run)(InitContext*, Progress*);
  Blame blame = Blame::kStep;
} kSteps[] = {
    {"descriptors", CloseTheRest},             // before anything of the container can look at them
    {"wait for the runtime", WaitForParent},   // id maps must be in place
    {"cgroups", EnterCgroups},                 // before anything that counts against the limits
    {"user namespace", TakeRoot},              // before anything is made, or nobody owns it
    {"join namespaces", JoinNamespaces},       // before mounts: procfs shows its pid namespace
    {"cgroup namespace", NewCgroupNamespace},  // its root is the cgroup that we are in by now
    {"ipc namespace", NewIpcNamespace},        // after the user namespace that it belongs to
    {"time namespace", NewTimeNamespace},      // the same
    {"session", NewSession},                   // before a terminal can become the controlling one
    {"loopback", LoopbackUp},
    {"hostname", SetNames},
    {"shared mounts", OpenPeers, Blame::kItem},  // before all mounts leave their peers on the host
    {"root file system", PrepareRoot},
    {"mounts", MakeMounts, Blame::kItem},
    {"hooks", RuntimeHooks},  // after the namespaces, before pivot_root (config.md)
    {"hooks", ContainerHooks},
    {"devices", MakeDevices},                   // after the mount of /dev
    {"terminal", OpenConsole},                  // after the mount of /dev/pts
    {"sysctl", SetSysctls},                     // before /proc/sys is made read-only
    {"working folder", MakeWorkingFolder},      // before the root is made read-only
    {"masked and read-only paths", HidePaths},  // nothing is made below them after this
    {"change root", ChangeRoot},
    {"null device", OwnNullDevice},  // after the root changed: the container's own
    {"terminal", UseTerminal},
    {"rlimits", SetLimits},         // before the user changes, or they can't be raised
    {"scheduling", SetScheduling},  // the same
    {"command", FindCommand, Blame::kCommand},
};

Status Prepare(InitContext* context, Progress* progress) {
  for (const auto& step : kSteps) {
    Debug("init: {}", step.name);
    const Status status = step.run(context, progress);
    if (status.ok()) continue;
    if (step.blame == Blame::kCommand) return status;
    return Annotate(step.blame == Blame::kItem ? status : Annotate(status, step.name),
                    "error during container init");
  }
  return OkStatus();
}

// After `start` has come: what it waits for is the end of its connection, which exec closes. The
// hooks run as the container's process would, confined as it is (config.md#startcontainer-hooks).
Status Start(InitContext* context, const Progress& progress, const UniqueFd& starter) {
  const oci::Process& process = *context->spec.process;
  RETURN_IF_ERROR(Become({process, context->seccomp, context->proc, starter, context->preserve_fds,
                          progress.command.in_working_folder}));
  std::vector<oci::Hook> hooks = context->spec.hooks.start_container;
  for (oci::Hook& hook : hooks)
    if (hook.env.empty()) hook.env = Environment(process);
  const Status ran = container::RunHooks(
      hooks, "startContainer", StateJson(context->record, container::ContainerStatus::kCreated));
  if (!ran.ok()) return Error(kHookFailed, "{}", ran.message());
  return Execute(process, progress.command.path);
}

// The kernel spares the first process of a pid namespace every signal that it has no handler for
// (pid_namespaces(7)). One that waits for `start` is to end as any other process would.
void EndOnSignals() {
  struct sigaction action{};
  action.sa_handler = [](int signal) { ::_exit(128 + signal); };
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE})
    ::sigaction(signal, &action, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

bool JoinedAtClone(NamespaceType type, const oci::Linux& config) {
  if (type == NamespaceType::kPid || type == NamespaceType::kUser) return true;
  return config.Find(NamespaceType::kUser) != nullptr && type != NamespaceType::kMount;
}

void RunInit(InitContext* context) {
  Progress progress;
  const Status prepared = Prepare(context, &progress);
  if (!prepared.ok()) {
    IgnoreError(SendFailure(context->parent, prepared), "a parent that is gone needs no reason");
    ::_exit(1);
  }
  EndOnSignals();
  Debug("init: closing the pipe to signal completion");
  // Nobody starts, or finds, what a runtime left that was killed before it had noted it down.
  if (!SendMessage(context->parent, Message::kReady).ok() ||
      !Expect(context->parent, Message::kGo).ok())
    ::_exit(1);
  context->parent.Reset();
  // While it waits, processes of another container may see it (a shared pid namespace), and one
  // with CAP_SYS_PTRACE could go through this to the host's root. In a user namespace none can.
  if (context->spec.linux.Find(NamespaceType::kUser) == nullptr) context->proc.Reset();
  auto starter = sys::Accept(context->start);
  if (!starter.ok()) ::_exit(1);
  context->start.Reset();
  const Status failed = Start(context, progress, *starter);
  IgnoreError(SendFailure(*starter, failed), "a starter that is gone needs no reason");
  ::_exit(1);
}

}  // namespace ocirun::init
