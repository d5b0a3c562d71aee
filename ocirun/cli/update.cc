// SPDX-License-Identifier: Apache-2.0
//
// update: changes the limits of a running container, all or none.
#include <algorithm>
#include <charconv>
#include <memory>

#include "base/file.h"
#include "ocirun/cli/cli.h"
#include "ocirun/container/lifecycle.h"

namespace ocirun::cli {
namespace {

// "67108864", "64M", "64MB", "1.5g": what docker's and runc's --memory take; -1 for no limit.
StatusOr<int64_t> ParseSize(std::string_view option, const std::string& text) {
  if (text == "-1") return -1;
  double number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  std::string unit(parsed.ptr, end);
  std::transform(unit.begin(), unit.end(), unit.begin(),
                 [](char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); });
  if (!unit.empty() && unit.back() == 'b') unit.pop_back();
  if (!unit.empty() && unit.back() == 'i') unit.pop_back();
  constexpr std::string_view kUnits = "kmgtp";
  const size_t power = unit.empty() ? 0 : kUnits.find(unit) + 1;
  if (parsed.ec != std::errc() || number < 0 || unit.size() > 1 ||
      (!unit.empty() && kUnits.find(unit) == std::string_view::npos))
    return InvalidArgument("invalid value for {}: {:?} is not a size like 64M", option, text);
  for (size_t i = 0; i < power; ++i) number *= 1024;
  constexpr double kMax = 9.2e18;
  if (number > kMax)
    return InvalidArgument("invalid value for {}: {:?} is too large", option, text);
  return static_cast<int64_t>(number);
}

template <typename Number>
StatusOr<Number> ParseNumber(std::string_view option, const std::string& text) {
  Number number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end)
    return InvalidArgument("invalid value for {}: {:?} is not a number in range", option, text);
  return number;
}

struct Flags {
  std::string resources_file;
  // As they were typed; what was not given stays empty.
  std::string blkio_weight, cpu_period, cpu_quota, cpu_burst, cpu_share, cpu_rt_period,
      cpu_rt_runtime, cpuset_cpus, cpuset_mems, kernel_memory, kernel_memory_tcp, memory, cpu_idle,
      memory_reservation, memory_swap, pids_limit, l3_cache_schema, mem_bw_schema;
};

template <typename Number>
Status Read(std::string_view option, const std::string& text, std::optional<Number>* out) {
  if (text.empty()) return OkStatus();
  ASSIGN_OR_RETURN(*out, ParseNumber<Number>(option, text));
  return OkStatus();
}

Status ReadSize(std::string_view option, const std::string& text, std::optional<int64_t>* out) {
  if (text.empty()) return OkStatus();
  ASSIGN_OR_RETURN(*out, ParseSize(option, text));
  return OkStatus();
}

StatusOr<oci::Resources> FromFlags(const Flags& flags) {
  oci::Resources out;
  oci::CpuResources& cpu = out.cpu;
  RETURN_IF_ERROR(Read("--cpu-period", flags.cpu_period, &cpu.period));
  RETURN_IF_ERROR(Read("--cpu-quota", flags.cpu_quota, &cpu.quota));
  RETURN_IF_ERROR(Read("--cpu-burst", flags.cpu_burst, &cpu.burst));
  RETURN_IF_ERROR(Read("--cpu-share", flags.cpu_share, &cpu.shares));
  RETURN_IF_ERROR(Read("--cpu-rt-period", flags.cpu_rt_period, &cpu.realtime_period));
  RETURN_IF_ERROR(Read("--cpu-rt-runtime", flags.cpu_rt_runtime, &cpu.realtime_runtime));
  RETURN_IF_ERROR(Read("--cpu-idle", flags.cpu_idle, &cpu.idle));
  cpu.cpus = flags.cpuset_cpus;
  cpu.mems = flags.cpuset_mems;
  oci::MemoryResources& memory = out.memory;
  RETURN_IF_ERROR(ReadSize("--memory", flags.memory, &memory.limit));
  RETURN_IF_ERROR(ReadSize("--memory-reservation", flags.memory_reservation, &memory.reservation));
  RETURN_IF_ERROR(ReadSize("--memory-swap", flags.memory_swap, &memory.swap));
  RETURN_IF_ERROR(ReadSize("--kernel-memory", flags.kernel_memory, &memory.kernel));
  RETURN_IF_ERROR(ReadSize("--kernel-memory-tcp", flags.kernel_memory_tcp, &memory.kernel_tcp));
  RETURN_IF_ERROR(Read("--blkio-weight", flags.blkio_weight, &out.block_io.weight));
  RETURN_IF_ERROR(Read("--pids-limit", flags.pids_limit, &out.pids_limit));
  return out;
}

