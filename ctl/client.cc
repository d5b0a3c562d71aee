// SPDX-License-Identifier: Apache-2.0
#include "ctl/client.h"

#include <grpc/support/log.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ocirun::ctl {
namespace {

constexpr std::chrono::seconds kDaemonRestarts{1}, kDaemonReturns{60};
constexpr std::string_view kScheme = "unix://";
constexpr std::string_view kFromDaemon = "Error response from daemon: ";

// Why the socket cannot be used: errno of a connect of our own; 0 when it can. gRPC keeps it for
// itself.
int ConnectError(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  const bool connected =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const int error = connected ? 0 : errno;
  close(fd);
  return error;
}

}  // namespace

Status Session::CheckHost() const {
  const bool scheme = host.starts_with(kScheme);
  if (!scheme || host.size() <= kScheme.size() || host[kScheme.size()] != '/') {
    return InvalidArgument(
        "invalid daemon socket \"{}\": it must be unix:// and an absolute path, as "
        "unix:///run/ocid/ocid.sock",
        host);
  }
  if (host.size() - kScheme.size() >= sizeof(sockaddr_un::sun_path)) {
    return InvalidArgument("invalid daemon socket \"{}\": the path is longer than {} bytes", host,
                           sizeof(sockaddr_un::sun_path) - 1);
  }
  return OkStatus();
}

std::shared_ptr<grpc::Channel> Session::channel() {
  if (channel_ == nullptr) {
    // Our own messages say what is wrong; gRPC's log is for who asks for it.
    if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function([](gpr_log_func_args*) {});
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(64 << 20);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    // Who waits for a daemon to return looks for it every half second.
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
    channel_ = grpc::CreateCustomChannel(host, grpc::InsecureChannelCredentials(), arguments);
  }
  return channel_;
}

ocid::v1::ImageService::Stub& Session::images() {
  if (images_ == nullptr) images_ = ocid::v1::ImageService::NewStub(channel());
  return *images_;
}

ocid::v1::ContainerService::Stub& Session::containers() {
  if (containers_ == nullptr) containers_ = ocid::v1::ContainerService::NewStub(channel());
  return *containers_;
}

ocid::v1::SystemService::Stub& Session::daemon() {
  if (system_ == nullptr) system_ = ocid::v1::SystemService::NewStub(channel());
  return *system_;
}

Status Session::AskAgain(const std::function<grpc::Status(grpc::ClientContext*)>& call) {
  const auto is_there = [this](std::chrono::seconds wait) {
    return channel()->WaitForConnected(std::chrono::system_clock::now() + wait);
  };
  for (;;) {
    bool connected = is_there(kDaemonRestarts);
    if (!connected) {
      fmt::print(stderr, "{}: the daemon has ended, containers run on. Waiting for it to return.\n",
                 host);
      connected = is_there(kDaemonReturns);
    }
    grpc::ClientContext context;
    const grpc::Status status = call(&context);
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE || !connected) return Check(status);
  }
}

Status Session::Check(const grpc::Status& status) const {
  if (status.ok()) return OkStatus();
  const std::string& text = status.error_message();
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE &&
      (text.find("failed to connect to all addresses") != std::string::npos ||
       text.find("Socket closed") != std::string::npos)) {
    const std::string path = host.substr(kScheme.size());
    if (ConnectError(path) == EACCES) {
      return Error(StatusCode::kPermissionDenied,
                   "Got permission denied while trying to connect to the ocid daemon socket at {}: "
                   "dial unix {}: connect: permission denied",
                   host, path);
    }
    return Error(StatusCode::kUnavailable,
                 "Cannot connect to the ocid daemon at {}. Is the ocid daemon running?", host);
  }
  return Error(static_cast<StatusCode>(status.error_code()), "{}{}", kFromDaemon, text);
}

Status NotFoundHere(const Status& status) {
  const std::string text = MessageOf(status);
  if (status.code() != StatusCode::kNotFound || !text.starts_with(kFromDaemon)) return status;
  return NotFound("Error: {}", text.substr(kFromDaemon.size()));
}

int Fail(const Status& status) { return FailHere(MessageOf(status)); }

int FailHere(const std::string& text, int code) {
  std::fflush(stdout);
  fmt::print(stderr, "{}\n", text);
  return code;
}

std::string ShortId(const std::string& id) {
  return (id.starts_with("sha256:") ? id.substr(7) : id).substr(0, 12);
}

int ForEach(const std::vector<std::string>& names,
            const std::function<Status(const std::string&)>& one) {
  int code = 0;
  for (const std::string& name : names) {
    const Status status = one(name);
    if (status.ok()) {
      fmt::print("{}\n", name);
    } else {
      code = Fail(status);
    }
  }
  return code;
}

}  // namespace ocirun::ctl
