// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "ocirun/spec/fields.h"

namespace ocirun::oci {
namespace {

// linux/personality.h.
constexpr NamedNumber kPersonalities[] = {{"LINUX", 0x0000}, {"LINUX32", 0x0008}};
// linux/mempolicy.h.
constexpr NamedNumber kMemoryModes[] = {{"MPOL_DEFAULT", 0},
                                        {"MPOL_PREFERRED", 1},
                                        {"MPOL_BIND", 2},
                                        {"MPOL_INTERLEAVE", 3},
                                        {"MPOL_LOCAL", 4},
                                        {"MPOL_PREFERRED_MANY", 5},
                                        {"MPOL_WEIGHTED_INTERLEAVE", 6}};
constexpr int kDefaultPolicy = 0, kLocalPolicy = 4;
constexpr NamedNumber kMemoryFlags[] = {{"MPOL_F_STATIC_NODES", 1u << 15},
                                        {"MPOL_F_RELATIVE_NODES", 1u << 14},
                                        {"MPOL_F_NUMA_BALANCING", 1u << 13}};

StatusOr<Namespace> ParseNamespace(const JsonView& view) {
  Namespace ns;
  ASSIGN_OR_RETURN(const JsonView type, view.Get("type"));
  ASSIGN_OR_RETURN(const std::string name, type.String());
  constexpr NamespaceType kAll[] = {
      NamespaceType::kPid, NamespaceType::kNetwork, NamespaceType::kMount,  NamespaceType::kIpc,
      NamespaceType::kUts, NamespaceType::kUser,    NamespaceType::kCgroup, NamespaceType::kTime};
  const auto* found = std::find_if(std::begin(kAll), std::end(kAll),
                                   [&](NamespaceType t) { return NamespaceName(t) == name; });
  if (found == std::end(kAll)) return type.Bad(fmt::format("unknown namespace {:?}", name));
  ns.type = *found;
  ASSIGN_OR_RETURN(ns.path, StringOr(view, "path", ""));
  if (!ns.path.empty() && ns.path[0] != '/')
    return view.Get("path")->Bad("must be an absolute path");
  return ns;
}

}  // namespace

StatusOr<IdMapping> ParseIdMapping(const JsonView& view) {
  IdMapping mapping;
  const std::pair<std::string_view, uint32_t*> fields[] = {{"containerID", &mapping.container_id},
                                                           {"hostID", &mapping.host_id},
                                                           {"size", &mapping.size}};
  for (const auto& [key, field] : fields) {
    ASSIGN_OR_RETURN(const JsonView number, view.Get(key));
    ASSIGN_OR_RETURN(*field, number.UInt32());
  }
  if (mapping.size == 0) return view.Get("size")->Bad("must not be 0");
  return mapping;
}

namespace {

StatusOr<Device> ParseDevice(const JsonView& view) {
  Device device;
  ASSIGN_OR_RETURN(const JsonView type, view.Get("type"));
  ASSIGN_OR_RETURN(const std::string letter, type.String());
  if (letter != "c" && letter != "b" && letter != "u" && letter != "p")
    return type.Bad("must be c, b, u or p");
  device.type = letter == "u" ? 'c' : letter[0];
  ASSIGN_OR_RETURN(const JsonView path, view.Get("path"));
  ASSIGN_OR_RETURN(device.path, path.String());
  if (device.path.empty() || device.path[0] != '/') return path.Bad("must be an absolute path");
  ASSIGN_OR_RETURN(const auto major, OptionalInt64(view, "major"));
  ASSIGN_OR_RETURN(const auto minor, OptionalInt64(view, "minor"));
  if (device.type != 'p' && (!major.has_value() || !minor.has_value()))
    return view.Bad("needs major and minor");
  device.major = major.value_or(0);
  device.minor = minor.value_or(0);
  ASSIGN_OR_RETURN(const auto mode, OptionalUInt32(view, "fileMode"));
  if (mode.has_value()) device.file_mode = *mode & 07777;
  ASSIGN_OR_RETURN(const auto uid, OptionalUInt32(view, "uid"));
  ASSIGN_OR_RETURN(const auto gid, OptionalUInt32(view, "gid"));
  device.uid = uid.value_or(0);
  device.gid = gid.value_or(0);
  return device;
}

StatusOr<SeccompArg> ParseSeccompArg(const JsonView& view) {
  SeccompArg arg;
  ASSIGN_OR_RETURN(const JsonView index, view.Get("index"));
  ASSIGN_OR_RETURN(arg.index, index.UInt32());
  if (arg.index > 5) return index.Bad("must be at most 5");
  ASSIGN_OR_RETURN(const JsonView value, view.Get("value"));
  ASSIGN_OR_RETURN(arg.value, value.UInt64());
  ASSIGN_OR_RETURN(const auto two, OptionalUInt64(view, "valueTwo"));
  arg.value_two = two.value_or(0);
  ASSIGN_OR_RETURN(const JsonView op, view.Get("op"));
  ASSIGN_OR_RETURN(arg.op, op.String());
  return arg;
}

StatusOr<SeccompRule> ParseSeccompRule(const JsonView& view) {
  SeccompRule rule;
  ASSIGN_OR_RETURN(const JsonView names, view.Get("names"));
  ASSIGN_OR_RETURN(rule.names, names.Strings());
  if (rule.names.empty()) return names.Bad("must not be empty");
  ASSIGN_OR_RETURN(const JsonView action, view.Get("action"));
  ASSIGN_OR_RETURN(rule.action, action.String());
  ASSIGN_OR_RETURN(rule.errno_ret, OptionalUInt32(view, "errnoRet"));
  RETURN_IF_ERROR(ReadList(view, "args", &rule.args, ParseSeccompArg));
  return rule;
}

}  // namespace

StatusOr<Seccomp> ParseSeccomp(const JsonView& view) {
  Seccomp seccomp;
  ASSIGN_OR_RETURN(const JsonView action, view.Get("defaultAction"));
  ASSIGN_OR_RETURN(seccomp.default_action, action.String());
  ASSIGN_OR_RETURN(seccomp.default_errno_ret, OptionalUInt32(view, "defaultErrnoRet"));
  ASSIGN_OR_RETURN(seccomp.architectures, StringsOf(view, "architectures"));
  RETURN_IF_ERROR(
      ReadInto(view, "flags", &seccomp.flags, [](const JsonView& v) { return v.Strings(); }));
  RETURN_IF_ERROR(ReadList(view, "syscalls", &seccomp.syscalls, ParseSeccompRule));
  ASSIGN_OR_RETURN(seccomp.listener_path, StringOr(view, "listenerPath", ""));
  ASSIGN_OR_RETURN(seccomp.listener_metadata, StringOr(view, "listenerMetadata", ""));
  if (seccomp.listener_path.empty() && !seccomp.listener_metadata.empty())
    return view.Get("listenerMetadata")->Bad("needs listenerPath");
  return seccomp;
}

namespace {

StatusOr<unsigned long> ParsePersonality(const JsonView& view) {
  ASSIGN_OR_RETURN(const JsonView domain, view.Get("domain"));
  ASSIGN_OR_RETURN(const JsonView flags, view.Get("flags"));
  ASSIGN_OR_RETURN(const auto given, flags.Elements());
  // config-linux.md#personality: there are no flags yet.
  if (!given.empty()) return flags.Bad("no flags are supported");
  ASSIGN_OR_RETURN(const uint64_t number, NumberOf(domain, kPersonalities, "personality"));
  return static_cast<unsigned long>(number);
}

StatusOr<TimeOffset> ParseTimeOffset(const JsonView& view) {
  TimeOffset out;
  ASSIGN_OR_RETURN(const auto seconds, OptionalInt64(view, "secs"));
  ASSIGN_OR_RETURN(const auto nanoseconds, OptionalUInt32(view, "nanosecs"));
  out.seconds = seconds.value_or(0);
  out.nanoseconds = nanoseconds.value_or(0);
  if (out.nanoseconds >= 1'000'000'000)
    return view.Get("nanosecs")->Bad("must be below 1000000000");
  return out;
}

Status ReadTimeOffsets(const JsonView& view, Linux* linux) {
  RETURN_IF_ERROR(ReadMap(view, "timeOffsets", &linux->time_offsets, ParseTimeOffset));
  if (linux->time_offsets.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const JsonView offsets, view.Get("timeOffsets"));
  for (const auto& [clock, offset] : linux->time_offsets)
    if (clock != "monotonic" && clock != "boottime")
      return offsets.Bad(fmt::format("unknown clock {:?}", clock));
  if (!linux->Makes(NamespaceType::kTime)) return offsets.Bad("needs a new time namespace");
  return OkStatus();
}

// dev_valid_name() of the kernel: what an interface may be called.
bool IsInterfaceName(const std::string& name) {
  constexpr size_t kMax = 15;
  return !name.empty() && name.size() <= kMax && name != "." && name != ".." &&
         name.find_first_of("/: \t\n\v\f\r") == std::string::npos;
}

Status ReadNetDevices(const JsonView& view, Linux* linux) {
  RETURN_IF_ERROR(ReadMap(view, "netDevices", &linux->net_devices,
                          [](const JsonView& v) { return StringOr(v, "name", ""); }));
  if (linux->net_devices.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const JsonView devices, view.Get("netDevices"));
  if (linux->Find(NamespaceType::kNetwork) == nullptr)
    return devices.Bad("unable to move network devices without a private NET namespace");
  std::set<std::string> names;
  for (auto& [name, inside] : linux->net_devices) {
    if (!IsInterfaceName(name))
      return devices.Bad(fmt::format("invalid network device name {:?}", name));
    if (inside.empty()) inside = name;
    if (!IsInterfaceName(inside))
      return devices.Bad(fmt::format("invalid network device name {:?}", inside));
    // "eth%d" takes the next free number, so it may stand several times.
    if (inside.find('%') == std::string::npos && !names.insert(inside).second)
      return devices.Bad(fmt::format("duplicate network device name {:?}", inside));
  }
  return OkStatus();
}

StatusOr<MemoryPolicy> ParseMemoryPolicy(const JsonView& view) {
  MemoryPolicy out;
  ASSIGN_OR_RETURN(const JsonView mode, view.Get("mode"));
  if (!mode.present()) return mode.Bad("invalid memory policy mode: is missing");
  ASSIGN_OR_RETURN(const uint64_t number,
                   NumberOf(mode, kMemoryModes, "or invalid memory policy mode"));
  out.mode = static_cast<int>(number);
  ASSIGN_OR_RETURN(const uint64_t flags,
                   FlagsOf(view, "flags", kMemoryFlags, "or invalid memory policy flag"));
  out.flags = static_cast<unsigned>(flags);
  ASSIGN_OR_RETURN(const std::string nodes, StringOr(view, "nodes", ""));
  auto numbers = ParseNumberList(nodes);
  if (!numbers.ok())
    return view.Get("nodes")->Bad("invalid memory policy node: " + MessageOf(numbers.status()));
  out.nodes = std::move(*numbers);
  // set_mempolicy(2): what the kernel would call an invalid argument.
  if ((out.mode == kDefaultPolicy || out.mode == kLocalPolicy) && !out.nodes.empty())
    return view.Bad(fmt::format("mode requires 0 nodes but got {}", out.nodes.size()));
  return out;
}

StatusOr<IntelRdt> ParseIntelRdt(const JsonView& view) {
  IntelRdt out;
  ASSIGN_OR_RETURN(const JsonView clos_id, view.Get("closID"));
  ASSIGN_OR_RETURN(out.clos_id, StringOr(view, "closID", ""));
  // It becomes a folder's name; "/" is the default class.
  if (out.clos_id == "." || out.clos_id == ".." ||
      (out.clos_id != "/" &&
       out.clos_id.find_first_of(std::string_view("/\0\n", 3)) != std::string::npos))
    return clos_id.Bad("is not the name of a class of service");
  ASSIGN_OR_RETURN(out.schemata, StringsOf(view, "schemata"));
  ASSIGN_OR_RETURN(out.l3_cache_schema, StringOr(view, "l3CacheSchema", ""));
  ASSIGN_OR_RETURN(out.mem_bw_schema, StringOr(view, "memBwSchema", ""));
  ASSIGN_OR_RETURN(out.enable_monitoring, BoolOr(view, "enableMonitoring", false));
  // Deprecated, and replaced by enableMonitoring (config-linux.md#intelrdt).
  RETURN_IF_ERROR(RefuseUnsupported(view, {"enableCMT", "enableMBM"}));
  return out;
}

Status CheckNamespaces(const JsonView& view, const Linux& linux) {
  ASSIGN_OR_RETURN(const JsonView namespaces, view.Get("namespaces"));
  std::set<NamespaceType> seen;
  for (const Namespace& ns : linux.namespaces)
    if (!seen.insert(ns.type).second)
      return namespaces.Bad(fmt::format("{} stands twice", NamespaceName(ns.type)));
  const bool mapped = !linux.uid_mappings.empty() || !linux.gid_mappings.empty();
  if (linux.Makes(NamespaceType::kUser) && !mapped)
    return view.Bad("a new user namespace needs uidMappings and gidMappings");
  // A joined one has its maps; that they are repeated here asks for nothing.
  if (linux.Find(NamespaceType::kUser) == nullptr && mapped)
    return view.Bad("uidMappings and gidMappings need a new user namespace");
  if (linux.uid_mappings.empty() != linux.gid_mappings.empty())
    return view.Bad("uidMappings and gidMappings go together");
  if (!linux.sysctl.empty()) {
    for (const auto& [key, value] : linux.sysctl)
      if (key.find("..") != std::string::npos || key.find('\0') != std::string::npos)
        return view.Get("sysctl")->Bad(fmt::format("{:?} is not the name of a sysctl", key));
  }
  return OkStatus();
}

Status CheckPaths(const JsonView& view, std::string_view key,
                  const std::vector<std::string>& paths) {
  for (const std::string& path : paths)
    if (path.empty() || path[0] != '/')
      return view.Get(key)->Bad(fmt::format("{:?} is not an absolute path", path));
  return OkStatus();
}

}  // namespace

StatusOr<Linux> ParseLinux(const JsonView& view) {
  Linux linux;
  RETURN_IF_ERROR(ReadList(view, "namespaces", &linux.namespaces, ParseNamespace));
  RETURN_IF_ERROR(ReadList(view, "uidMappings", &linux.uid_mappings, ParseIdMapping));
  RETURN_IF_ERROR(ReadList(view, "gidMappings", &linux.gid_mappings, ParseIdMapping));
  RETURN_IF_ERROR(ReadList(view, "devices", &linux.devices, ParseDevice));
  ASSIGN_OR_RETURN(linux.cgroups_path, StringOr(view, "cgroupsPath", ""));
  RETURN_IF_ERROR(ReadInto(view, "resources", &linux.resources, ParseResourcesView));
  ASSIGN_OR_RETURN(linux.rootfs_propagation, StringOr(view, "rootfsPropagation", ""));
  // Those with "r" are runc's, as in a mount's options.
  constexpr std::string_view kPropagations[] = {"",        "private",    "rprivate",
                                                "slave",   "rslave",     "shared",
                                                "rshared", "unbindable", "runbindable"};
  if (std::find(std::begin(kPropagations), std::end(kPropagations), linux.rootfs_propagation) ==
      std::end(kPropagations))
    return view.Get("rootfsPropagation")->Bad("must be private, slave, shared or unbindable");
  RETURN_IF_ERROR(ReadInto(view, "seccomp", &linux.seccomp, ParseSeccomp));
  RETURN_IF_ERROR(ReadStringMap(view, "sysctl", &linux.sysctl));
  ASSIGN_OR_RETURN(linux.masked_paths, StringsOf(view, "maskedPaths"));
  ASSIGN_OR_RETURN(linux.readonly_paths, StringsOf(view, "readonlyPaths"));
  RETURN_IF_ERROR(CheckPaths(view, "maskedPaths", linux.masked_paths));
  RETURN_IF_ERROR(CheckPaths(view, "readonlyPaths", linux.readonly_paths));
  ASSIGN_OR_RETURN(linux.mount_label, StringOr(view, "mountLabel", ""));
  RETURN_IF_ERROR(ReadInto(view, "personality", &linux.personality, ParsePersonality));
  RETURN_IF_ERROR(ReadInto(view, "memoryPolicy", &linux.memory_policy, ParseMemoryPolicy));
  RETURN_IF_ERROR(ReadInto(view, "intelRdt", &linux.intel_rdt, ParseIntelRdt));
  RETURN_IF_ERROR(ReadTimeOffsets(view, &linux));
  RETURN_IF_ERROR(ReadNetDevices(view, &linux));
  RETURN_IF_ERROR(CheckNamespaces(view, linux));
  return linux;
}

namespace {

template <size_t N>
std::vector<std::string> NamesOf(const NamedNumber (&table)[N]) {
  std::vector<std::string> names;
  for (const NamedNumber& entry : table) names.emplace_back(entry.name);
  return names;
}

}  // namespace

std::vector<std::string> MemoryPolicyModes() { return NamesOf(kMemoryModes); }
std::vector<std::string> MemoryPolicyFlags() { return NamesOf(kMemoryFlags); }

}  // namespace ocirun::oci
