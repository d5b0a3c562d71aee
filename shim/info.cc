// SPDX-License-Identifier: Apache-2.0
#include "shim/info.h"

#include <chrono>

#include "base/sys/process.h"
#include "base/version.h"
#include "containerd/types.pb.h"
#include "shim/bootstrap.h"
#include "shim/options.h"
#include "shim/runtime.h"

namespace ocirun::shim {
namespace {

constexpr char kFeaturesType[] =
    "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

// JSON, as `features` of runtimes prints it.
StatusOr<std::string> Features(const RuncOptions& options) {
  ASSIGN_OR_RETURN(const CommandResult result,
                   RunRuntime(options.binary_name(), {"features"}, std::chrono::seconds(10)));
  if (sys::ExitCodeOf(result.wait_status) != 0)
    return Internal("features of the runtime{}", OutputAfterColon(result));
  return result.output;
}

}  // namespace

StatusOr<int> Info() {
  ASSIGN_OR_RETURN(const std::string bytes, ReadStdin());
  wire::Any any;
  if (!any.ParseFromString(bytes)) return InvalidArgument("unreadable options on stdin");
  ASSIGN_OR_RETURN(const RuncOptions options, UnpackOptions(any));
  containerd::types::RuntimeInfo info;
  info.set_name("io.containerd.ocirun.v2");
  info.mutable_version()->set_version(kVersion);
  info.mutable_version()->set_revision(kCommit);
  if (!any.value().empty()) *info.mutable_options() = any;
  ASSIGN_OR_RETURN(*info.mutable_features()->mutable_value(), Features(options));
  info.mutable_features()->set_type_url(kFeaturesType);
  RETURN_IF_ERROR(Print(info.SerializeAsString()));
  return 0;
}

}  // namespace ocirun::shim
