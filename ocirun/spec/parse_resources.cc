// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ocirun/spec/fields.h"

namespace ocirun::oci {
namespace {

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
  // runc lets an "a" pass, which stands for nothing.
  rule.access.erase(std::remove(rule.access.begin(), rule.access.end(), 'a'), rule.access.end());
  if (rule.access.empty() || rule.access.find_first_not_of("rwm") != std::string::npos)
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

StatusOr<NetworkResources> ParseNetwork(const JsonView& view) {
  NetworkResources out;
  ASSIGN_OR_RETURN(out.class_id, OptionalUInt32(view, "classID"));
  RETURN_IF_ERROR(ReadList(view, "priorities", &out.priorities,
                           [](const JsonView& v) -> StatusOr<NetworkPriority> {
                             NetworkPriority priority;
                             ASSIGN_OR_RETURN(const JsonView name, v.Get("name"));
                             ASSIGN_OR_RETURN(priority.interface, name.String());
                             if (priority.interface.find_first_of(" \n") != std::string::npos)
                               return name.Bad("is not the name of an interface");
                             ASSIGN_OR_RETURN(const JsonView number, v.Get("priority"));
                             ASSIGN_OR_RETURN(priority.priority, number.UInt32());
                             return priority;
                           }));
  return out;
}

StatusOr<RdmaLimit> ParseRdma(const JsonView& view) {
  RdmaLimit out;
  ASSIGN_OR_RETURN(out.hca_handles, OptionalUInt32(view, "hcaHandles"));
  ASSIGN_OR_RETURN(out.hca_objects, OptionalUInt32(view, "hcaObjects"));
  return out;
}

// A name that becomes the name of a file in the cgroup's folder: "memory.high".
bool IsControlFile(const std::string& name) {
  return !name.empty() && name[0] != '.' && name.find('.') != std::string::npos &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
             std::string::npos;
}

}  // namespace

StatusOr<Resources> ParseResourcesView(const JsonView& view) {
  Resources resources;
  RETURN_IF_ERROR(ReadList(view, "devices", &resources.devices, ParseDeviceRule));
  RETURN_IF_ERROR(ReadInto(view, "memory", &resources.memory, ParseMemory));
  RETURN_IF_ERROR(ReadInto(view, "cpu", &resources.cpu, ParseCpu));
  RETURN_IF_ERROR(ReadInto(view, "blockIO", &resources.block_io, ParseBlockIo));
  RETURN_IF_ERROR(ReadList(view, "hugepageLimits", &resources.hugepage_limits, ParseHugepageLimit));
  ASSIGN_OR_RETURN(const JsonView pids, view.Get("pids"));
  ASSIGN_OR_RETURN(resources.pids_limit, OptionalInt64(pids, "limit"));
  RETURN_IF_ERROR(ReadInto(view, "network", &resources.network, ParseNetwork));
  RETURN_IF_ERROR(ReadMap(view, "rdma", &resources.rdma, ParseRdma));
  RETURN_IF_ERROR(ReadStringMap(view, "unified", &resources.unified));
  for (const auto& [file, value] : resources.unified)
    if (!IsControlFile(file))
      return view.Get("unified")->Bad(fmt::format("{:?} is not a file of a cgroup", file));
  return resources;
}

StatusOr<Resources> ParseResources(std::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  RETURN_IF_ERROR(CheckNoNul(json));
  return ParseResourcesView(JsonView(json));
}

}  // namespace ocirun::oci
