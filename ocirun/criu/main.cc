// SPDX-License-Identifier: Apache-2.0
//
// ocirun-criu: stands between the runtime (fd 3) and CRIU (fd 4) and translates (translate.h). A
// program of its own, so that the runtime does not carry protobuf. Ends when either side does.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/sys/file.h"
#include "base/sys/socket.h"
#include "ocirun/criu/translate.h"

namespace ocirun::criu_rpc {
namespace {

constexpr size_t kMaxMessage = 1u << 20;

// Takes one message from `from` to `to`. False at the end of the stream.
StatusOr<bool> PassOn(const UniqueFd& from, const UniqueFd& to,
                      StatusOr<std::string> (*translate)(const std::string&)) {
  UniqueFd attached;
  ASSIGN_OR_RETURN(const std::string message, sys::ReceiveWithFd(from, kMaxMessage, &attached));
  if (message.empty()) return false;
  ASSIGN_OR_RETURN(const std::string translated, translate(message));
  RETURN_IF_ERROR(attached.valid() ? sys::SendFd(to, attached, translated)
                                   : sys::Send(to, translated));
  return true;
}

Status Relay(const UniqueFd& runtime, const UniqueFd& criu) {
  for (;;) {
    pollfd fds[] = {{runtime.get(), POLLIN, 0}, {criu.get(), POLLIN, 0}};
    if (sys::RetryEintr([&] { return ::poll(fds, 2, -1); }) < 0) return SysError(errno, "poll");
    bool open = true;
    // CRIU's side first: what it said before it ended is to arrive.
    if (fds[1].revents != 0) {
      ASSIGN_OR_RETURN(open, PassOn(criu, runtime, ResponseToJson));
    } else {
      ASSIGN_OR_RETURN(open, PassOn(runtime, criu, RequestFromJson));
    }
    if (!open) return OkStatus();
  }
}

int Main() {
  const UniqueFd runtime(3), criu(4);
  if (::fcntl(3, F_GETFD) < 0 || ::fcntl(4, F_GETFD) < 0) {
    fmt::print(stderr, "ocirun-criu: is started by ocirun checkpoint and restore\n");
    return 2;
  }
  const Status status = Relay(runtime, criu);
  // A side that is gone says itself why.
  if (status.ok() || ErrnoOf(status) == ECONNRESET || ErrnoOf(status) == EPIPE) return 0;
  fmt::print(stderr, "ocirun-criu: {}\n", MessageOf(status));
  return 1;
}

}  // namespace
}  // namespace ocirun::criu_rpc

int main() { return ocirun::criu_rpc::Main(); }
