// SPDX-License-Identifier: Apache-2.0
#include "shim/bootstrap.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPENSSL_SUPPRESS_DEPRECATED  // EVP's way brings half a megabyte into a program like this
#include <openssl/sha.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/file.h"
#include "base/path.h"
#include "base/spawn.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/sys/socket.h"
#include "base/text.h"
#include "containerd/bootstrap.pb.h"
#include "ocirun/cgroup/files.h"
#include "ocirun/cgroup/host.h"
#include "ocirun/linux/self_exe.h"
#include "shim/options.h"

namespace ocirun::shim {
namespace {

constexpr char kDefaultSocketDir[] = "/run/containerd/s";
constexpr int kMaxOomScore = 1000;

// What the caller sends on stdin, whichever way.
struct Invitation {
  std::string socket_dir = kDefaultSocketDir;
  RuncOptions options;
  bool has_params = false;
};

// BootstrapParams (containerd 2.3 and our manager); older callers send the options, or nothing.
// They may happen to parse: ids that do not match ours say so.
StatusOr<Invitation> ReadInvitation(const Flags& flags) {
  Invitation out;
  ASSIGN_OR_RETURN(const std::string bytes, ReadStdin());
  containerd::runtime::bootstrap::v1::BootstrapParams params;
  out.has_params = params.ParseFromString(bytes) && params.instance_id() == flags.id &&
                   params.namespace_() == flags.name_space;
  if (!out.has_params) {
    wire::Any any;
    if (!any.ParseFromString(bytes)) return InvalidArgument("unreadable options on stdin");
    ASSIGN_OR_RETURN(out.options, UnpackOptions(any));
    return out;
  }
  if (!params.socket_dir().empty()) out.socket_dir = params.socket_dir();
  for (const auto& extension : params.extensions()) {
    if (!HasOptions(extension.value())) continue;
    ASSIGN_OR_RETURN(out.options, UnpackOptions(extension.value()));
  }
  return out;
}

// The group that config.json asks for, or the container alone. Our manager writes the file while
// the shim begins. containerd has none when it is a sandbox that it wants, whose service is not
// here: what began would have nobody who ends it.
StatusOr<std::string> GroupFromBundle(const Flags& flags) {
  const auto text = ReadFile("config.json");
  const auto config = text.ok() ? ParseJson(*text) : StatusOr<Json>(text.status());
  const bool is_containerd = !flags.publish_binary.empty();
  if (!config.ok() && is_containerd) return config.status();
  std::string group = config.ok() ? GroupOf(*config) : "";
  return group.empty() ? flags.id : std::move(group);
}

// Listens, unless somebody does already: then the socket is empty. A socket that nobody answers at
// is what a shim left that was killed.
StatusOr<UniqueFd> ListenUnlessServed(const std::string& path) {
  auto listener = sys::ListenUnix(path, SOCK_STREAM);
  if (listener.ok() || ErrnoOf(listener.status()) != EADDRINUSE) return listener;
  if (sys::ConnectUnix(path, SOCK_STREAM).ok()) return UniqueFd();
  RETURN_IF_ERROR(sys::Unlink(path));
  return sys::ListenUnix(path, SOCK_STREAM);
}

// containerd reads what we say from the fifo `log`; ocid makes none, and there it is a file.
const char* LogName() {
  const auto kind = sys::StatPath("log");
  return kind.ok() && S_ISFIFO(kind->st_mode) ? "log" : "shim.log";
}

StatusOr<pid_t> SpawnServer(const Flags& flags, const UniqueFd& listener) {
  ASSIGN_OR_RETURN(std::string self, linux_::SelfPath());
  // Without the right to make such a mount there is no built-in runtime.
  const auto program = linux_::ReadOnlySelf();
  SpawnSetup setup;
  // The caller waits for the end of our stdout and stderr, so the server must not have them.
  ::posix_spawn_file_actions_addopen(&setup.actions, 0, "/dev/null", O_RDWR, 0);
  ::posix_spawn_file_actions_adddup2(&setup.actions, 0, 1);
  // Not waiting: of a fifo, for a reader that has gone, then or when there is something to say.
  // With both ends, so that there always is one.
  ::posix_spawn_file_actions_addopen(&setup.actions, 2, LogName(),
                                     O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK, 0600);
  ::posix_spawn_file_actions_adddup2(&setup.actions, listener.get(), kListenerFd);
  // Whatever else the caller has open would stay so as long as the container runs: a pipe that
  // somebody reads to its end, a file on a disk that is to be unmounted.
  constexpr int kProgramFd = kListenerFd + 1;
  if (program.ok()) ::posix_spawn_file_actions_adddup2(&setup.actions, program->get(), kProgramFd);
  ::posix_spawn_file_actions_addclosefrom_np(&setup.actions,
                                             program.ok() ? kProgramFd + 1 : kProgramFd);
  // It stays open: to close it would dissolve the mount, for which the kernel waits.
  if (program.ok()) {
    ::posix_spawn_file_actions_adddup2(&setup.actions, kProgramFd, linux_::kHeldSelf);
    ::posix_spawn_file_actions_addclose(&setup.actions, kProgramFd);
  }
  // A session of its own: a signal for the manager's group is not for the shim.
  ::posix_spawnattr_setflags(&setup.attributes, POSIX_SPAWN_SETSID);
  std::vector<std::string> words = {self,     "-namespace", flags.name_space, "-id",
                                    flags.id, "-address",   flags.address};
  if (flags.debug) words.emplace_back("-debug");
  const std::string path =
      program.ok() ? fmt::format("/proc/self/fd/{}", linux_::kHeldSelf) : "/proc/self/exe";
  return setup.Spawn(path, Pointers(words).data(), environ);
}

// Processes of one core scheduling group share a core with nobody else
// (Documentation/admin-guide/hw-vuln/core-scheduling.rst); the server inherits ours.
Status JoinCoreGroup() {
  const char* wanted = ::getenv("SCHED_CORE");
  if (wanted == nullptr || *wanted == '\0') return OkStatus();
  if (::prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_PROCESS_GROUP, 0) < 0)
    return SysError(errno, "prctl PR_SCHED_CORE");
  return OkStatus();
}

// A cgroup that exists, in every hierarchy that has it.
Status MoveToCgroup(pid_t pid, const std::string& path) {
  if (path.empty()) return OkStatus();
  for (const std::string& part : PathComponents(path))
    if (part == "..") return InvalidArgument("shim_cgroup {:?}: must not hold ..", path);
  ASSIGN_OR_RETURN(const std::vector<cgroup::Hierarchy> hierarchies, cgroup::HostHierarchies());
  bool found = false;
  for (const cgroup::Hierarchy& hierarchy : hierarchies) {
    const std::string folder = fmt::format("{}/{}", hierarchy.mount_point, path);
    if (!PathExists(folder)) continue;
    RETURN_IF_ERROR(
        cgroup::WriteControl(folder, "cgroup.procs", std::to_string(pid), "shim_cgroup"));
    found = true;
  }
  if (!found) return NotFound("shim_cgroup {:?}: no such cgroup", path);
  return OkStatus();
}

// When memory is short the shim goes before containerd, and after its container.
Status SetOomScore(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/self/oom_score_adj"));
  const std::string_view number = Trim(text);
  int score = 0;
  std::from_chars(number.data(), number.data() + number.size(), score);
  return WriteFile(fmt::format("/proc/{}/oom_score_adj", pid),
                   std::to_string(std::min(score + 1, kMaxOomScore)));
}

std::string Answer(const Invitation& invitation, const std::string& address) {
  // The variable says 2 to this day; only the parameters tell that 3 is known.
  if (!invitation.has_params && ::getenv("MAX_SHIM_VERSION") == nullptr) return address;
  return OrderedJson({{"version", invitation.has_params ? 3 : 2},
                      {"address", address},
                      {"protocol", "ttrpc"}})
      .dump();
}

}  // namespace

