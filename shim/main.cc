// SPDX-License-Identifier: Apache-2.0
//
// ocishim [-namespace NS] [-address SOCKET] [-id ID] [-bundle DIR] ... [start | delete]
//
// start   makes the listening socket, leaves a server behind and prints where it listens
// delete  removes what is left of the container, when its shim has gone
// (none)  is the server: descriptor 3 is the listening socket, the bundle the working folder
//
// By the name `ocirun` it is the runtime that is built in, for `delete` and `-info`.
// containerd finds it as containerd-shim-ocirun-v2, a link to this program.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/sys/socket.h"
#include "base/version.h"
#include "ocirun/cli/program.h"
#include "ocirun/linux/self_exe.h"
#include "shim/bootstrap.h"
#include "shim/cleanup.h"
#include "shim/flags.h"
#include "shim/info.h"
#include "shim/loop.h"
#include "shim/publisher.h"
#include "shim/runtime.h"
#include "shim/server.h"
#include "shim/service.h"

namespace ocirun::shim {
namespace {

// Events that containerd does not take in this time after the last container has gone are lost: it
// asks us to end because it knows of that.
constexpr std::chrono::seconds kLastEvents{2};

StatusOr<UniqueFd> Listener(const Flags& flags) {
  if (!flags.socket.empty()) return sys::ListenUnix(flags.socket, SOCK_STREAM);
  UniqueFd listener(kListenerFd);
  if (::fcntl(kListenerFd, F_SETFD, FD_CLOEXEC) < 0) {
    (void)listener.Release();
    return InvalidArgument("descriptor 3 must be the listening socket: use `start`");
  }
  return listener;
}

// The name of the socket, which goes with us. `start` left it in the bundle.
std::string SocketPath(const Flags& flags) {
  if (!flags.socket.empty()) return flags.socket;
  const auto address = ReadFile("address", 4096);
  if (!address.ok() || !address->starts_with(kUnixScheme)) return {};
  return address->substr(kUnixScheme.size());
}

StatusOr<int> Serve(const Flags& flags, char** argv) {
  // The name of a descriptor is all that the kernel has for a program of such a mount.
  if (::prctl(PR_SET_NAME, "ocishim") < 0) return SysError(errno, "prctl PR_SET_NAME");
  if (linux_::RunsProtected()) RETURN_IF_ERROR(linux_::ProtectSelf(argv));
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
    return SysError(errno, "prctl PR_SET_CHILD_SUBREAPER");
  // systemd's, and containerd's alone.
  ::unsetenv("NOTIFY_SOCKET");
  const std::string socket_path = SocketPath(flags);
  ASSIGN_OR_RETURN(UniqueFd listener, Listener(flags));
  // Once: from then on the name may be that of a shim that came after us.
  bool listening = true;
  const auto remove_socket = [&] {
    if (!std::exchange(listening, false) || socket_path.empty()) return;
    IgnoreError(sys::Unlink(socket_path), "the manager may have removed it");
  };
  const Undo remove_at_end([&] { remove_socket(); });
  ASSIGN_OR_RETURN(const std::unique_ptr<Loop> loop, Loop::Create());
  const char* events = ::getenv("TTRPC_ADDRESS");
  Publisher publisher(loop.get(), events == nullptr ? "" : events, flags.name_space);
  std::unique_ptr<Server> server;
  TaskService service(
      loop.get(), &publisher,
      {.name_space = flags.name_space,
       .socket = socket_path,
       .debug = flags.debug,
       // Who starts a shim for this container from now on gets a new one.
       .retire =
           [&] {
             server->StopListening();
             remove_socket();
           },
       // The answer to Shutdown is still on its way.
       .end =
           [&] {
             server->WhenFlushed([&] { publisher.WhenIdle(kLastEvents, [&] { loop->Stop(); }); });
           }});
  ASSIGN_OR_RETURN(server, Server::Create(loop.get(), std::move(listener),
                                          [&](const std::string& name, const std::string& method,
                                              const std::string& payload, Reply reply) {
                                            service.Handle(name, method, payload, std::move(reply));
                                          }));
  RETURN_IF_ERROR(loop->Run());
  return 0;
}

StatusOr<int> Run(int argc, char** argv) {
  ASSIGN_OR_RETURN(const Flags flags, ParseFlags({argv + 1, argv + argc}));
  if (flags.version) {
    RETURN_IF_ERROR(
        Print(fmt::format("{}:\n  Version:  {}\n  Revision: {}\n", argv[0], kVersion, kCommit)));
    return 0;
  }
  if (flags.info) return Info();
  if (flags.name_space.empty()) return InvalidArgument("shim namespace cannot be empty");
  if (flags.id.empty()) return InvalidArgument("-id is missing");
  if (flags.action == "start") return Start(flags);
  if (flags.action == "delete") return Delete(flags);
  return Serve(flags, argv);
}

}  // namespace
}  // namespace ocirun::shim

int main(int argc, char** argv) {
  if (argc > 0 && ocirun::shim::IsCalledAsRuntime(argv[0]))
    return ocirun::cli::RunCommandLine(argc, argv);
  const auto result = ocirun::shim::Run(argc, argv);
  if (result.ok()) return *result;
  ocirun::UniqueFd err(2);
  ocirun::IgnoreError(
      ocirun::sys::WriteAll(err, "ocishim: " + ocirun::MessageOf(result.status()) + "\n"),
      "nowhere else to say it");
  (void)err.Release();  // borrowed
  return 1;
}
