// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/file.h"
#include "base/open_fds.h"
#include "base/process_handle.h"
#include "base/sys/file.h"
#include "base/sys/socket.h"
#include "ocirun/cgroup/manager.h"
#include "ocirun/container/clone.h"
#include "ocirun/container/environment.h"
#include "ocirun/container/lifecycle.h"
#include "ocirun/container/seccomp_agent.h"
#include "ocirun/init/become.h"
#include "ocirun/init/sync.h"
#include "ocirun/linux/console.h"
#include "ocirun/linux/keyring.h"
#include "ocirun/linux/limits.h"
#include "ocirun/linux/lsm.h"
#include "ocirun/linux/proc.h"
#include "ocirun/linux/scheduling.h"
#include "ocirun/linux/self_exe.h"
#include "ocirun/log/log.h"

namespace ocirun::container {
namespace {

using oci::NamespaceType;

// The CLONE_NEW* flags of those of `types` in which the container's init is and we are not.
template <typename Types>
StatusOr<int> OtherNamespaces(pid_t init, const Types& types) {
  int flags = 0;
  for (const NamespaceType type : types) {
    const auto name = oci::NamespaceProcName(type);
    auto own = sys::ReadLink(fmt::format("/proc/self/ns/{}", name));
    auto theirs = sys::ReadLink(fmt::format("/proc/{}/ns/{}", init, name));
    if (!own.ok()) continue;  // this kernel has no such namespace
    // Who waits for `start` still has files of the host open, and is hidden from its owner, too.
    if (ErrnoOf(theirs.status()) == EACCES && ::geteuid() != 0)
      return FailedPrecondition("an ordinary user can't exec before the container is started");
    if (!theirs.ok()) return theirs.status();
    if (*own != *theirs) flags |= static_cast<int>(oci::NamespaceFlag(type));
  }
  return flags;
}

// What is to be entered, with as few looks into /proc as can be: to enter a namespace in which one
// is changes nothing. But a user namespace refuses it, a mount namespace takes the root with it,
// and a time namespace can't be entered from shared memory.
StatusOr<int> NamespacesToEnter(pid_t init) {
  constexpr std::array kToLookAt = {NamespaceType::kUser, NamespaceType::kMount,
                                    NamespaceType::kTime};
  ASSIGN_OR_RETURN(int flags, OtherNamespaces(init, kToLookAt));
  for (const NamespaceType type : oci::kNamespaceTypes)
    if (std::find(kToLookAt.begin(), kToLookAt.end(), type) == kToLookAt.end())
      flags |= static_cast<int>(oci::NamespaceFlag(type));
  return flags;
}

bool HasFlag(int namespaces, NamespaceType type) {
  return (namespaces & static_cast<int>(oci::NamespaceFlag(type))) != 0;
}

struct ExecContext {
  const oci::Process& process;
  const std::optional<linux_::SeccompFilter>& seccomp;
  const Record& record;
  const oci::Linux& config;
  ProcessHandle init;
  UniqueFd proc;                   // linux_::OpenProc()
  int namespaces = 0;              // NamespacesToEnter()
  bool in_user_namespace = false;  // of the container's own
  int preserve_fds = 0;
  oci::CpuAffinity affinity;  // process.execCPUAffinity
  linux_::CpuMask cpus;       // the caller's
  cgroup::Entry cgroups;
  bool attached = false;  // to them, by the runtime, for which it waits
  UniqueFd parent, console;
  UniqueFd runtime;  // the other end of `parent`, which the child lets go
};

Status SetOwnOomScoreAdj(const ExecContext& c) {
  if (!c.process.oom_score_adj.has_value()) return OkStatus();
  const int score = *c.process.oom_score_adj;
  return Annotate(linux_::WriteInProc(c.proc, "self/oom_score_adj", std::to_string(score)),
                  fmt::format("process.oomScoreAdj {}", score));
}

// One after the other, on a kernel that can't enter all at once.
Status EnterThroughProc(const ExecContext& c, int namespaces) {
  std::vector<init::JoinedNamespace> opened;
  for (const NamespaceType type : oci::kNamespaceTypes) {
    if (!HasFlag(namespaces, type)) continue;
    ASSIGN_OR_RETURN(UniqueFd ns, sys::Open(fmt::format("/proc/{}/ns/{}", c.record.init_pid,
                                                        oci::NamespaceProcName(type)),
                                            O_RDONLY));
    opened.push_back({type, std::move(ns)});
  }
  // Now they are held; were they init's, whose number it was?
  if (c.init.HasEnded()) return FailedPrecondition("cannot exec in a stopped container");
  std::vector<const init::JoinedNamespace*> all;
  for (const init::JoinedNamespace& ns : opened) all.push_back(&ns);
  return EnterNamespaces(all);
}

// All at once is the way that needs no name of the container's. A refusal may mean one that is ours
// as well, which this caller may not enter or this kernel does not have: then only the others.
// EINVAL: the kernel takes no pidfd there (before 5.8).
Status EnterInitsNamespaces(const ExecContext& c) {
  if (c.init.pidfd().valid() && sys::SetNs(c.init.pidfd(), c.namespaces).ok()) return OkStatus();
  ASSIGN_OR_RETURN(const int others, OtherNamespaces(c.record.init_pid, oci::kNamespaceTypes));
  if (others == 0) return OkStatus();
  if (c.init.pidfd().valid()) {
    const Status entered = sys::SetNs(c.init.pidfd(), others);
    if (ErrnoOf(entered) != EINVAL) return entered;
  }
  return EnterThroughProc(c, others);
}

// The descriptors that the helper still has when it enters. In a user namespace its processes have
// no right to look at this one, whatever they may do there; and a procfs for the labels can't be
// made inside.
std::vector<int> KeptInContainer(const ExecContext& c) {
  std::vector<int> keep = {LogFd(), c.init.pidfd().get(), c.proc.get(), c.parent.get(),
                           c.console.get()};
  for (int fd = 0; fd < 3 + c.preserve_fds; ++fd) keep.push_back(fd);
  return keep;
}

// In the helper, which nobody in the container can see: all of the host that it holds is let go
// before it enters, so that the process which it then clones into the container's pid namespace has
// the container's root from its first moment and no descriptor of the host's (CVE-2016-9962).
Status EnterContainer(const ExecContext& c) {
  // In runc's words, as init's.
  Debug("nsexec container setup: entering the container");
  // Before it is not dumpable: the files of such a process belong to the host's root.
  RETURN_IF_ERROR(SetOwnOomScoreAdj(c));
  RETURN_IF_ERROR(linux_::SetCpuAffinity(c.affinity.initial));
  Debug("nsexec: affinity: {}",
        (c.affinity.initial.empty() ? c.cpus : linux_::CpuMask::OfCaller()).Text());
  if (!c.attached)
    RETURN_IF_ERROR(Annotate(cgroup::Enter(c.cgroups), "exec: error adding pid to cgroups"));
  RETURN_IF_ERROR(linux_::SetCpuAffinity(c.affinity.final));
  RETURN_IF_ERROR(CloseAllBut(KeptInContainer(c)));
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return SysError(errno, "prctl PR_SET_DUMPABLE");
  RETURN_IF_ERROR(EnterInitsNamespaces(c));
  // The runtime keeps them: this is a helper of CloneAsSibling().
  if (c.init.pidfd().valid()) ::close(c.init.pidfd().get());
  if (!c.in_user_namespace) ::close(c.proc.get());
  return OkStatus();
}

Status SetUpSession(ExecContext* c) {
  if (::setsid() < 0) return SysError(errno, "setsid");
  if (c->record.new_keyring)
    RETURN_IF_ERROR(linux_::NewSessionKeyring(c->proc, c->record.id, c->process.selinux_label));
  if (!c->process.terminal) return OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd root, sys::Open("/", O_PATH | O_DIRECTORY));
  ASSIGN_OR_RETURN(const linux_::Terminal terminal,
                   linux_::OpenTerminal(root, c->process.console_size));
  RETURN_IF_ERROR(sys::SendFd(c->console, terminal.master, terminal.slave_name));
  return linux_::UseTerminal(terminal.slave, c->process.user);
}

// In a paused container the process stands still before it comes here, maybe for longer than the
// runtime lives: nobody would know of a command that began then.
Status CheckRuntimeIsThere(const ExecContext& c) {
  pollfd runtime = {c.parent.get(), 0, 0};  // asks for nothing but POLLHUP
  if (::poll(&runtime, 1, 0) != 0) return FailedPrecondition("the runtime has ended");
  return OkStatus();
}

// Like init's recipe, in namespaces that exist.
Status RunInContainer(ExecContext* c) {
  Debug("child process in init()");
  if (c->attached) {
    RETURN_IF_ERROR(init::Expect(c->parent, init::Message::kGo));
    RETURN_IF_ERROR(linux_::SetCpuAffinity(c->affinity.final));  // the cpuset may have changed it
  }
  RETURN_IF_ERROR(CheckRuntimeIsThere(*c));
  if (c->in_user_namespace && (::setresgid(0, 0, 0) < 0 || ::setresuid(0, 0, 0) < 0))
    return SysError(errno, "setresuid");
  // Where the kernel lets a change of user make a process dumpable again (fs.suid_dumpable).
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return SysError(errno, "prctl PR_SET_DUMPABLE");
  RETURN_IF_ERROR(SetUpSession(c));
  if (c->affinity.final.empty())
    IgnoreError(linux_::ResetCpuAffinity(), "then the caller's CPUs hold, as without this");
  RETURN_IF_ERROR(linux_::SetRlimits(c->process.rlimits));
  if (c->process.scheduler.has_value())
    RETURN_IF_ERROR(linux_::SetScheduler(*c->process.scheduler));
  if (c->process.io_priority.has_value())
    RETURN_IF_ERROR(linux_::SetIoPriority(*c->process.io_priority));
  if (c->config.memory_policy.has_value())
    RETURN_IF_ERROR(linux_::SetMemoryPolicy(*c->config.memory_policy));
  if (c->config.personality.has_value())
    RETURN_IF_ERROR(linux_::SetPersonality(*c->config.personality));
  ASSIGN_OR_RETURN(const init::Command command, init::PrepareCommand(c->process));
  RETURN_IF_ERROR(init::Become(
      {c->process, c->seccomp, c->proc, c->parent, c->preserve_fds, command.in_working_folder}));
  Debug("setns_init: about to exec {}", command.path);
  return init::Execute(c->process, command.path);
}

Status CheckRunning(const Store& store, const Record& record, bool ignore_paused) {
  const ContainerStatus status = store.StatusOf(record);
  if (status == ContainerStatus::kStopped)
    return FailedPrecondition("cannot exec in a stopped container");
  if (status == ContainerStatus::kPaused && !ignore_paused)
    return FailedPrecondition(
        "cannot exec in a paused container (use --ignore-paused to override)");
  return OkStatus();
}

// The whole of what the process in the container does.
[[noreturn]] void RunSibling(ExecContext* c) {
  // The helper has closed it.
  if (!c->in_user_namespace) (void)c->proc.Release();
  IgnoreError(init::SendFailure(c->parent, RunInContainer(c)),
              "a parent that is gone needs no reason");
  ::_exit(255);
}

// Clones into the container's namespaces and `cgroups`. Runtime, helper and sibling wait for one
// another until the sibling begins, and stay on one CPU as long.
StatusOr<pid_t> CloneInto(ExecContext* context, cgroup::Entry* cgroups) {
  const linux_::OnOneCpu one_cpu;
  context->cpus = one_cpu.before();
  return CloneAsSibling(
      {.enter = [context] { return EnterContainer(*context); },
       .run = [context] { RunSibling(context); },
       .enters_time_namespace = HasFlag(context->namespaces, NamespaceType::kTime)},
      cgroups);
}

// In a container that has as many processes as it may nothing can be cloned; but who comes from
// outside is let in (pids.rst), and whoever wants to see what goes on in there must be.
StatusOr<pid_t> CloneOutside(ExecContext* context) {
  cgroup::Entry nowhere;
  context->attached = true;
  ASSIGN_OR_RETURN(const pid_t pid, CloneInto(context, &nowhere));
  sys::ChildGuard guard(pid);
  RETURN_IF_ERROR(
      Annotate(cgroup::Attach(context->cgroups, pid), "exec: error adding pid to cgroups"));
  RETURN_IF_ERROR(init::SendMessage(context->runtime, init::Message::kGo));
  return guard.Release();
}

Status OpenCgroups(const Record& record, const ExecOptions& options, cgroup::Entry* out) {
  auto entry = cgroup::ExistingManager(record.cgroups, record.unit)->OpenEntry(options.sub_cgroups);
  if (!entry.ok() && ErrnoOf(entry.status()) == ENOENT)
    return Annotate(entry.status(), "exec: error adding pid to cgroups");
  RETURN_IF_ERROR(entry.status());
  *out = std::move(*entry);
  return OkStatus();
}

// With one of its own it has no right to look at a process that comes from outside.
bool HasUserNamespace(const StoredContainer& container) {
  return container.spec.linux.Find(NamespaceType::kUser) != nullptr;
}

bool MayBeLookedAt(const StoredContainer& container) {
  return (container.record.may_trace && !HasUserNamespace(container)) ||
         MeetsStrangers(container.spec.linux);
}

}  // namespace

