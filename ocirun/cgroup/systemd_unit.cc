// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cgroup/systemd_unit.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "base/text.h"
#include "ocirun/cgroup/device_rules.h"
#include "ocirun/cgroup/host.h"
#include "ocirun/cgroup/manager_impl.h"

namespace ocirun::cgroup {
namespace {

constexpr uint64_t kInfinity = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kDefaultCpuPeriod = 100'000;  // microseconds, the kernel's
constexpr uint64_t kPercent = 10'000;            // of a second in microseconds
constexpr uint64_t kSecond = 1'000'000;

std::string Quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

UnitProperty Text(std::string name, std::string_view value) {
  return {std::move(name), Quoted(value)};
}
UnitProperty Number(std::string name, uint64_t value) {
  return {std::move(name), fmt::format("uint64 {}", value)};
}
// Negative: no limit.
UnitProperty Limit(std::string name, int64_t value) {
  return Number(std::move(name), value < 0 ? kInfinity : static_cast<uint64_t>(value));
}
UnitProperty Optional(UnitProperty property) {
  property.optional = true;
  return property;
}

// Microseconds of CPU a second, in whole percents.
uint64_t CpuPerSecond(uint64_t quota, uint64_t period) {
  const uint64_t exact = quota * kSecond / period;
  return (exact + kPercent - 1) / kPercent * kPercent;
}

void AddCpuQuota(int64_t quota, uint64_t period, UnitProperties* out) {
  if (quota == 0 && period == 0) return;
  // Since systemd 242.
  if (period != 0) out->push_back(Optional(Number("CPUQuotaPeriodUSec", period)));
  const uint64_t per_second = quota > 0 ? CpuPerSecond(static_cast<uint64_t>(quota),
                                                       period != 0 ? period : kDefaultCpuPeriod)
                                        : kInfinity;
  out->push_back(Number("CPUQuotaPerSecUSec", per_second));
}

Status AddCpuset(std::string_view list, const char* name, std::string_view property,
                 UnitProperties* out) {
  if (list.empty()) return OkStatus();
  const auto mask = CpuMask(list);
  if (!mask.ok()) return Annotate(mask.status(), property);
  // Since systemd 244.
  out->push_back({name, fmt::format("[byte {}]", fmt::join(*mask, ", ")), true});
  return OkStatus();
}

StatusOr<uint64_t> NumberOrMax(std::string_view file, std::string_view text) {
  if (text == "max") return kInfinity;
  uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())
    return InvalidArgument("linux.resources.unified[{:?}]: {:?} is no number", file, text);
  return value;
}

constexpr struct {
  std::string_view file;
  const char* property;
} kUnifiedNumbers[] = {{"cpu.weight", "CPUWeight"}, {"memory.high", "MemoryHigh"},
                       {"memory.low", "MemoryLow"}, {"memory.max", "MemoryMax"},
                       {"memory.min", "MemoryMin"}, {"memory.swap.max", "MemorySwapMax"},
                       {"pids.max", "TasksMax"}};

Status AddUnifiedCpuMax(std::string_view value, UnitProperties* out) {
  const std::vector<std::string_view> words = SplitWords(value, " \n");
  if (words.empty() || words.size() > 2)
    return InvalidArgument("linux.resources.unified[\"cpu.max\"]: {:?} is no quota", value);
  ASSIGN_OR_RETURN(const uint64_t quota, NumberOrMax("cpu.max", words[0]));
  uint64_t period = kDefaultCpuPeriod;
  if (words.size() == 2) {
    ASSIGN_OR_RETURN(period, NumberOrMax("cpu.max", words[1]));
  }
  AddCpuQuota(quota == kInfinity ? -1 : static_cast<int64_t>(quota), period, out);
  return OkStatus();
}

// Files that systemd would write itself are told to it as well; the others are ours alone.
Status AddUnified(const std::map<std::string, std::string>& unified, UnitProperties* out) {
  for (const auto& [file, raw] : unified) {
    const std::vector<std::string_view> words = SplitWords(raw, " \n\t");
    const std::string_view value = words.empty() ? std::string_view() : words.front();
    if (file == "cpu.max") RETURN_IF_ERROR(AddUnifiedCpuMax(raw, out));
    if (file == "cpuset.cpus")
      RETURN_IF_ERROR(
          AddCpuset(raw, "AllowedCPUs", "linux.resources.unified[\"cpuset.cpus\"]", out));
    if (file == "cpuset.mems")
      RETURN_IF_ERROR(
          AddCpuset(raw, "AllowedMemoryNodes", "linux.resources.unified[\"cpuset.mems\"]", out));
    for (const auto& known : kUnifiedNumbers) {
      if (file != known.file) continue;
      ASSIGN_OR_RETURN(const uint64_t number, NumberOrMax(file, value));
      out->push_back(Number(known.property, file == "pids.max" && number == 0 ? 1 : number));
    }
  }
  return OkStatus();
}

Status AddV2Limits(const oci::Resources& r, UnitProperties* out) {
  if (r.memory.limit.value_or(0) != 0) out->push_back(Limit("MemoryMax", *r.memory.limit));
  if (r.memory.reservation.value_or(0) != 0)
    out->push_back(Limit("MemoryLow", *r.memory.reservation));
  ASSIGN_OR_RETURN(const std::optional<int64_t> swap, SwapWithoutMemory(r.memory));
  if (swap.has_value()) out->push_back(Limit("MemorySwapMax", *swap));
  // A weight of 0 is idle, since systemd 252.
  if (r.cpu.idle == 1) {
    out->push_back(Optional(Number("CPUWeight", 0)));
  } else if (r.cpu.shares.value_or(0) != 0) {
    out->push_back(Number("CPUWeight", WeightOfShares(*r.cpu.shares)));
  }
  if (r.block_io.weight.value_or(0) != 0)
    out->push_back(Number("IOWeight", IoWeight(*r.block_io.weight)));
  return AddUnified(r.unified, out);
}

void AddV1Limits(const oci::Resources& r, UnitProperties* out) {
  if (r.memory.limit.value_or(0) != 0) out->push_back(Limit("MemoryLimit", *r.memory.limit));
  if (r.cpu.shares.value_or(0) != 0) out->push_back(Number("CPUShares", *r.cpu.shares));
  if (r.block_io.weight.value_or(0) != 0)
    out->push_back(Number("BlockIOWeight", *r.block_io.weight));
}

std::string DevicePath(const oci::DeviceRule& rule) {
  const char* type = rule.type == 'b' ? "block" : "char";
  if (!rule.major.has_value()) return fmt::format("{}-*", type);
  if (!rule.minor.has_value()) return fmt::format("{}-{}", type, *rule.major);
  return fmt::format("/dev/{}/{}:{}", type, *rule.major, *rule.minor);
}

UnitProperties AllDevices() { return {{"DeviceAllow", "@a(ss) []"}, Text("DevicePolicy", "auto")}; }

}  // namespace