StatusOr<std::string> ReadInput(const std::string& file) {
  if (file != "-") return ReadFile(file);
  return ReadFile("/dev/stdin");
}

StatusOr<int> Update(const Global& global, const std::string& id, const Flags& flags) {
  container::Changes changes;
  if (!flags.resources_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadInput(flags.resources_file));
    auto resources = oci::ParseResources(text);
    if (!resources.ok()) return Annotate(resources.status(), "--resources");
    changes.resources = std::move(*resources);
  } else {
    ASSIGN_OR_RETURN(changes.resources, FromFlags(flags));
  }
  changes.l3_cache_schema = flags.l3_cache_schema;
  changes.mem_bw_schema = flags.mem_bw_schema;
  RETURN_IF_ERROR(container::Update(global.store(), id, changes));
  return 0;
}

}  // namespace

void DescribeUpdate(CliCommand* command) {
  auto flags = std::make_shared<Flags>();
  const struct {
    const char* name;
    std::string* value;
    const char* help;
  } options[] = {
      {"-r,--resources", &flags->resources_file,
       "path to the file containing the resources to update or '-' to read from the standard "
       "input; "
       "all other options are then ignored"},
      {"--blkio-weight", &flags->blkio_weight,
       "Specifies per cgroup weight, range is from 10 to 1000"},
      {"--cpu-period", &flags->cpu_period,
       "CPU CFS period to be used for hardcapping (in usecs). 0 to use system default"},
      {"--cpu-quota", &flags->cpu_quota,
       "CPU CFS hardcap limit (in usecs). Allowed cpu time in a given period"},
      {"--cpu-burst", &flags->cpu_burst,
       "CPU CFS hardcap burst limit (in usecs). Allowed accumulated cpu time additionally for "
       "burst "
       "a given period"},
      {"--cpu-share", &flags->cpu_share, "CPU shares (relative weight vs. other containers)"},
      {"--cpu-rt-period", &flags->cpu_rt_period,
       "CPU realtime period to be used for hardcapping (in usecs). 0 to use system default"},
      {"--cpu-rt-runtime", &flags->cpu_rt_runtime,
       "CPU realtime hardcap limit (in usecs). Allowed cpu time in a given period"},
      {"--cpuset-cpus", &flags->cpuset_cpus, "CPU(s) to use"},
      {"--cpuset-mems", &flags->cpuset_mems, "Memory node(s) to use"},
      {"--kernel-memory", &flags->kernel_memory, "(obsoleted; do not use)"},
      {"--kernel-memory-tcp", &flags->kernel_memory_tcp, "(obsoleted; do not use)"},
      {"--memory", &flags->memory, "Memory limit (in bytes)"},
      {"--cpu-idle", &flags->cpu_idle,
       "set cgroup SCHED_IDLE or not, 0: default behavior, 1: SCHED_IDLE"},
      {"--memory-reservation", &flags->memory_reservation,
       "Memory reservation or soft_limit (in bytes)"},
      {"--memory-swap", &flags->memory_swap,
       "Total memory usage (memory + swap); set '-1' to enable unlimited swap"},
      {"--pids-limit", &flags->pids_limit, "Maximum number of pids allowed in the container"},
      {"--l3-cache-schema", &flags->l3_cache_schema, "The string of Intel RDT/CAT L3 cache schema"},
      {"--mem-bw-schema", &flags->mem_bw_schema,
       "The string of Intel RDT/MBA memory bandwidth schema"},
  };
  for (const auto& option : options) command->Option(option.name, option.value, option.help);
  command->run = [flags, command](const Global& global) {
    return Update(global, command->container_id(), *flags);
  };
}

}  // namespace ocirun::cli
