// SPDX-License-Identifier: Apache-2.0
#include "ocirun/spec/spec.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>

#include "base/file.h"
#include "base/json.h"
#include "base/sys/file.h"
#include "ocirun/cli/cli.h"

namespace ocirun::cli {
namespace {

OrderedJson DefaultMounts() {
  const auto mount = [](const char* destination, const char* type, const char* source,
                        std::vector<std::string> options) {
    OrderedJson json = {{"destination", destination}, {"type", type}, {"source", source}};
    if (!options.empty()) json["options"] = std::move(options);
    return json;
  };
  return OrderedJson::array(
      {mount("/proc", "proc", "proc", {}),
       mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
       mount("/dev/pts", "devpts", "devpts",
             {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
       mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
       mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
       mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
       mount("/sys/fs/cgroup", "cgroup", "cgroup",
             {"nosuid", "noexec", "nodev", "relatime", "ro"})});
}

OrderedJson DefaultLinux() {
  OrderedJson namespaces = OrderedJson::array();
  for (const char* type : {"pid", "network", "ipc", "uts", "mount"})
    namespaces.push_back({{"type", type}});
  // As runc: on v2 a container sees its own part of the tree.
  if (PathExists("/sys/fs/cgroup/cgroup.controllers")) namespaces.push_back({{"type", "cgroup"}});
  return {{"resources", {{"devices", OrderedJson::array({{{"allow", false}, {"access", "rwm"}}})}}},
          {"namespaces", namespaces},
          {"maskedPaths",
           {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
            "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
            "/proc/scsi"}},
          {"readonlyPaths",
           {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}};
}

OrderedJson DefaultProcess() {
  const OrderedJson caps = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  return {
      {"terminal", true},
      {"user", {{"uid", 0}, {"gid", 0}}},
      {"args", {"sh"}},
      {"env", {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"}},
      {"cwd", "/"},
      {"capabilities", {{"bounding", caps}, {"effective", caps}, {"permitted", caps}}},
      {"rlimits",
       OrderedJson::array({{{"type", "RLIMIT_NOFILE"}, {"hard", 1024}, {"soft", 1024}}})},
      {"noNewPrivileges", true}};
}

// What an ordinary user can have: a user namespace in which he is root, no network namespace (which
// nobody could connect), the host's /sys, and no limits.
void MakeRootless(OrderedJson* spec) {
  OrderedJson& linux_part = (*spec)["linux"];
  linux_part.erase("resources");
  OrderedJson namespaces = OrderedJson::array();
  for (const OrderedJson& ns : linux_part["namespaces"])
    if (ns["type"] != "network") namespaces.push_back(ns);
  namespaces.push_back({{"type", "user"}});
  linux_part["namespaces"] = namespaces;
  linux_part["uidMappings"] =
      OrderedJson::array({{{"containerID", 0}, {"hostID", ::geteuid()}, {"size", 1}}});
  linux_part["gidMappings"] =
      OrderedJson::array({{{"containerID", 0}, {"hostID", ::getegid()}, {"size", 1}}});
  OrderedJson mounts = OrderedJson::array();
  for (OrderedJson mount : (*spec)["mounts"]) {
    if (mount["destination"] == "/sys") {
      mounts.push_back({{"destination", "/sys"},
                        {"type", "none"},
                        {"source", "/sys"},
                        {"options", {"rbind", "nosuid", "noexec", "nodev", "ro"}}});
      continue;
    }
    // Only his own group is mapped.
    OrderedJson options = OrderedJson::array();
    if (mount.contains("options"))
      for (const OrderedJson& option : mount["options"])
        if (option.get<std::string>().rfind("gid=", 0) != 0) options.push_back(option);
    if (!options.empty()) mount["options"] = options;
    mounts.push_back(mount);
  }
  (*spec)["mounts"] = mounts;
}

std::string DefaultSpec(bool rootless) {
  OrderedJson spec = {{"ociVersion", oci::kVersion},
                      {"process", DefaultProcess()},
                      {"root", {{"path", "rootfs"}, {"readonly", true}}},
                      {"hostname", "ocirun"},
                      {"mounts", DefaultMounts()},
                      {"linux", DefaultLinux()}};
  if (rootless) MakeRootless(&spec);
  return spec.dump(1, '\t') + "\n";
}

}  // namespace

void DescribeSpec(CliCommand* command) {
  struct Flags {
    std::string bundle = ".";
    bool rootless = false;
  };
  auto flags = std::make_shared<Flags>();
  command->Option("-b,--bundle", &flags->bundle, "path to the root of the bundle directory");
  command->Flag("--rootless", &flags->rootless,
                "generate a configuration for a rootless container");
  command->run = [flags](const Global&) -> StatusOr<int> {
    const std::string path = flags->bundle + "/config.json";
    auto file = sys::Open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (ErrnoOf(file.status()) == EEXIST)
      return Error(StatusCode::kAlreadyExists, "file {} exists. Remove it first", "config.json");
    if (!file.ok()) return file.status();
    RETURN_IF_ERROR(sys::WriteAll(*file, DefaultSpec(flags->rootless)));
    return 0;
  };
}

}  // namespace ocirun::cli