StatusOr<UnitPlace> ParseUnitPath(const std::string& cgroups_path, const std::string& id,
                                  const std::string& default_slice) {
  if (cgroups_path.empty()) return UnitPlace{default_slice, fmt::format("ocirun-{}.scope", id)};
  const size_t first = cgroups_path.find(':');
  const size_t second = first == std::string::npos ? first : cgroups_path.find(':', first + 1);
  if (second == std::string::npos || cgroups_path.find(':', second + 1) != std::string::npos)
    return InvalidArgument(
        "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {:?} "
        "instead",
        cgroups_path);
  std::string slice = cgroups_path.substr(0, first);
  const std::string prefix = cgroups_path.substr(first + 1, second - first - 1);
  std::string name = cgroups_path.substr(second + 1);
  if (slice.empty()) slice = default_slice;
  if (name.empty()) name = id;
  if (name.ends_with(".slice"))
    return InvalidArgument("linux.cgroupsPath: {:?} names a slice; a container is a scope",
                           cgroups_path);
  RETURN_IF_ERROR(ExpandSlice(slice).status());
  return UnitPlace{std::move(slice), fmt::format("{}-{}.scope", prefix, name)};
}

StatusOr<std::string> ExpandSlice(const std::string& slice) {
  constexpr std::string_view kSuffix = ".slice";
  if (slice == "-.slice") return "";
  const auto bad = [&] {
    return InvalidArgument("linux.cgroupsPath: invalid slice name: {:?}", slice);
  };
  if (slice.size() <= kSuffix.size() || !slice.ends_with(kSuffix) ||
      slice.find('/') != std::string::npos)
    return bad();
  const std::string name = slice.substr(0, slice.size() - kSuffix.size());
  std::string path;
  for (size_t at = 0; at <= name.size();) {
    const size_t dash = std::min(name.find('-', at), name.size());
    if (dash == at) return bad();  // "a--b", "-a", "a-"
    path += fmt::format("/{}{}", name.substr(0, dash), kSuffix);
    at = dash + 1;
  }
  return path;
}

StatusOr<std::vector<uint8_t>> CpuMask(std::string_view list) {
  constexpr unsigned kMost = 1u << 16;
  std::vector<uint8_t> mask;
  for (const std::string_view range : SplitWords(list, ", \n\t")) {
    const char* end = range.data() + range.size();
    unsigned first = 0, last = 0;
    auto parsed = std::from_chars(range.data(), end, first);
    last = first;
    if (parsed.ec == std::errc() && parsed.ptr != end && *parsed.ptr == '-')
      parsed = std::from_chars(parsed.ptr + 1, end, last);
    if (parsed.ec != std::errc() || parsed.ptr != end || last < first || last >= kMost)
      return InvalidArgument("{:?} is no list of numbers like 0-2,7", list);
    if (mask.size() <= last / 8) mask.resize(last / 8 + 1);
    for (unsigned bit = first; bit <= last; ++bit)
      mask[bit / 8] = static_cast<uint8_t>(mask[bit / 8] | 1u << bit % 8);
  }
  if (mask.empty()) return InvalidArgument("{:?} names none", list);
  return mask;
}

