// SPDX-License-Identifier: Apache-2.0
#include "ocirun/container/criu_request.h"

#include <sched.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "base/text.h"
#include "ocirun/cgroup/manager.h"
#include "ocirun/linux/mount_options.h"

namespace ocirun::container {
namespace {

constexpr struct {
  std::string_view name;
  const char* mode;
} kCgroupModes[] = {{"", "DEFAULT"},
                    {"soft", "SOFT"},
                    {"full", "FULL"},
                    {"strict", "STRICT"},
                    {"ignore", "IGNORE"}};

StatusOr<std::string> CgroupMode(const std::string& name) {
  for (const auto& mode : kCgroupModes)
    if (mode.name == name) return std::string(mode.mode);
  return InvalidArgument("invalid manage-cgroups-mode value");
}

// The network's devices are not the runtime's: CRIU always leaves them out.
StatusOr<uint32_t> EmptyNamespaces(const std::vector<std::string>& names) {
  for (const std::string& name : names)
    if (name != oci::NamespaceName(oci::NamespaceType::kNetwork))
      return InvalidArgument("namespace {:?} is not supported", name);
  return static_cast<uint32_t>(CLONE_NEWNET);
}

// ADDRESS:PORT; an IPv6 address stands in brackets.
StatusOr<Json> PageServer(const std::string& text) {
  const size_t colon = text.rfind(':');
  std::string address = text.substr(0, colon);
  if (!address.empty() && address.front() == '[' && address.back() == ']')
    address = address.substr(1, address.size() - 2);
  else if (address.find(':') != std::string::npos)
    address.clear();
  if (colon == std::string::npos || address.empty() || colon + 1 == text.size())
    return InvalidArgument("Use --page-server ADDRESS:PORT to specify page server");
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
  if (parsed.ec != std::errc() || parsed.ptr != end || port == 0)
    return InvalidArgument("Invalid port number");
  return Json{{"address", address}, {"port", port}};
}

// CRIU reads options from a file, too, which win over ours. The annotation names one for this
// container; empty means none. A file that does not exist is fine with CRIU.
void SetConfigFile(const oci::Spec& spec, Json* options) {
  const auto annotation = spec.annotations.find("org.criu.config");
  const std::string file =
      annotation == spec.annotations.end() ? "/etc/criu/runc.conf" : annotation->second;
  if (!file.empty()) (*options)["config_file"] = file;
}

// What CRIU calls an error and goes on from: a probe of the kernel that the container's cgroup
// forbids, a tool for the network (what needs it says more), a process younger than the pre-dump.
constexpr std::string_view kHarmless[] = {"tun: Unable to create tun",
                                          "exited, status=", "page-xfer: No parent image found"};

bool IsHarmless(std::string_view reason) {
  return std::any_of(std::begin(kHarmless), std::end(kHarmless),
                     [&](std::string_view start) { return reason.rfind(start, 0) == 0; });
}

}  // namespace

StatusOr<Json> CommonOptions(const CriuOptions& options) {
  Json out = {{"log_level", 4},
              {"notify_scripts", true},
              {"orphan_pts_master", true},
              {"manage_cgroups", true},  // of old; the mode below has taken its place
              {"tcp_established", options.tcp_established},
              {"ext_unix_sk", options.ext_unix_sk},
              {"shell_job", options.shell_job},
              {"file_locks", options.file_locks},
              {"link_remap", options.link_remap},
              {"auto_dedup", options.auto_dedup},
              {"lazy_pages", options.lazy_pages}};
  ASSIGN_OR_RETURN(out["manage_cgroups_mode"], CgroupMode(options.manage_cgroups_mode));
  ASSIGN_OR_RETURN(out["empty_ns"], EmptyNamespaces(options.empty_ns));
  return out;
}

StatusOr<Json> DumpOptions(const CriuOptions& options, const oci::Spec& spec) {
  ASSIGN_OR_RETURN(Json out, CommonOptions(options));
  out["log_file"] = "dump.log";
  out["leave_running"] = options.leave_running;
  out["tcp_skip_in_flight"] = options.tcp_skip_in_flight;
  if (!options.page_server.empty()) {
    ASSIGN_OR_RETURN(out["ps"], PageServer(options.page_server));
  }
  if (!options.parent_path.empty()) {
    out["parent_img"] = options.parent_path;
    out["track_mem"] = true;
  }
  SetConfigFile(spec, &out);
  return out;
}

StatusOr<Json> RestoreOptions(const CriuOptions& options, const oci::Spec& spec) {
  ASSIGN_OR_RETURN(Json out, CommonOptions(options));
  out["log_file"] = "restore.log";
  out["evasive_devices"] = true;
  out["rst_sibling"] = true;  // the container is our child, as after a create
  out["tcp_close"] = options.tcp_close;
  if (!options.lsm_profile.empty()) out["lsm_profile"] = options.lsm_profile;
  if (!options.lsm_mount_context.empty()) out["lsm_mount_context"] = options.lsm_mount_context;
  SetConfigFile(spec, &out);
  return out;
}

std::string ExternalNamespaceKey(oci::NamespaceType type) {
  std::string name(oci::NamespaceProcName(type));
  name[0] = static_cast<char>(name[0] - 'a' + 'A');
  return "extRoot" + name + "NS";
}

std::string ExternalNamespace(oci::NamespaceType type, uint64_t inode) {
  return fmt::format("{}[{}]:{}", oci::NamespaceProcName(type), inode, ExternalNamespaceKey(type));
}

HostMounts FindHostMounts(const oci::Spec& spec,
                          const std::map<std::string, std::string>& cgroups) {
  HostMounts out;
  const bool unified = cgroups.size() == 1 && cgroups.begin()->first.empty();
  const bool own_cgroups = spec.linux.Find(oci::NamespaceType::kCgroup) != nullptr;
  for (const oci::Mount& mount : spec.mounts) {
    const auto options = linux_::ParseMountOptions(mount);
    if (options.ok() && options->bind && !options->remount) out[mount.destination] = mount.source;
    // CRIU knows a cgroup filesystem; bound parts of the host's it can't make.
    if ((mount.type != "cgroup" && mount.type != "cgroup2") || unified || own_cgroups) continue;
    for (const auto& [name, folder] : cgroups)
      if (name != cgroup::kUnified) out[mount.destination + "/" + name] = folder;
  }
  return out;
}

Json ExternalMount(const std::string& key, const std::string& val) {
  return {{"key", key}, {"val", val}};
}

Json InheritedPipes(const std::vector<std::string>& descriptors) {
  Json out = Json::array();
  for (size_t fd = 0; fd < descriptors.size(); ++fd)
    if (descriptors[fd].rfind("pipe:", 0) == 0)
      out.push_back({{"key", descriptors[fd]}, {"fd", fd}});
  return out;
}

std::string FirstError(std::string_view log) {
  for (const std::string_view line : SplitWords(log, "\n")) {
    // "(00.005541) Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds", and without a
    // time on the terminal.
    size_t at = line.find("Error (");
    if (at == std::string_view::npos) continue;
    at = line.find("): ", at);
    if (at == std::string_view::npos) continue;
    const std::string_view reason = line.substr(at + 3);
    if (!IsHarmless(reason)) return std::string(reason);
  }
  return {};
}

}  // namespace ocirun::container
