// SPDX-License-Identifier: Apache-2.0
#include "shim/info.h"

#include <unistd.h>

#include "base/subprocess.h"
#include "base/sys/process.h"
#include "base/version.h"
#include "containerd/types.pb.h"
#include "ocirun/linux/exec_lookup.h"
#include "shim/bootstrap.h"
#include "shim/options.h"

namespace ocirun::shim {
namespace {

constexpr char kFeaturesType[] =
    "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

// JSON, as `features` of runtimes prints it.
StatusOr<std::string> Features(const RuncOptions& options) {
  std::vector<std::string> environment;
  for (char** word = environ; *word != nullptr; ++word) environment.emplace_back(*word);
  ASSIGN_OR_RETURN(const std::string program,
                   linux_::FindExecutable(RuntimeProgram(options), environment));
  ASSIGN_OR_RETURN(const CommandResult result, RunCommand({.path = program,
                                                           .args = {program, "features"},
                                                           .env = environment,
                                                           .timeout = std::chrono::seconds(10),
                                                           .max_output = 1u << 20}));
  if (sys::ExitCodeOf(result.wait_status) != 0)
    return Internal("{} features{}", program, OutputAfterColon(result));
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
