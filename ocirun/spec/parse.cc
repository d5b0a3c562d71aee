// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <limits>
#include <set>

#include "base/json.h"
#include "ocirun/spec/spec.h"

namespace ocirun::oci {
namespace {

// Fields that the specification knows and this runtime does not do yet. A zero value (empty string,
// empty array, 0, false) asks for nothing and is let through, as Go's encoders write it.
Status RefuseUnsupported(const JsonView& view, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    ASSIGN_OR_RETURN(const JsonView field, view.Get(key));
    if (!field.present()) continue;
    const Json& value = *field.raw();
    const bool asks_nothing = (value.is_string() && value.get_ref<const std::string&>().empty()) ||
                              (value.is_structured() && value.empty()) ||
                              (value.is_number() && value == 0) || value == false;
    if (!asks_nothing) return Unsupported("{}: not supported", field.path());
  }
  return absl::OkStatus();
}

Status CheckNoNul(const JsonView& view, const std::string& text) {
  return text.find('\0') == std::string::npos ? absl::OkStatus() : view.Bad("holds a NUL byte");
}

// One member read by `parse` into `*out`, left alone when it is absent.
template <typename T, typename Parse>
Status ReadInto(const JsonView& parent, std::string_view key, T* out, Parse parse) {
  ASSIGN_OR_RETURN(const JsonView view, parent.Get(key));
  if (!view.present()) return absl::OkStatus();
  ASSIGN_OR_RETURN(auto value, parse(view));
  *out = std::move(value);
  return absl::OkStatus();
}

// The elements of an array, each read by `parse`.
template <typename T, typename Parse>
Status ReadList(const JsonView& parent, std::string_view key, std::vector<T>* out, Parse parse) {
  ASSIGN_OR_RETURN(const JsonView array, parent.Get(key));
  ASSIGN_OR_RETURN(const std::vector<JsonView> elements, array.Elements());
  out->reserve(elements.size());
  for (const JsonView& element : elements) {
    ASSIGN_OR_RETURN(T value, parse(element));
    out->push_back(std::move(value));
  }
  return absl::OkStatus();
}

Status ReadStringMap(const JsonView& parent, std::string_view key,
                     std::map<std::string, std::string>* out) {
  ASSIGN_OR_RETURN(const JsonView object, parent.Get(key));
  ASSIGN_OR_RETURN(const auto members, object.Members());
  for (const auto& [name, value] : members) {
    ASSIGN_OR_RETURN(std::string text, value.String());
    out->emplace(name, std::move(text));
  }
  return absl::OkStatus();
}

StatusOr<uint16_t> UInt16(const JsonView& view) {
  ASSIGN_OR_RETURN(const uint32_t wide, view.UInt32());
  if (wide > std::numeric_limits<uint16_t>::max()) return view.Bad("number out of range");
  return static_cast<uint16_t>(wide);
}

// ---- process

StatusOr<User> ParseUser(const JsonView& view) {
  User user;
  ASSIGN_OR_RETURN(const auto uid, OptionalUInt32(view, "uid"));
  ASSIGN_OR_RETURN(const auto gid, OptionalUInt32(view, "gid"));
  ASSIGN_OR_RETURN(const auto umask, OptionalUInt32(view, "umask"));
  user.uid = uid.value_or(0);
  user.gid = gid.value_or(0);
  if (umask.has_value()) {
    if (*umask > 0777) return view.Get("umask")->Bad("must be at most 0777");
    user.umask = *umask;
  }
  RETURN_IF_ERROR(ReadList(view, "additionalGids", &user.additional_gids,
                           [](const JsonView& v) -> StatusOr<gid_t> { return v.UInt32(); }));
  return user;
}

StatusOr<Capabilities> ParseCapabilities(const JsonView& view) {
  Capabilities caps;
  const std::pair<std::string_view, std::vector<std::string>*> sets[] = {
      {"bounding", &caps.bounding},       {"effective", &caps.effective},
      {"inheritable", &caps.inheritable}, {"permitted", &caps.permitted},
      {"ambient", &caps.ambient},
  };
  for (const auto& [key, set] : sets) {
    RETURN_IF_ERROR(ReadList(view, key, set, [](const JsonView& v) -> StatusOr<std::string> {
      ASSIGN_OR_RETURN(std::string name, v.String());
      if (CapabilityBit(name) < 0) return v.Bad(fmt::format("unknown capability {:?}", name));
      return name;
    }));
  }
  return caps;
}

StatusOr<Rlimit> ParseRlimit(const JsonView& view) {
  Rlimit limit;
  ASSIGN_OR_RETURN(const JsonView type, view.Get("type"));
  ASSIGN_OR_RETURN(limit.type, type.String());
  limit.resource = RlimitResource(limit.type);
  if (limit.resource < 0) return type.Bad(fmt::format("unknown resource limit {:?}", limit.type));
  ASSIGN_OR_RETURN(const JsonView soft, view.Get("soft"));
  ASSIGN_OR_RETURN(const JsonView hard, view.Get("hard"));
  ASSIGN_OR_RETURN(limit.soft, soft.UInt64());
  ASSIGN_OR_RETURN(limit.hard, hard.UInt64());
  if (limit.soft > limit.hard) return soft.Bad("must not be above the hard limit");
  return limit;
}

StatusOr<ConsoleSize> ParseConsoleSize(const JsonView& view) {
  ConsoleSize size;
  ASSIGN_OR_RETURN(const JsonView width, view.Get("width"));
  ASSIGN_OR_RETURN(const JsonView height, view.Get("height"));
  ASSIGN_OR_RETURN(size.width, UInt16(width));
  ASSIGN_OR_RETURN(size.height, UInt16(height));
  return size;
}

StatusOr<Process> ParseProcessView(const JsonView& view) {
  Process process;
  RETURN_IF_ERROR(RefuseUnsupported(view, {"apparmorProfile", "selinuxLabel", "ioPriority",
                                           "scheduler", "execCPUAffinity", "commandLine"}));
  ASSIGN_OR_RETURN(process.terminal, BoolOr(view, "terminal", false));
  ASSIGN_OR_RETURN(process.no_new_privileges, BoolOr(view, "noNewPrivileges", false));
  ASSIGN_OR_RETURN(process.env, StringsOf(view, "env"));
  ASSIGN_OR_RETURN(process.args, StringsOf(view, "args"));
  ASSIGN_OR_RETURN(const JsonView cwd, view.Get("cwd"));
  ASSIGN_OR_RETURN(process.cwd, cwd.String());
  if (process.cwd.empty() || process.cwd[0] != '/') return cwd.Bad("must be an absolute path");
  ASSIGN_OR_RETURN(const JsonView args, view.Get("args"));
  if (process.args.empty() || process.args[0].empty()) return args.Bad("must not be empty");
  for (const std::string& arg : process.args) RETURN_IF_ERROR(CheckNoNul(args, arg));
  ASSIGN_OR_RETURN(const JsonView env, view.Get("env"));
  for (const std::string& entry : process.env) RETURN_IF_ERROR(CheckNoNul(env, entry));
  RETURN_IF_ERROR(ReadInto(view, "consoleSize", &process.console_size, ParseConsoleSize));
  RETURN_IF_ERROR(ReadInto(view, "user", &process.user, ParseUser));
  RETURN_IF_ERROR(ReadInto(view, "capabilities", &process.capabilities, ParseCapabilities));
  RETURN_IF_ERROR(ReadList(view, "rlimits", &process.rlimits, ParseRlimit));
  for (size_t i = 0; i < process.rlimits.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (process.rlimits[i].resource == process.rlimits[j].resource)
        return view.Get("rlimits")->Bad(fmt::format("{} stands twice", process.rlimits[i].type));
  ASSIGN_OR_RETURN(const auto score, OptionalInt64(view, "oomScoreAdj"));
  if (score.has_value()) {
    if (*score < -1000 || *score > 1000)
      return view.Get("oomScoreAdj")->Bad("must be from -1000 to 1000");
    process.oom_score_adj = static_cast<int>(*score);
  }
  return process;
}

// ---- mounts

StatusOr<Mount> ParseMount(const JsonView& view) {
  Mount mount;
  RETURN_IF_ERROR(RefuseUnsupported(view, {"uidMappings", "gidMappings"}));
  ASSIGN_OR_RETURN(const JsonView destination, view.Get("destination"));
  ASSIGN_OR_RETURN(mount.destination, destination.String());
  if (mount.destination.empty()) return destination.Bad("must not be empty");
  // Relative ones are deprecated: taken from the root, as the specification asks.
  if (mount.destination[0] != '/') mount.destination.insert(0, "/");
  RETURN_IF_ERROR(CheckNoNul(destination, mount.destination));
  ASSIGN_OR_RETURN(mount.type, StringOr(view, "type", ""));
  ASSIGN_OR_RETURN(mount.source, StringOr(view, "source", ""));
  ASSIGN_OR_RETURN(mount.options, StringsOf(view, "options"));
  return mount;
}

// ---- linux

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

StatusOr<DeviceRule> ParseDeviceRule(const JsonView& view) {
  DeviceRule rule;
  ASSIGN_OR_RETURN(const JsonView allow, view.Get("allow"));
  ASSIGN_OR_RETURN(rule.allow, allow.Bool());
  ASSIGN_OR_RETURN(const std::string type, StringOr(view, "type", "a"));
  if (type != "a" && type != "b" && type != "c" && !type.empty())
    return view.Get("type")->Bad("must be a, b or c");
  rule.type = type.empty() ? 'a' : type[0];
  const auto number = [&](std::string_view key) -> StatusOr<std::optional<int64_t>> {
    ASSIGN_OR_RETURN(auto value, OptionalInt64(view, key));
    if (value == -1) value.reset();
    if (value.has_value() && *value < 0) return view.Get(key)->Bad("must not be negative");
    return value;
  };
  ASSIGN_OR_RETURN(rule.major, number("major"));
  ASSIGN_OR_RETURN(rule.minor, number("minor"));
  ASSIGN_OR_RETURN(rule.access, StringOr(view, "access", "rwm"));
  if (rule.access.empty()) rule.access = "rwm";
  if (rule.access.find_first_not_of("rwm") != std::string::npos)
    return view.Get("access")->Bad("must be made of r, w and m");
  return rule;
}

StatusOr<MemoryResources> ParseMemory(const JsonView& view) {
  MemoryResources memory;
  const std::pair<std::string_view, std::optional<int64_t>*> sizes[] = {
      {"limit", &memory.limit},   {"reservation", &memory.reservation}, {"swap", &memory.swap},
      {"kernel", &memory.kernel}, {"kernelTCP", &memory.kernel_tcp},
  };
  for (const auto& [key, size] : sizes) {
    ASSIGN_OR_RETURN(*size, OptionalInt64(view, key));
    if (size->has_value() && **size < -1) return view.Get(key)->Bad("must be -1 or a size");
  }
  ASSIGN_OR_RETURN(memory.swappiness, OptionalUInt64(view, "swappiness"));
  if (memory.swappiness.value_or(0) > 100)
    return view.Get("swappiness")->Bad("must be at most 100");
  const std::pair<std::string_view, std::optional<bool>*> switches[] = {
      {"disableOOMKiller", &memory.disable_oom_killer},
      {"useHierarchy", &memory.use_hierarchy},
      {"checkBeforeUpdate", &memory.check_before_update}};
  for (const auto& [key, field] : switches)
    RETURN_IF_ERROR(ReadInto(view, key, field, [](const JsonView& v) { return v.Bool(); }));
  return memory;
}

StatusOr<CpuResources> ParseCpu(const JsonView& view) {
  CpuResources cpu;
  ASSIGN_OR_RETURN(cpu.shares, OptionalUInt64(view, "shares"));
  ASSIGN_OR_RETURN(cpu.quota, OptionalInt64(view, "quota"));
  ASSIGN_OR_RETURN(cpu.period, OptionalUInt64(view, "period"));
  ASSIGN_OR_RETURN(cpu.burst, OptionalUInt64(view, "burst"));
  ASSIGN_OR_RETURN(cpu.idle, OptionalInt64(view, "idle"));
  ASSIGN_OR_RETURN(cpu.realtime_runtime, OptionalInt64(view, "realtimeRuntime"));
  ASSIGN_OR_RETURN(cpu.realtime_period, OptionalUInt64(view, "realtimePeriod"));
  ASSIGN_OR_RETURN(cpu.cpus, StringOr(view, "cpus", ""));
  ASSIGN_OR_RETURN(cpu.mems, StringOr(view, "mems", ""));
  return cpu;
}

StatusOr<ThrottleDevice> ParseThrottle(const JsonView& view) {
  ThrottleDevice device;
  ASSIGN_OR_RETURN(const JsonView major, view.Get("major"));
  ASSIGN_OR_RETURN(const JsonView minor, view.Get("minor"));
  ASSIGN_OR_RETURN(const JsonView rate, view.Get("rate"));
  ASSIGN_OR_RETURN(device.major, major.Int64());
  ASSIGN_OR_RETURN(device.minor, minor.Int64());
  ASSIGN_OR_RETURN(device.rate, rate.UInt64());
  return device;
}

StatusOr<WeightDevice> ParseWeightDevice(const JsonView& view) {
  WeightDevice device;
  ASSIGN_OR_RETURN(const JsonView major, view.Get("major"));
  ASSIGN_OR_RETURN(const JsonView minor, view.Get("minor"));
  ASSIGN_OR_RETURN(device.major, major.Int64());
  ASSIGN_OR_RETURN(device.minor, minor.Int64());
  RETURN_IF_ERROR(ReadInto(view, "weight", &device.weight, UInt16));
  RETURN_IF_ERROR(ReadInto(view, "leafWeight", &device.leaf_weight, UInt16));
  return device;
}

StatusOr<BlockIo> ParseBlockIo(const JsonView& view) {
  BlockIo io;
  RETURN_IF_ERROR(ReadInto(view, "weight", &io.weight, UInt16));
  RETURN_IF_ERROR(ReadInto(view, "leafWeight", &io.leaf_weight, UInt16));
  RETURN_IF_ERROR(ReadList(view, "weightDevice", &io.weight_device, ParseWeightDevice));
  RETURN_IF_ERROR(ReadList(view, "throttleReadBpsDevice", &io.read_bps, ParseThrottle));
  RETURN_IF_ERROR(ReadList(view, "throttleWriteBpsDevice", &io.write_bps, ParseThrottle));
  RETURN_IF_ERROR(ReadList(view, "throttleReadIOPSDevice", &io.read_iops, ParseThrottle));
  RETURN_IF_ERROR(ReadList(view, "throttleWriteIOPSDevice", &io.write_iops, ParseThrottle));
  return io;
}

StatusOr<HugepageLimit> ParseHugepageLimit(const JsonView& view) {
  HugepageLimit limit;
  ASSIGN_OR_RETURN(const JsonView page_size, view.Get("pageSize"));
  ASSIGN_OR_RETURN(limit.page_size, page_size.String());
  // It becomes part of a file name: "2MB", "1GB".
  if (limit.page_size.find_first_not_of("0123456789KMGB") != std::string::npos)
    return page_size.Bad("must be like 2MB");
  ASSIGN_OR_RETURN(const JsonView bytes, view.Get("limit"));
  ASSIGN_OR_RETURN(limit.limit, bytes.UInt64());
  return limit;
}

StatusOr<Resources> ParseResources(const JsonView& view) {
  Resources resources;
  RETURN_IF_ERROR(RefuseUnsupported(view, {"rdma", "network"}));
  RETURN_IF_ERROR(ReadList(view, "devices", &resources.devices, ParseDeviceRule));
  RETURN_IF_ERROR(ReadInto(view, "memory", &resources.memory, ParseMemory));
  RETURN_IF_ERROR(ReadInto(view, "cpu", &resources.cpu, ParseCpu));
  RETURN_IF_ERROR(ReadInto(view, "blockIO", &resources.block_io, ParseBlockIo));
  RETURN_IF_ERROR(ReadList(view, "hugepageLimits", &resources.hugepage_limits, ParseHugepageLimit));
  ASSIGN_OR_RETURN(const JsonView pids, view.Get("pids"));
  ASSIGN_OR_RETURN(resources.pids_limit, OptionalInt64(pids, "limit"));
  RETURN_IF_ERROR(ReadStringMap(view, "unified", &resources.unified));
  for (const auto& [file, value] : resources.unified)
    if (file.empty() || file.find('/') != std::string::npos)
      return view.Get("unified")->Bad(fmt::format("{:?} is not a file name", file));
  return resources;
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

StatusOr<Seccomp> ParseSeccomp(const JsonView& view) {
  Seccomp seccomp;
  RETURN_IF_ERROR(RefuseUnsupported(view, {"listenerPath", "listenerMetadata"}));
  ASSIGN_OR_RETURN(const JsonView action, view.Get("defaultAction"));
  ASSIGN_OR_RETURN(seccomp.default_action, action.String());
  ASSIGN_OR_RETURN(seccomp.default_errno_ret, OptionalUInt32(view, "defaultErrnoRet"));
  ASSIGN_OR_RETURN(seccomp.architectures, StringsOf(view, "architectures"));
  ASSIGN_OR_RETURN(seccomp.flags, StringsOf(view, "flags"));
  RETURN_IF_ERROR(ReadList(view, "syscalls", &seccomp.syscalls, ParseSeccompRule));
  return seccomp;
}

Status CheckNamespaces(const JsonView& view, const Linux& linux) {
  ASSIGN_OR_RETURN(const JsonView namespaces, view.Get("namespaces"));
  std::set<NamespaceType> seen;
  for (const Namespace& ns : linux.namespaces)
    if (!seen.insert(ns.type).second)
      return namespaces.Bad(fmt::format("{} stands twice", NamespaceName(ns.type)));
  const bool mapped = !linux.uid_mappings.empty() || !linux.gid_mappings.empty();
  if (linux.Makes(NamespaceType::kUser) != mapped)
    return view.Bad(mapped ? "uidMappings and gidMappings need a new user namespace"
                           : "a new user namespace needs uidMappings and gidMappings");
  if (linux.uid_mappings.empty() != linux.gid_mappings.empty())
    return view.Bad("uidMappings and gidMappings go together");
  if (!linux.sysctl.empty()) {
    for (const auto& [key, value] : linux.sysctl)
      if (key.find("..") != std::string::npos || key.find('\0') != std::string::npos)
        return view.Get("sysctl")->Bad(fmt::format("{:?} is not the name of a sysctl", key));
  }
  return absl::OkStatus();
}

Status CheckPaths(const JsonView& view, std::string_view key,
                  const std::vector<std::string>& paths) {
  for (const std::string& path : paths)
    if (path.empty() || path[0] != '/')
      return view.Get(key)->Bad(fmt::format("{:?} is not an absolute path", path));
  return absl::OkStatus();
}

StatusOr<Linux> ParseLinux(const JsonView& view) {
  Linux linux;
  RETURN_IF_ERROR(RefuseUnsupported(view, {"intelRdt", "personality", "timeOffsets", "netDevices",
                                           "memoryPolicy", "mountLabel"}));
  RETURN_IF_ERROR(ReadList(view, "namespaces", &linux.namespaces, ParseNamespace));
  RETURN_IF_ERROR(ReadList(view, "uidMappings", &linux.uid_mappings, ParseIdMapping));
  RETURN_IF_ERROR(ReadList(view, "gidMappings", &linux.gid_mappings, ParseIdMapping));
  RETURN_IF_ERROR(ReadList(view, "devices", &linux.devices, ParseDevice));
  ASSIGN_OR_RETURN(linux.cgroups_path, StringOr(view, "cgroupsPath", ""));
  RETURN_IF_ERROR(ReadInto(view, "resources", &linux.resources, ParseResources));
  ASSIGN_OR_RETURN(linux.rootfs_propagation, StringOr(view, "rootfsPropagation", ""));
  for (const std::string_view prefix : {"r"})  // rprivate and private are one thing for the root
    if (linux.rootfs_propagation.rfind(prefix, 0) == 0) linux.rootfs_propagation.erase(0, 1);
  constexpr std::string_view kPropagations[] = {"", "private", "slave", "shared", "unbindable"};
  if (std::find(std::begin(kPropagations), std::end(kPropagations), linux.rootfs_propagation) ==
      std::end(kPropagations))
    return view.Get("rootfsPropagation")->Bad("must be private, slave, shared or unbindable");
  RETURN_IF_ERROR(ReadInto(view, "seccomp", &linux.seccomp, ParseSeccomp));
  RETURN_IF_ERROR(ReadStringMap(view, "sysctl", &linux.sysctl));
  ASSIGN_OR_RETURN(linux.masked_paths, StringsOf(view, "maskedPaths"));
  ASSIGN_OR_RETURN(linux.readonly_paths, StringsOf(view, "readonlyPaths"));
  RETURN_IF_ERROR(CheckPaths(view, "maskedPaths", linux.masked_paths));
  RETURN_IF_ERROR(CheckPaths(view, "readonlyPaths", linux.readonly_paths));
  RETURN_IF_ERROR(CheckNamespaces(view, linux));
  return linux;
}

// ---- hooks and the whole

StatusOr<Hook> ParseHook(const JsonView& view) {
  Hook hook;
  ASSIGN_OR_RETURN(const JsonView path, view.Get("path"));
  ASSIGN_OR_RETURN(hook.path, path.String());
  if (hook.path.empty() || hook.path[0] != '/') return path.Bad("must be an absolute path");
  ASSIGN_OR_RETURN(hook.args, StringsOf(view, "args"));
  ASSIGN_OR_RETURN(hook.env, StringsOf(view, "env"));
  ASSIGN_OR_RETURN(hook.timeout_seconds, OptionalInt64(view, "timeout"));
  if (hook.timeout_seconds.value_or(1) <= 0) return view.Get("timeout")->Bad("must be above 0");
  return hook;
}

StatusOr<Hooks> ParseHooks(const JsonView& view) {
  Hooks hooks;
  const std::pair<std::string_view, std::vector<Hook>*> lists[] = {
      {"prestart", &hooks.prestart},
      {"createRuntime", &hooks.create_runtime},
      {"createContainer", &hooks.create_container},
      {"startContainer", &hooks.start_container},
      {"poststart", &hooks.poststart},
      {"poststop", &hooks.poststop}};
  for (const auto& [key, list] : lists) RETURN_IF_ERROR(ReadList(view, key, list, ParseHook));
  return hooks;
}

Status CheckVersion(const JsonView& root) {
  ASSIGN_OR_RETURN(const JsonView field, root.Get("ociVersion"));
  ASSIGN_OR_RETURN(const std::string version, field.String());
  int major = 0;
  const auto [end, error] = std::from_chars(version.data(), version.data() + version.size(), major);
  if (error != std::errc() || end == version.data() + version.size() || *end != '.')
    return field.Bad(fmt::format("{:?} is not a version", version));
  if (major != 1) return field.Bad(fmt::format("{} is not supported, only 1.x is", version));
  return absl::OkStatus();
}

StatusOr<Root> ParseRoot(const JsonView& view, const std::string& bundle) {
  Root root;
  ASSIGN_OR_RETURN(const JsonView path, view.Get("path"));
  ASSIGN_OR_RETURN(root.path, path.String());
  if (root.path.empty()) return path.Bad("must not be empty");
  RETURN_IF_ERROR(CheckNoNul(path, root.path));
  if (root.path[0] != '/') root.path = bundle + "/" + root.path;
  ASSIGN_OR_RETURN(root.readonly, BoolOr(view, "readonly", false));
  return root;
}

Status CheckAcross(const JsonView& root, const Spec& spec) {
  if (!spec.hostname.empty() && spec.linux.Find(NamespaceType::kUts) == nullptr)
    return root.Get("hostname")->Bad("needs a uts namespace, or it would rename the host");
  if (!spec.domainname.empty() && spec.linux.Find(NamespaceType::kUts) == nullptr)
    return root.Get("domainname")->Bad("needs a uts namespace, or it would rename the host");
  if (spec.linux.Find(NamespaceType::kMount) == nullptr)
    return Unsupported("linux.namespaces: a container without a mount namespace is not supported");
  if (spec.linux.Find(NamespaceType::kTime) != nullptr)
    return Unsupported("linux.namespaces: time is not supported");
  return absl::OkStatus();
}

}  // namespace

StatusOr<Spec> Parse(std::string_view text, const std::string& bundle) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  const JsonView view(json);
  if (!json.is_object()) return view.Bad("must be an object");
  Spec spec;
  RETURN_IF_ERROR(CheckVersion(view));
  ASSIGN_OR_RETURN(spec.version, StringOr(view, "ociVersion", ""));
  RETURN_IF_ERROR(RefuseUnsupported(view, {"solaris", "windows", "vm", "zos", "freebsd"}));
  ASSIGN_OR_RETURN(const JsonView root, view.Get("root"));
  ASSIGN_OR_RETURN(spec.root, ParseRoot(root, bundle));
  ASSIGN_OR_RETURN(spec.hostname, StringOr(view, "hostname", ""));
  ASSIGN_OR_RETURN(spec.domainname, StringOr(view, "domainname", ""));
  RETURN_IF_ERROR(ReadInto(view, "process", &spec.process, ParseProcessView));
  RETURN_IF_ERROR(ReadList(view, "mounts", &spec.mounts, ParseMount));
  RETURN_IF_ERROR(ReadInto(view, "hooks", &spec.hooks, ParseHooks));
  RETURN_IF_ERROR(ReadStringMap(view, "annotations", &spec.annotations));
  RETURN_IF_ERROR(ReadInto(view, "linux", &spec.linux, ParseLinux));
  RETURN_IF_ERROR(CheckAcross(view, spec));
  return spec;
}

StatusOr<Process> ParseProcess(std::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  return ParseProcessView(JsonView(json));
}

}  // namespace ocirun::oci
