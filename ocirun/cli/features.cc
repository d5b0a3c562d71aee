// SPDX-License-Identifier: Apache-2.0
//
// features: what this build can do (features.md, features-linux.md of the specification), whatever
// the host allows.
#include <seccomp.h>

#include <memory>

#include "base/json.h"
#include "base/version.h"
#include "ocirun/cgroup/manager.h"
#include "ocirun/cli/cli.h"
#include "ocirun/container/lifecycle.h"
#include "ocirun/linux/mount_options.h"
#include "ocirun/linux/seccomp.h"
#include "ocirun/spec/spec.h"

namespace ocirun::cli {
namespace {

OrderedJson Capabilities() {
  OrderedJson names = OrderedJson::array();
  for (int bit = 0; !oci::CapabilityName(bit).empty(); ++bit)
    names.push_back(oci::CapabilityName(bit));
  return names;
}

OrderedJson Seccomp() {
  return {{"enabled", true},
          {"actions", linux_::SeccompActions()},
          {"operators", linux_::SeccompOperators()},
          {"archs", linux_::SeccompArchitectures()},
          {"knownFlags", linux_::SeccompFlags()},
          {"supportedFlags", linux_::SeccompFlags()}};
}

OrderedJson Linux() {
  const OrderedJson enabled = {{"enabled", true}};
  return {
      {"namespaces", {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}},
      {"capabilities", Capabilities()},
      {"cgroup",
       {{"v1", true},
        {"v2", true},
        {"systemd", cgroup::kHasSystemdDriver},
        {"systemdUser", cgroup::kHasSystemdDriver},
        {"rdma", true}}},
      {"seccomp", Seccomp()},
      {"apparmor", enabled},
      {"selinux", enabled},
      {"intelRdt", {{"enabled", true}, {"schemata", true}, {"monitoring", true}}},
      {"memoryPolicy", {{"modes", oci::MemoryPolicyModes()}, {"flags", oci::MemoryPolicyFlags()}}},
      {"mountExtensions", {{"idmap", enabled}}},
      {"netDevices", enabled}};
}

std::string Features() {
  const scmp_version* seccomp = ::seccomp_version();
  const OrderedJson features = {
      {"ociVersionMin", "1.0.0"},
      {"ociVersionMax", oci::kVersion},
      {"hooks",
       {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}},
      {"mountOptions", linux_::KnownMountOptions()},
      {"linux", Linux()},
      {"annotations",
       {{"io.github.seccomp.libseccomp.version",
         fmt::format("{}.{}.{}", seccomp->major, seccomp->minor, seccomp->micro)},
        {"org.opencontainers.runc.checkpoint.enabled",
         container::kHasCheckpoint ? "true" : "false"},
        {"io.ocirun.version", kVersion},
        {"io.ocirun.commit", kCommit}}},
      {"potentiallyUnsafeConfigAnnotations",
       {"bundle", "org.systemd.property.", "org.criu.config", "run.oci.seccomp_bpf_data",
        "run.oci.pidfd_receiver"}}};
  return features.dump(4) + "\n";
}

}  // namespace

void DescribeFeatures(CliCommand* command) {
  command->run = [](const Global&) -> StatusOr<int> {
    RETURN_IF_ERROR(Print(Features()));
    return 0;
  };
}

}  // namespace ocirun::cli
