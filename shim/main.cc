// SPDX-License-Identifier: Apache-2.0
//
// ocishim [-namespace NS] [-address SOCKET] [-id ID] [-bundle DIR] ... [start | delete]
//
// start   makes the listening socket, leaves a server behind and prints where it listens
// delete  removes what is left of the container, when its shim has gone
// (none)  is the server: descriptor 3 is the listening socket, the bundle the working folder
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "base/subprocess.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/sys/socket.h"
#include "base/time.h"
#include "base/version.h"
#include "containerd/bootstrap.pb.h"
#include "containerd/task.pb.h"
#include "ocirun/linux/self_exe.h"
#include "shim/flags.h"
#include "shim/loop.h"
#include "shim/server.h"
#include "shim/service.h"

namespace ocirun::shim {
namespace {

constexpr int kListenerFd = 3;
constexpr char kDefaultSocketDir[] = "/run/containerd/s";
constexpr char kDefaultRuntimeRoot[] = "/run/containerd/ocirun";

// ocirun beside this program; found through PATH when it is installed elsewhere.
std::string RuntimeProgram() {
  const auto self = linux_::SelfPath();
  if (!self.ok()) return "ocirun";
  const std::string beside = self->substr(0, self->rfind('/') + 1) + "ocirun";
  return PathExists(beside) ? beside : "ocirun";
}

Status Print(std::string_view text) {
  UniqueFd out(1);
  const Status status = sys::WriteAll(out, text);
  (void)out.Release();  // borrowed
  return status;
}

// BootstrapParams on stdin (containerd 2.3 and our manager); older callers send options or nothing,
// which may happen to parse: ids that do not match ours say so.
std::string SocketDirFromStdin(const Flags& flags) {
  UniqueFd in(0);
  const auto bytes = sys::ReadAll(in, 1 << 20);
  (void)in.Release();  // borrowed
  containerd::runtime::bootstrap::v1::BootstrapParams params;
  if (!bytes.ok() || !params.ParseFromString(*bytes) || params.instance_id() != flags.id ||
      params.namespace_() != flags.name_space || params.socket_dir().empty())
    return kDefaultSocketDir;
  return params.socket_dir();
}

std::string DefaultRuntime() { return linux_::RunsProtected() ? kBuiltIn : RuntimeProgram(); }

StatusOr<pid_t> SpawnServer(const Flags& flags, const UniqueFd& listener) {
  ASSIGN_OR_RETURN(std::string self, linux_::SelfPath());
  // Without the right to make such a mount there is no built-in runtime.
  const auto program = linux_::ReadOnlySelf();
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  Undo release([&] {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  });
  // The caller waits for the end of our stdout and stderr, so the server must not have them. What
  // it has to say goes to the bundle's log of its own.
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
  ::posix_spawn_file_actions_adddup2(&actions, 0, 1);
  ::posix_spawn_file_actions_addopen(&actions, 2, "shim.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::posix_spawn_file_actions_adddup2(&actions, listener.get(), kListenerFd);
  // Whatever else the caller has open would stay so as long as the container runs: a pipe that
  // somebody reads to its end, a file on a disk that is to be unmounted.
  constexpr int kProgramFd = kListenerFd + 1;
  if (program.ok()) ::posix_spawn_file_actions_adddup2(&actions, program->get(), kProgramFd);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, program.ok() ? kProgramFd + 1 : kProgramFd);
  // It stays open: to close it would dissolve the mount, for which the kernel waits.
  if (program.ok()) {
    ::posix_spawn_file_actions_adddup2(&actions, kProgramFd, linux_::kHeldSelf);
    ::posix_spawn_file_actions_addclose(&actions, kProgramFd);
  }
  // A session of its own: a signal for the manager's group is not for the shim.
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  std::vector<std::string> words = {self,     "-namespace", flags.name_space, "-id",
                                    flags.id, "-address",   flags.address};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const std::string path =
      program.ok() ? fmt::format("/proc/self/fd/{}", linux_::kHeldSelf) : "/proc/self/exe";
  const int result = ::posix_spawn(&pid, path.c_str(), &actions, &attributes, argv.data(), environ);
  if (result != 0) return SysError(result, "exec", "ocishim");
  return pid;
}

StatusOr<int> Start(const Flags& flags) {
  const std::string folder = SocketDirFromStdin(flags);
  RETURN_IF_ERROR(MakeDirs(folder, 0700));
  const std::string path = fmt::format("{}/{}", folder, RandomHex(16));
  ASSIGN_OR_RETURN(const UniqueFd listener, sys::ListenUnix(path, SOCK_STREAM));
  Undo remove([&] { IgnoreError(sys::Unlink(path), "undoing"); });
  ASSIGN_OR_RETURN(const pid_t pid, SpawnServer(flags, listener));
  sys::ChildGuard guard(pid);
  // A caller that has gone does not hear the address, and nobody would know of the server: the
  // error of the write ends it, where the signal would end us alone. Its own signals are as they
  // were.
  ::signal(SIGPIPE, SIG_IGN);
  const std::string address = "unix://" + path;
  RETURN_IF_ERROR(WriteFileAtomic("address", address, 0600));
  RETURN_IF_ERROR(WriteFileAtomic("shim.pid", std::to_string(pid), 0600));
  const char* max_version = ::getenv("MAX_SHIM_VERSION");
  const int version = max_version != nullptr && std::string_view(max_version) == "2" ? 2 : 3;
  RETURN_IF_ERROR(Print(
      OrderedJson({{"version", version}, {"address", address}, {"protocol", "ttrpc"}}).dump()));
  (void)guard.Release();
  remove.Release();
  return 0;
}

// Only what is ours: the container of the id, through its runtime.
StatusOr<int> Delete(const Flags& flags) {
  const std::string root = flags.runtime_root.empty() ? kDefaultRuntimeRoot : flags.runtime_root;
  const Command command{.path = RuntimeProgram(),
                        .args = {"ocirun", "--root", root, "delete", "--force", flags.id},
                        .env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}};
  ASSIGN_OR_RETURN(const CommandResult result, RunCommand(command));
  if (sys::ExitCodeOf(result.wait_status) != 0)
    return FailedPrecondition("delete of {}: {}", flags.id, result.error_output);
  containerd::task::v3::DeleteResponse response;
  constexpr uint32_t kKilled = 128 + SIGKILL;
  response.set_exit_status(kKilled);
  response.mutable_exited_at()->set_seconds(NowUnixNanos() / 1'000'000'000);
  RETURN_IF_ERROR(Print(response.SerializeAsString()));
  return 0;
}

StatusOr<int> Serve(const Flags& flags, char** argv) {
  // The name of a descriptor is all that the kernel has for a program of such a mount.
  if (::prctl(PR_SET_NAME, "ocishim") < 0) return SysError(errno, "prctl PR_SET_NAME");
  if (linux_::RunsProtected()) RETURN_IF_ERROR(linux_::ProtectSelf(argv));
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
    return SysError(errno, "prctl PR_SET_CHILD_SUBREAPER");
  UniqueFd listener;
  if (flags.socket.empty()) {
    listener = UniqueFd(kListenerFd);
    if (::fcntl(kListenerFd, F_SETFD, FD_CLOEXEC) < 0)
      return InvalidArgument("descriptor 3 must be the listening socket: use `start`");
  } else {
    ASSIGN_OR_RETURN(listener, sys::ListenUnix(flags.socket, SOCK_STREAM));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Loop> loop, Loop::Create());
  std::unique_ptr<Server> server;
  TaskService service(loop.get(), DefaultRuntime(), kDefaultRuntimeRoot, [&] {
    // The answer to Shutdown is still on its way.
    server->WhenFlushed([&] { loop->Stop(); });
  });
  ASSIGN_OR_RETURN(server, Server::Create(loop.get(), std::move(listener),
                                          [&](const std::string& name, const std::string& method,
                                              const std::string& payload, Reply reply) {
                                            service.Handle(name, method, payload, std::move(reply));
                                          }));
  RETURN_IF_ERROR(loop->Run());
  // The socket goes with us; `address` tells its name.
  const auto address = ReadFile("address");
  constexpr std::string_view kScheme = "unix://";
  if (address.ok() && address->rfind(kScheme, 0) == 0)
    IgnoreError(sys::Unlink(address->substr(kScheme.size())), "the manager may have removed it");
  return 0;
}

StatusOr<int> Run(int argc, char** argv) {
  ASSIGN_OR_RETURN(const Flags flags, ParseFlags({argv + 1, argv + argc}));
  if (flags.version) {
    RETURN_IF_ERROR(
        Print(fmt::format("ocishim:\n  Version:  {}\n  Revision: {}\n", kVersion, kCommit)));
    return 0;
  }
  if (flags.name_space.empty()) return InvalidArgument("shim namespace cannot be empty");
  if (flags.id.empty()) return InvalidArgument("-id is missing");
  if (flags.action == "start") return Start(flags);
  if (flags.action == "delete") return Delete(flags);
  return Serve(flags, argv);
}

}  // namespace
}  // namespace ocirun::shim

int main(int argc, char** argv) {
  const auto result = ocirun::shim::Run(argc, argv);
  if (result.ok()) return *result;
  ocirun::UniqueFd err(2);
  ocirun::IgnoreError(
      ocirun::sys::WriteAll(err, "ocishim: " + ocirun::MessageOf(result.status()) + "\n"),
      "nowhere else to say it");
  (void)err.Release();  // borrowed
  return 1;
}
