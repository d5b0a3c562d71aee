// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/limits.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "base/path.h"
#include "base/sys/file.h"

namespace ocirun::linux_ {
namespace {

// Which namespace a sysctl belongs to (namespaces(7), Documentation/admin-guide/sysctl); nothing
// for one that belongs to the whole host.
std::optional<oci::NamespaceType> NamespaceOf(const std::string& key) {
  if (key.rfind("net.", 0) == 0) return oci::NamespaceType::kNetwork;
  if (key.rfind("fs.mqueue.", 0) == 0) return oci::NamespaceType::kIpc;
  constexpr std::string_view kIpc[] = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                       "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                       "kernel.shmmni", "kernel.shm_rmid_forced"};
  if (std::find(std::begin(kIpc), std::end(kIpc), key) != std::end(kIpc))
    return oci::NamespaceType::kIpc;
  if (key == "kernel.domainname" || key == "kernel.hostname") return oci::NamespaceType::kUts;
  return std::nullopt;
}

// Whether `path` is a namespace that the caller is in.
bool IsOwnNamespace(const std::string& path, oci::NamespaceType type) {
  const auto theirs = sys::StatPath(path);
  const auto own = sys::StatPath(fmt::format("/proc/self/ns/{}", oci::NamespaceProcName(type)));
  return theirs.ok() && own.ok() && theirs->st_dev == own->st_dev && theirs->st_ino == own->st_ino;
}

// "net.ipv4.ip_forward" -> "net/ipv4/ip_forward". With slashes it is a path already (an interface
// name may hold dots).
std::string Dotted(std::string key) {
  std::replace(key.begin(), key.end(), '/', '.');
  return key;
}
std::string PathOf(std::string key) {
  if (key.find('/') == std::string::npos) std::replace(key.begin(), key.end(), '.', '/');
  return key;
}

// What is said twice must be the same.
Status CheckAgainstField(const oci::Spec& spec, const std::string& key, const std::string& value) {
  const std::string* field = nullptr;
  if (key == "kernel.hostname") field = &spec.hostname;
  if (key == "kernel.domainname") field = &spec.domainname;
  if (field == nullptr || field->empty() || *field == value) return OkStatus();
  return InvalidArgument("linux.sysctl: {:?} conflicts with the field {:?}", key,
                         key.substr(std::strlen("kernel.")));
}

}  // namespace

Status SetRlimits(const std::vector<oci::Rlimit>& limits) {
  for (const oci::Rlimit& limit : limits) {
    const rlimit value{limit.soft, limit.hard};
    if (::setrlimit(static_cast<__rlimit_resource>(limit.resource), &value) < 0)
      return SysError(errno, "setrlimit",
                      fmt::format("{} to {}:{}", limit.type, limit.soft, limit.hard));
  }
  return OkStatus();
}

Status SetOomScoreAdj(pid_t pid, int score) {
  return Annotate(WriteFile(fmt::format("/proc/{}/oom_score_adj", pid), std::to_string(score)),
                  fmt::format("process.oomScoreAdj {}", score));
}

Status CheckSysctls(const oci::Spec& spec) {
  const oci::Linux& config = spec.linux;
  for (const auto& [key, value] : config.sysctl) {
    const auto type = NamespaceOf(Dotted(key));
    if (!type.has_value())
      return InvalidArgument("linux.sysctl: {:?} belongs to the whole host, not to a namespace",
                             key);
    if (config.Find(*type) == nullptr)
      return InvalidArgument("linux.sysctl: {:?} needs a {} namespace of the container's own", key,
                             oci::NamespaceName(*type));
    // Joined by its path it can be the host's all the same.
    const std::string& path = config.Find(*type)->path;
    if (!path.empty() && IsOwnNamespace(path, *type))
      return InvalidArgument("linux.sysctl: {:?} is not allowed in the host's {} namespace", key,
                             oci::NamespaceName(*type));
    const size_t end = value.find('\n');
    if (end != std::string::npos && end + 1 != value.size())
      return InvalidArgument("linux.sysctl: the value of {:?} must be one line", key);
    RETURN_IF_ERROR(CheckAgainstField(spec, Dotted(key), value.substr(0, end)));
  }
  return OkStatus();
}

Status SetSysctls(const oci::Linux& config, const UniqueFd& proc) {
  for (const auto& [key, value] : config.sysctl) {
    auto file = OpenBelow(proc, "sys/" + PathOf(key), O_WRONLY,
                          RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    if (!file.ok()) return Annotate(file.status(), fmt::format("linux.sysctl {:?}", key));
    RETURN_IF_ERROR(Annotate(sys::WriteAll(*file, value), fmt::format("linux.sysctl {:?}", key)));
  }
  return OkStatus();
}

}  // namespace ocirun::linux_
