// SPDX-License-Identifier: Apache-2.0
//
// info: what this host offers a container, as `features` tells what this build can do. Only looks.
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "base/sys/process.h"
#include "base/text.h"
#include "base/version.h"
#include "ocirun/cgroup/host.h"
#include "ocirun/cli/cli.h"
#include "ocirun/container/criu.h"
#include "ocirun/linux/lsm.h"

namespace ocirun::cli {
namespace {

// The words of a file of the kernel's; none when it is not there.
std::vector<std::string> WordsIn(const std::string& path) {
  const auto text = ReadFile(path);
  std::vector<std::string> words;
  if (!text.ok()) return words;
  for (const std::string_view word : SplitWords(*text, " \n")) words.emplace_back(word);
  return words;
}

uint64_t SysctlOr(const std::string& name, uint64_t otherwise) {
  const auto text = ReadFile("/proc/sys/" + name);
  return text.ok() ? LeadingNumber(*text).value_or(otherwise) : otherwise;
}

OrderedJson Kernel() {
  struct utsname name{};
  ::uname(&name);
  return {{"release", name.release}, {"architecture", name.machine}};
}

const char* ModeOf(const std::vector<cgroup::Hierarchy>& hierarchies) {
  const auto is_v2 = [](const cgroup::Hierarchy& hierarchy) { return hierarchy.v2; };
  if (hierarchies.empty()) return "none";
  if (std::all_of(hierarchies.begin(), hierarchies.end(), is_v2)) return "v2";
  return std::any_of(hierarchies.begin(), hierarchies.end(), is_v2) ? "hybrid" : "v1";
}

StatusOr<OrderedJson> Cgroups() {
  ASSIGN_OR_RETURN(const std::vector<cgroup::Hierarchy> hierarchies, cgroup::HostHierarchies());
  std::vector<std::string> controllers;
  for (const cgroup::Hierarchy& hierarchy : hierarchies) {
    const std::vector<std::string> here =
        hierarchy.v2 ? WordsIn(hierarchy.mount_point + "/cgroup.controllers")
                     : hierarchy.controllers;
    for (const std::string& name : here)
      if (name.rfind("name=", 0) != 0) controllers.push_back(name);
  }
  std::sort(controllers.begin(), controllers.end());
  return OrderedJson{{"mode", ModeOf(hierarchies)},
                     {"controllers", controllers},
                     {"systemd", PathExists("/run/systemd/system")}};  // sd_booted(3)
}

OrderedJson Namespaces() {
  OrderedJson names = OrderedJson::array();
  for (const oci::NamespaceType type : oci::kNamespaceTypes)
    if (PathExists(fmt::format("/proc/self/ns/{}", oci::NamespaceProcName(type))))
      names.push_back(oci::NamespaceName(type));
  return names;
}

OrderedJson UserNamespaces() {
  const uint64_t most = SysctlOr("user/max_user_namespaces", 0);
  // Debian's switch, and Ubuntu's.
  const bool forbidden = SysctlOr("kernel/unprivileged_userns_clone", 1) == 0 ||
                         SysctlOr("kernel/apparmor_restrict_unprivileged_userns", 0) != 0;
  return {{"max", most}, {"unprivileged", most > 0 && !forbidden}};
}

// null, or where it is and its version.
OrderedJson Criu() {
  const auto path = container::FindCriu();
  if (!path.ok()) return nullptr;
  constexpr std::chrono::seconds kLong(1);
  const auto told = RunCommand({.path = *path, .args = {"criu", "--version"}, .timeout = kLong});
  const bool knows = told.ok() && sys::ExitCodeOf(told->wait_status) == 0;
  std::string version;
  if (knows)
    for (const std::string_view word : SplitWords(told->output, " \n"))
      if (version.empty() && word[0] >= '0' && word[0] <= '9') version = word;
  return {{"path", *path}, {"version", version}};
}

StatusOr<std::string> Info() {
  ASSIGN_OR_RETURN(const OrderedJson cgroups, Cgroups());
  const std::vector<std::string> actions = WordsIn("/proc/sys/kernel/seccomp/actions_avail");
  const OrderedJson info = {{"version", kVersion},
                            {"commit", kCommit},
                            {"rootless", !sys::IsHostRoot()},
                            {"kernel", Kernel()},
                            {"cgroups", cgroups},
                            {"namespaces", Namespaces()},
                            {"userNamespaces", UserNamespaces()},
                            {"seccomp", {{"enabled", !actions.empty()}, {"actions", actions}}},
                            {"apparmor", linux_::HasAppArmor()},
                            {"selinux", linux_::HasSelinux()},
                            {"criu", Criu()}};
  return info.dump(2) + "\n";
}

}  // namespace

void DescribeInfo(CliCommand* command) {
  command->run = [](const Global&) -> StatusOr<int> {
    ASSIGN_OR_RETURN(const std::string info, Info());
    RETURN_IF_ERROR(Print(info));
    return 0;
  };
}

}  // namespace ocirun::cli