void RoundCpuQuota(oci::CpuResources* cpu) {
  if (cpu->quota.value_or(0) <= 0) return;
  uint64_t period = cpu->period.value_or(0);
  if (period == 0) period = kDefaultCpuPeriod;
  cpu->quota = static_cast<int64_t>(CpuPerSecond(static_cast<uint64_t>(*cpu->quota), period) *
                                    period / kSecond);
}

StatusOr<UnitProperties> LimitProperties(const oci::Resources& resources, CgroupVersion version) {
  UnitProperties out;
  if (version == CgroupVersion::kV2) {
    RETURN_IF_ERROR(AddV2Limits(resources, &out));
  } else {
    AddV1Limits(resources, &out);
  }
  AddCpuQuota(resources.cpu.quota.value_or(0), resources.cpu.period.value_or(0), &out);
  if (resources.pids_limit.has_value())
    out.push_back(Limit("TasksMax", *resources.pids_limit == 0 ? 1 : *resources.pids_limit));
  RETURN_IF_ERROR(AddCpuset(resources.cpu.cpus, "AllowedCPUs", "linux.resources.cpu.cpus", &out));
  RETURN_IF_ERROR(
      AddCpuset(resources.cpu.mems, "AllowedMemoryNodes", "linux.resources.cpu.mems", &out));
  return out;
}

UnitProperties DeviceProperties(const std::vector<oci::DeviceRule>& rules) {
  std::map<std::string, std::string> allowed;  // path -> access
  bool all = false;
  for (const oci::DeviceRule& rule : WithDefaults(rules)) {
    if (rule.type == 'a') {
      if (rule.access.size() != 3) return AllDevices();
      allowed.clear();
      all = rule.allow;
      continue;
    }
    if (all && rule.allow) continue;
    const bool other_majors = !rule.major.has_value() && rule.minor.has_value();
    // To deny a part is possible only while nothing is allowed that it could be a part of.
    if (all || other_majors || (!rule.allow && !allowed.empty())) return AllDevices();
    if (!rule.allow) continue;
    std::string& access = allowed[DevicePath(rule)];
    for (const char c : rule.access)
      if (access.find(c) == std::string::npos) access += c;
  }
  if (all) return AllDevices();
  std::string list;
  for (const auto& [path, access] : allowed)
    list += fmt::format("{}({}, {})", list.empty() ? "" : ", ", Quoted(path), Quoted(access));
  return {{"DeviceAllow", fmt::format("@a(ss) [{}]", list)}, Text("DevicePolicy", "strict")};
}

StatusOr<UnitProperties> AnnotatedProperties(
    const std::map<std::string, std::string>& annotations) {
  constexpr std::string_view kPrefix = "org.systemd.property.";
  constexpr size_t kShortest = 3;
  UnitProperties out;
  for (const auto& [key, value] : annotations) {
    if (key.rfind(kPrefix, 0) != 0) continue;
    std::string name = key.substr(kPrefix.size());
    const bool letters = std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    });
    if (!letters || name.size() < kShortest)
      return InvalidArgument("annotations[{:?}]: {:?} is no name of a property", key, name);
    out.push_back({std::move(name), value});
  }
  return out;
}

StatusOr<UnitProperties> ScopeProperties(const UnitPlace& place, const std::string& id,
                                         const oci::Spec& spec, CgroupVersion version) {
  const oci::Resources& resources = spec.linux.resources;
  UnitProperties out = {
      Text("Description", "ocirun container " + id),
      Text("Slice", place.slice),
      {"Delegate", "true"},
      // The container is not to be ended before what stops containers is.
      {"DefaultDependencies", "false"},
      {"MemoryAccounting", "true"},
      {"CPUAccounting", "true"},
      {version == CgroupVersion::kV2 ? "IOAccounting" : "BlockIOAccounting", "true"},
      {"TasksAccounting", "true"}};
  ASSIGN_OR_RETURN(UnitProperties limits, LimitProperties(resources, version));
  out.insert(out.end(), limits.begin(), limits.end());
  // Only at the start, and for scopes since systemd 253.
  if (const auto group = resources.unified.find("memory.oom.group");
      group != resources.unified.end())
    out.push_back(Optional(Text("OOMPolicy", HasWord(group->second, "1") ? "kill" : "continue")));
  // Last: who writes an annotation means to decide.
  ASSIGN_OR_RETURN(UnitProperties annotated, AnnotatedProperties(spec.annotations));
  out.insert(out.end(), annotated.begin(), annotated.end());
  return out;
}

}  // namespace ocirun::cgroup