Status Print(std::string_view text) {
  UniqueFd out(1);
  const Status status = sys::WriteAll(out, text);
  (void)out.Release();  // borrowed
  return status;
}

StatusOr<std::string> ReadStdin() {
  UniqueFd in(0);
  auto bytes = sys::ReadAll(in, 1 << 20);
  (void)in.Release();  // borrowed
  return bytes;
}

std::string GroupOf(const Json& config) {
  const auto annotations = JsonView(config).Get("annotations");
  if (!annotations.ok()) return {};
  for (const char* key : {"io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"}) {
    const auto group = StringOr(*annotations, key, "");
    if (group.ok() && !group->empty()) return *group;
  }
  return {};
}

std::string SocketName(const std::string& address, const std::string& name_space,
                       const std::string& group) {
  std::string path;
  for (const std::string& part :
       PathComponents(fmt::format("{}/{}/{}", address, name_space, group)))
    path += "/" + part;
  SHA256_CTX context;
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256_Init(&context);
  SHA256_Update(&context, path.data(), path.size());
  SHA256_Final(digest, &context);
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

StatusOr<int> Start(const Flags& flags) {
  ASSIGN_OR_RETURN(const Invitation invitation, ReadInvitation(flags));
  ASSIGN_OR_RETURN(const std::string group, GroupFromBundle(flags));
  RETURN_IF_ERROR(MakeDirs(invitation.socket_dir, 0700));
  const std::string path = fmt::format("{}/{}", invitation.socket_dir,
                                       SocketName(flags.address, flags.name_space, group));
  ASSIGN_OR_RETURN(const UniqueFd listener, ListenUnlessServed(path));
  const std::string address = std::string(kUnixScheme) + path;
  // A caller that has gone does not hear the address, and nobody would know of the server: the
  // error of the write ends it, where the signal would end us alone. Its own signals are as they
  // were.
  ::signal(SIGPIPE, SIG_IGN);
  // The server reads it when it begins.
  RETURN_IF_ERROR(WriteFileAtomic("address", address, 0600));
  if (!listener) {
    RETURN_IF_ERROR(Print(Answer(invitation, address)));
    return 0;
  }
  Undo remove([&] { IgnoreError(sys::Unlink(path), "undoing"); });
  RETURN_IF_ERROR(JoinCoreGroup());
  ASSIGN_OR_RETURN(const pid_t pid, SpawnServer(flags, listener));
  sys::ChildGuard guard(pid);
  RETURN_IF_ERROR(MoveToCgroup(pid, invitation.options.shim_cgroup()));
  RETURN_IF_ERROR(SetOomScore(pid));
  RETURN_IF_ERROR(WriteFileAtomic("shim.pid", std::to_string(pid), 0600));
  RETURN_IF_ERROR(Print(Answer(invitation, address)));
  (void)guard.Release();
  remove.Release();
  return 0;
}

}  // namespace ocirun::shim
