// SPDX-License-Identifier: Apache-2.0
//
// ocirun-systemd: does what the runtime asks of systemd (property.h), so that the runtime does not
// carry libsystemd. As the first process of a new scope it keeps it until the container's own is
// there: systemd ends a scope with its last process, and so nothing is left of a start that is
// killed.
#include <fcntl.h>
#include <signal.h>

#include "base/sys/socket.h"
#include "ocirun/systemd/bus.h"

namespace ocirun::systemd {
namespace {

constexpr size_t kMaxMessage = 1u << 20;

Json Answer(const std::string& message) {
  auto request = ParseRequest(message);
  auto answer = request.ok() ? Serve(std::move(*request)) : StatusOr<Json>(request.status());
  return answer.ok() ? *answer : Json{{"error", MessageOf(answer.status())}};
}

Status Loop(const UniqueFd& runtime) {
  for (;;) {
    ASSIGN_OR_RETURN(const std::string message, sys::Receive(runtime, kMaxMessage));
    if (message.empty()) return OkStatus();
    // What systemd says is text of any kind.
    RETURN_IF_ERROR(
        sys::Send(runtime, Answer(message).dump(-1, ' ', false, Json::error_handler_t::replace)));
  }
}

int Main() {
  const UniqueFd runtime(3);
  if (::fcntl(3, F_GETFD) < 0) {
    fmt::print(stderr, "ocirun-systemd: is started by ocirun --systemd-cgroup\n");
    return 2;
  }
  // What is meant for the container's processes in the scope is not for this one.
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::signal(signal, SIG_IGN);
  const Status status = Loop(runtime);
  if (status.ok() || ErrnoOf(status) == ECONNRESET || ErrnoOf(status) == EPIPE) return 0;
  fmt::print(stderr, "ocirun-systemd: {}\n", MessageOf(status));
  return 1;
}

}  // namespace
}  // namespace ocirun::systemd

int main() { return ocirun::systemd::Main(); }
