// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "ocid/v1/container.grpc.pb.h"
#include "ocid/v1/image.grpc.pb.h"
#include "ocid/v1/system.grpc.pb.h"

namespace ocirun::ctl {

// What every command gets: the daemon's services, made at the first use.
class Session {
 public:
  std::string host;  // unix:///PATH

  // InvalidArgument for a host that is no absolute path of a unix socket.
  [[nodiscard]] Status CheckHost() const;

  ocid::v1::ImageService::Stub& images();
  ocid::v1::ContainerService::Stub& containers();
  ocid::v1::SystemService::Stub& daemon();

  // Makes a call that a daemon had when it ended, of the next one. For a minute that is waited for,
  // which is said on stderr if it takes more than a moment.
  Status AskAgain(const std::function<grpc::Status(grpc::ClientContext*)>& call);

  // A call's status as ours; one that never reached the daemon says so, and why.
  [[nodiscard]] Status Check(const grpc::Status& status) const;

 private:
  std::shared_ptr<grpc::Channel> channel();
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<ocid::v1::ImageService::Stub> images_;
  std::unique_ptr<ocid::v1::ContainerService::Stub> containers_;
  std::unique_ptr<ocid::v1::SystemService::Stub> system_;
};

// "Error response from daemon: ..." on stderr; returns 1.
int Fail(const Status& status);
// A status of Check with what is missing told as Docker's client does where it looks first:
// "Error: No such container: x".
Status NotFoundHere(const Status& status);
// The same for an error of our own: only the text.
int FailHere(const std::string& text, int code = 1);

// "0123456789ab" of "sha256:0123456789ab...", or of a container's id.
std::string ShortId(const std::string& id);

// Runs `one` for every name; names that worked are printed, errors told at the end as Docker does.
int ForEach(const std::vector<std::string>& names,
            const std::function<Status(const std::string&)>& one);

}  // namespace ocirun::ctl