StatusOr<ExecTarget> OpenForExec(const Store& store, const std::string& id, bool for_good) {
  ASSIGN_OR_RETURN(UniqueFd lock, store.LockEntry(id));
  ASSIGN_OR_RETURN(StoredContainer container, store.LoadWithSpec(id));
  // Nobody waits for those that come after, and they would keep who does from his turn.
  if (container.record.may_trace) Unlock(lock, LockPart::kEntry);
  if (MayBeLookedAt(container) || (for_good && !HasUserNamespace(container))) linux_::HideSelf();
  return ExecTarget{std::move(container), std::move(lock)};
}

Status PrepareTracer(const Store& store, const ExecTarget& target, const oci::Process& process) {
  const StoredContainer& container = target.container;
  const Record& record = container.record;
  if (!MayTrace(process) || HasUserNamespace(container) ||
      (record.may_trace && record.tracer_awaited))
    return OkStatus();
  const auto pids = sys::StatPath(fmt::format("/proc/{}/ns/pid", record.init_pid));
  if (!pids.ok()) return FailedPrecondition("cannot exec in a stopped container");
  RETURN_IF_ERROR(store.NoteTracer(*pids));
  // Another one may have come first and not have waited for us.
  linux_::HideSelf();
  return OkStatus();
}

StatusOr<pid_t> Exec(const Store& store, ExecTarget target, const ExecOptions& options) {
  const Record& record = target.container.record;
  const oci::Spec& spec = target.container.spec;
  RETURN_IF_ERROR(store.LockCommand(target.lock, record.id));
  RETURN_IF_ERROR(CheckRunning(store, record, options.ignore_paused));
  if (options.process.terminal && options.console_socket.empty())
    return InvalidArgument("a terminal needs a console socket");
  ASSIGN_OR_RETURN(const std::optional<linux_::SeccompFilter> seccomp,
                   linux_::SeccompOf(spec, store.SeccompCache()));
  auto init = ProcessHandle::Open(record.init_pid, record.init_start_time);
  if (ErrnoOf(init.status()) == ESRCH)
    return FailedPrecondition("cannot exec in a stopped container");
  RETURN_IF_ERROR(init.status());
  RETURN_IF_ERROR(CheckEnvironment(options.process.env));
  RETURN_IF_ERROR(linux_::CheckLabels(options.process));
  RETURN_IF_ERROR(CheckPreservedFds(options.preserve_fds));
  ASSIGN_OR_RETURN(UniqueFd proc, linux_::OpenProc());
  ExecContext context{.process = options.process,
                      .seccomp = seccomp,
                      .record = record,
                      .config = spec.linux,
                      .init = std::move(*init),
                      .proc = std::move(proc),
                      .preserve_fds = options.preserve_fds,
                      .affinity = options.process.exec_cpu_affinity.value_or(oci::CpuAffinity())};
  ASSIGN_OR_RETURN(context.namespaces, NamespacesToEnter(record.init_pid));
  context.in_user_namespace = HasFlag(context.namespaces, NamespaceType::kUser);
  RETURN_IF_ERROR(OpenCgroups(record, options, &context.cgroups));
  if (!options.console_socket.empty()) {
    ASSIGN_OR_RETURN(context.console, sys::ConnectUnix(options.console_socket, SOCK_STREAM));
  }
  ASSIGN_OR_RETURN(auto sockets, sys::SocketPair());
  context.runtime = std::move(sockets.first);
  context.parent = std::move(sockets.second);
  // In a paused container the process stands still until `resume`, which needs the lock. What it
  // enters is open by now: of a container that is deleted meanwhile nothing is left to enter.
  Unlock(target.lock, LockPart::kCommand);
  auto cloned = CloneInto(&context, &context.cgroups);
  if (ErrnoOf(cloned.status()) == EBUSY && options.sub_cgroups.empty()) {
    // cgroup v2: the container has made cgroups with controllers of its own, so that no process may
    // be in its topmost one. Where its init has gone there is room.
    ASSIGN_OR_RETURN(context.cgroups, cgroup::EntryOfProcess(record.init_pid));
    cloned = CloneInto(&context, &context.cgroups);
  }
  if (ErrnoOf(cloned.status()) == EAGAIN) cloned = CloneOutside(&context);
  if (ErrnoOf(cloned.status()) == EBUSY)
    return Annotate(cloned.status(), "exec: error adding pid to cgroups");
  RETURN_IF_ERROR(cloned.status());
  const pid_t pid = *cloned;
  sys::ChildGuard guard(pid);
  context.parent.Reset();
  linux_::ReleaseSelf(linux_::Release::kLater);  // the helper has closed it
  const auto to_agent = [&](UniqueFd listener) {
    return SendToAgent(*spec.linux.seccomp, record, ContainerStatus::kRunning, pid, listener);
  };
  RETURN_IF_ERROR(Annotate(init::ExpectEnd(context.runtime, to_agent), kNotStarted));
  RETURN_IF_ERROR(HandOver({options.pid_file, options.pidfd_socket}, pid));
  return guard.Release();
}

}  // namespace ocirun::container
