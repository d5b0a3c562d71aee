// SPDX-License-Identifier: Apache-2.0
#include "ctl/client.h"

#include <cstdio>

namespace ocirun::ctl {

std::shared_ptr<grpc::Channel> Session::channel() {
  if (channel_ == nullptr) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(64 << 20);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
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

Status Session::Check(const grpc::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  const std::string& text = status.error_message();
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE &&
      (text.find("failed to connect to all addresses") != std::string::npos ||
       text.find("Socket closed") != std::string::npos)) {
    return Error(StatusCode::kUnavailable,
                 "Cannot connect to the ocid daemon at {}. Is the ocid daemon running?", host);
  }
  return Error(static_cast<StatusCode>(status.error_code()), "Error response from daemon: {}",
               text);
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
