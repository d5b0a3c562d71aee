// SPDX-License-Identifier: Apache-2.0
//
// events: statistics at an interval, and every kill for the memory limit, a JSON object a line, in
// runc's shape (types/events.go).
#include <poll.h>

#include <charconv>
#include <chrono>
#include <limits>
#include <map>
#include <memory>
#include <string>

#include "base/json.h"
#include "base/sys/file.h"
#include "ocirun/cgroup/manager.h"
#include "ocirun/cgroup/oom.h"
#include "ocirun/cli/cli.h"
#include "ocirun/linux/resctrl_statistics.h"

namespace ocirun::cli {
namespace {

using cgroup::Statistics;
using Milliseconds = std::chrono::milliseconds;

// Go's encoder leaves out zeros of most fields.
void AddUnlessZero(OrderedJson* json, const char* key, uint64_t value) {
  if (value != 0) (*json)[key] = value;
}
template <typename List>
void AddUnlessEmpty(OrderedJson* json, const char* key, const List& list) {
  if (!list.empty()) (*json)[key] = list;
}

OrderedJson ToJson(const cgroup::PressureLine& line) {
  return {
      {"avg10", line.avg10}, {"avg60", line.avg60}, {"avg300", line.avg300}, {"total", line.total}};
}
void AddPressure(OrderedJson* json, const std::optional<cgroup::Pressure>& pressure) {
  if (pressure.has_value())
    (*json)["psi"] = {{"some", ToJson(pressure->some)}, {"full", ToJson(pressure->full)}};
}

OrderedJson ToJson(const cgroup::CpuStatistics& cpu) {
  OrderedJson usage = OrderedJson::object(), throttling = OrderedJson::object();
  AddUnlessZero(&usage, "total", cpu.total);
  AddUnlessEmpty(&usage, "percpu", cpu.per_cpu);
  AddUnlessEmpty(&usage, "percpu_kernel", cpu.per_cpu_kernel);
  AddUnlessEmpty(&usage, "percpu_user", cpu.per_cpu_user);
  usage["kernel"] = cpu.kernel;
  usage["user"] = cpu.user;
  AddUnlessZero(&throttling, "periods", cpu.periods);
  AddUnlessZero(&throttling, "throttledPeriods", cpu.throttled_periods);
  AddUnlessZero(&throttling, "throttledTime", cpu.throttled_time);
  OrderedJson json = {{"usage", usage}, {"throttling", throttling}};
  AddPressure(&json, cpu.pressure);
  return json;
}

OrderedJson ToJson(const cgroup::CpusetStatistics& cpuset) {
  OrderedJson json = OrderedJson::object();
  AddUnlessEmpty(&json, "cpus", cpuset.cpus);
  if (!cpuset.mems.empty()) json["mems"] = cpuset.mems;
  for (const char* flag : {"cpu_exclusive", "mem_hardwall", "mem_exclusive", "memory_migrate",
                           "memory_spread_page", "memory_spread_slab", "memory_pressure",
                           "sched_load_balance", "sched_relax_domain_level"}) {
    const auto found = cpuset.flags.find(flag);
    json[flag] = found == cpuset.flags.end() ? 0 : found->second;
  }
  return json;
}

// Who greps for "oom", as runc's users may, must not find it before there was one.
std::map<std::string, uint64_t> WithoutZeros(std::map<std::string, uint64_t> counters) {
  std::erase_if(counters, [](const auto& counter) { return counter.second == 0; });
  return counters;
}

OrderedJson ToJson(const cgroup::MemoryUsage& usage) {
  OrderedJson json = {{"limit", usage.limit}};
  AddUnlessZero(&json, "usage", usage.usage);
  AddUnlessZero(&json, "max", usage.max);
  json["failcnt"] = usage.fail_count;
  return json;
}

OrderedJson ToJson(const cgroup::MemoryStatistics& memory) {
  OrderedJson json = OrderedJson::object();
  AddUnlessZero(&json, "cache", memory.cache);
  json["usage"] = ToJson(memory.usage);
  json["swap"] = ToJson(memory.swap);
  json["kernel"] = ToJson(memory.kernel);
  json["kernelTCP"] = ToJson(memory.kernel_tcp);
  AddUnlessEmpty(&json, "raw", memory.raw);
  AddUnlessEmpty(&json, "events", WithoutZeros(memory.events));
  AddPressure(&json, memory.pressure);
  return json;
}

OrderedJson ToJson(const std::vector<cgroup::IoEntry>& entries) {
  OrderedJson json = OrderedJson::array();
  for (const cgroup::IoEntry& entry : entries) {
    OrderedJson each = OrderedJson::object();
    AddUnlessZero(&each, "major", entry.major);
    AddUnlessZero(&each, "minor", entry.minor);
    AddUnlessEmpty(&each, "op", entry.op);
    AddUnlessZero(&each, "value", entry.value);
    json.push_back(std::move(each));
  }
  return json;
}

OrderedJson ToJson(const cgroup::IoStatistics& io) {
  OrderedJson json = OrderedJson::object();
  AddUnlessEmpty(&json, "ioServiceBytesRecursive", ToJson(io.service_bytes));
  AddUnlessEmpty(&json, "ioServicedRecursive", ToJson(io.serviced));
  AddUnlessEmpty(&json, "ioQueueRecursive", ToJson(io.queued));
  AddUnlessEmpty(&json, "ioServiceTimeRecursive", ToJson(io.service_time));
  AddUnlessEmpty(&json, "ioWaitTimeRecursive", ToJson(io.wait_time));
  AddUnlessEmpty(&json, "ioMergedRecursive", ToJson(io.merged));
  AddUnlessEmpty(&json, "ioTimeRecursive", ToJson(io.time));
  AddUnlessEmpty(&json, "sectorsRecursive", ToJson(io.sectors));
  AddPressure(&json, io.pressure);
  return json;
}

// "L3:0=ff;1=ff" for "L3"; the last of several, as runc has it.
std::string LineOf(const std::vector<std::string>& schemata, std::string_view resource) {
  std::string out;
  for (const std::string& line : schemata)
    if (line.find(resource) != std::string::npos) out = line;
  return out;
}

OrderedJson ToJson(const linux_::RdtCacheInfo& cache) {
  OrderedJson json = OrderedJson::object();
  AddUnlessEmpty(&json, "cbm_mask", cache.cbm_mask);
  AddUnlessZero(&json, "min_cbm_bits", cache.min_cbm_bits);
  AddUnlessZero(&json, "num_closids", cache.num_closids);
  return json;
}

OrderedJson ToJson(const linux_::RdtBandwidthInfo& bandwidth) {
  OrderedJson json = OrderedJson::object();
  AddUnlessZero(&json, "bandwidth_gran", bandwidth.bandwidth_gran);
  AddUnlessZero(&json, "delay_linear", bandwidth.delay_linear);
  AddUnlessZero(&json, "min_bandwidth", bandwidth.min_bandwidth);
  AddUnlessZero(&json, "num_closids", bandwidth.num_closids);
  return json;
}

OrderedJson ToJson(const linux_::RdtStatistics& rdt) {
  OrderedJson json = OrderedJson::object();
  if (rdt.cache.has_value()) {
    json["l3_cache_info"] = ToJson(*rdt.cache);
    AddUnlessEmpty(&json, "l3_cache_schema_root", LineOf(rdt.root_schemata, "L3"));
    AddUnlessEmpty(&json, "l3_cache_schema", LineOf(rdt.schemata, "L3"));
  }
  if (rdt.bandwidth.has_value()) {
    json["mem_bw_info"] = ToJson(*rdt.bandwidth);
    AddUnlessEmpty(&json, "mem_bw_schema_root", LineOf(rdt.root_schemata, "MB"));
    AddUnlessEmpty(&json, "mem_bw_schema", LineOf(rdt.schemata, "MB"));
  }
  AddUnlessEmpty(&json, "schemata", rdt.schemata);
  if (rdt.traffic.has_value()) {
    OrderedJson& domains = json["mbm_stats"] = OrderedJson::array();
    for (const linux_::RdtBandwidth& domain : *rdt.traffic)
      domains.push_back(OrderedJson{{"mbm_total_bytes", domain.total_bytes},
                                    {"mbm_local_bytes", domain.local_bytes}});
  }
  if (rdt.llc_occupancy.has_value()) {
    OrderedJson& domains = json["cmt_stats"] = OrderedJson::array();
    for (const uint64_t bytes : *rdt.llc_occupancy)
      domains.push_back(OrderedJson{{"llc_occupancy", bytes}});
  }
  return json;
}

OrderedJson ToJson(const Statistics& statistics) {
  OrderedJson pids = OrderedJson::object(), hugetlb = OrderedJson::object();
  AddUnlessZero(&pids, "current", statistics.pids);
  AddUnlessZero(&pids, "limit", statistics.pids_limit);
  for (const auto& [size, usage] : statistics.hugetlb) {
    OrderedJson each = OrderedJson::object();
    AddUnlessZero(&each, "usage", usage.usage);
    AddUnlessZero(&each, "max", usage.max);
    each["failcnt"] = usage.fail_count;
    hugetlb[size] = std::move(each);
  }
  return {{"cpu", ToJson(statistics.cpu)},       {"cpuset", ToJson(statistics.cpuset)},
          {"memory", ToJson(statistics.memory)}, {"pids", pids},
          {"blkio", ToJson(statistics.io)},      {"hugetlb", hugetlb},
          {"intel_rdt", OrderedJson::object()},  {"network_interfaces", nullptr}};
}

// What its class of Intel RDT counts is beside its cgroups.
StatusOr<OrderedJson> ReadStatistics(const container::Store& store,
                                     const container::Record& record) {
  OrderedJson json = ToJson(cgroup::ExistingManager(record.cgroups)->ReadStatistics());
  if (record.resctrl.empty()) return json;
  ASSIGN_OR_RETURN(const oci::Spec spec, store.LoadSpec(record));
  if (!spec.linux.intel_rdt.has_value()) return json;
  ASSIGN_OR_RETURN(const linux_::RdtStatistics rdt,
                   linux_::ReadRdtStatistics(record.resctrl, *spec.linux.intel_rdt, record.id));
  json["intel_rdt"] = ToJson(rdt);
  return json;
}

Status PrintEvent(const char* type, const std::string& id, std::optional<OrderedJson> data) {
  OrderedJson event = {{"type", type}, {"id", id}};
  if (data.has_value()) event["data"] = std::move(*data);
  return Print(event.dump() + "\n");
}

Status PrintStatistics(const container::Store& store, const container::Record& record) {
  ASSIGN_OR_RETURN(OrderedJson statistics, ReadStatistics(store, record));
  return PrintEvent("stats", record.id, std::move(statistics));
}

// "5s", "100ms", "1m", "1h30m": Go's durations.
StatusOr<Milliseconds> ParseInterval(const std::string& text) {
  constexpr struct {
    std::string_view unit;
    double milliseconds;
  } kUnits[] = {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};
  double total = 0;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at != end) {
    double number = 0;
    const auto parsed = std::from_chars(at, end, number);
    const char* unit_end = parsed.ptr;
    while (unit_end != end && *unit_end >= 'a' && *unit_end <= 'z') ++unit_end;
    const std::string_view unit(parsed.ptr, static_cast<size_t>(unit_end - parsed.ptr));
    double scale = 0;
    for (const auto& known : kUnits)
      if (known.unit == unit) scale = known.milliseconds;
    if (parsed.ec != std::errc() || scale == 0)
      return InvalidArgument("--interval {:?}: is not a duration like 5s", text);
    total += number * scale;
    at = unit_end;
  }
  constexpr double kMax = std::numeric_limits<int>::max();
  if (total < 1 || total > kMax) return InvalidArgument("duration interval must be greater than 0");
  return Milliseconds(static_cast<int64_t>(total));
}

// Until the container's cgroup is gone.
StatusOr<int> Watch(const container::Store& store, const container::Record& record,
                    Milliseconds interval) {
  ASSIGN_OR_RETURN(cgroup::OomWatch oom, cgroup::OomWatch::Open(record.cgroups));
  using Clock = std::chrono::steady_clock;
  auto next = Clock::now();
  for (;;) {
    const auto left = std::chrono::ceil<Milliseconds>(next - Clock::now()).count();
    pollfd ready{oom.fd().get(), POLLIN, 0};
    if (sys::RetryEintr(
            [&] { return ::poll(&ready, 1, static_cast<int>(std::max<int64_t>(0, left))); }) < 0)
      return SysError(errno, "poll");
    if (ready.revents != 0) {
      ASSIGN_OR_RETURN(const auto event, oom.Read());
      if (event == cgroup::OomWatch::Event::kGone) return 0;
      if (event == cgroup::OomWatch::Event::kOom)
        RETURN_IF_ERROR(PrintEvent("oom", record.id, std::nullopt));
    }
    if (Clock::now() < next) continue;
    if (store.StatusOf(record) == container::ContainerStatus::kStopped) return 0;
    RETURN_IF_ERROR(PrintStatistics(store, record));
    next += interval;
  }
}

StatusOr<int> Events(const Global& global, const std::string& id, bool stats,
                     const std::string& interval_text) {
  ASSIGN_OR_RETURN(const Milliseconds interval, ParseInterval(interval_text));
  const container::Store store = global.store();
  ASSIGN_OR_RETURN(const container::Record record, store.Load(id));
  if (store.StatusOf(record) == container::ContainerStatus::kStopped)
    return FailedPrecondition("container with id {} is not running", id);
  if (record.cgroups.empty())
    return FailedPrecondition("container {} has no cgroup, so there are no statistics of it", id);
  if (!stats) return Watch(store, record, interval);
  RETURN_IF_ERROR(PrintStatistics(store, record));
  return 0;
}

}  // namespace

void DescribeEvents(CliCommand* command) {
  struct Flags {
    std::string interval = "5s";
    bool stats = false;
  };
  auto flags = std::make_shared<Flags>();
  command->Option("--interval", &flags->interval, "set the stats collection interval");
  command->Flag("--stats", &flags->stats, "display the container's stats then exit");
  command->run = [flags, command](const Global& global) {
    return Events(global, command->container_id(), flags->stats, flags->interval);
  };
}

}  // namespace ocirun::cli
