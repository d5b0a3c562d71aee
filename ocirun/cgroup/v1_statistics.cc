// SPDX-License-Identifier: Apache-2.0
//
// What cgroup v1 counts (Documentation/admin-guide/cgroup-v1).
#include <dirent.h>
#include <unistd.h>

#include <charconv>
#include <memory>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/text.h"
#include "ocirun/cgroup/manager_impl.h"

namespace ocirun::cgroup {
namespace {

std::vector<uint64_t> Numbers(std::string_view text) {
  std::vector<uint64_t> out;
  for (const std::string_view word : SplitWords(text, " \n")) {
    uint64_t number = 0;
    std::from_chars(word.data(), word.data() + word.size(), number);
    out.push_back(number);
  }
  return out;
}

void ReadCpu(const std::string& folder, CpuStatistics* cpu) {
  auto stat = ParseKeyed(ReadText(folder, "cpu.stat"));
  cpu->periods = stat["nr_periods"];
  cpu->throttled_periods = stat["nr_throttled"];
  cpu->throttled_time = stat["throttled_time"];
}

void ReadCpuacct(const std::string& folder, CpuStatistics* cpu) {
  // cpuacct.stat counts in ticks of user space, 100 a second on every architecture.
  constexpr uint64_t kNanosecondsPerTick = 10'000'000;
  auto stat = ParseKeyed(ReadText(folder, "cpuacct.stat"));
  cpu->user = stat["user"] * kNanosecondsPerTick;
  cpu->kernel = stat["system"] * kNanosecondsPerTick;
  cpu->total = ReadNumber(folder, "cpuacct.usage");
  cpu->per_cpu = Numbers(ReadText(folder, "cpuacct.usage_percpu"));
  // "cpu user system" and then a line a CPU.
  const std::string all = ReadText(folder, "cpuacct.usage_all");
  for (const std::string_view line : SplitWords(all, "\n")) {
    const std::vector<uint64_t> numbers = Numbers(line);
    if (numbers.size() != 3 || line[0] == 'c') continue;
    cpu->per_cpu_user.push_back(numbers[1]);
    cpu->per_cpu_kernel.push_back(numbers[2]);
  }
}

void ReadCpuset(const std::string& folder, CpusetStatistics* cpuset) {
  cpuset->cpus = ReadList(folder, "cpuset.cpus");
  cpuset->mems = ReadList(folder, "cpuset.mems");
  for (const char* flag : {"cpu_exclusive", "mem_hardwall", "mem_exclusive", "memory_migrate",
                           "memory_spread_page", "memory_spread_slab", "memory_pressure",
                           "sched_load_balance", "sched_relax_domain_level"}) {
    const std::string text = ReadText(folder, fmt::format("cpuset.{}", flag));
    int64_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    cpuset->flags[flag] = number;
  }
}

MemoryUsage ReadUsage(const std::string& folder, const std::string& prefix) {
  return {
      ReadNumber(folder, prefix + "limit_in_bytes"), ReadNumber(folder, prefix + "usage_in_bytes"),
      ReadNumber(folder, prefix + "max_usage_in_bytes"), ReadNumber(folder, prefix + "failcnt")};
}

void ReadMemory(const std::string& folder, MemoryStatistics* memory) {
  memory->raw = ParseKeyed(ReadText(folder, "memory.stat"));
  const auto control = ParseKeyed(ReadText(folder, "memory.oom_control"));
  if (control.contains("oom_kill")) memory->events["oom_kill"] = control.at("oom_kill");
  const auto cache = memory->raw.find("cache");
  if (cache != memory->raw.end()) memory->cache = cache->second;
  memory->usage = ReadUsage(folder, "memory.");
  memory->swap = ReadUsage(folder, "memory.memsw.");
  memory->kernel = ReadUsage(folder, "memory.kmem.");
  memory->kernel_tcp = ReadUsage(folder, "memory.kmem.tcp.");
}

void ReadBlkio(const std::string& folder, IoStatistics* io) {
  // BFQ's counters, those of older kernels' CFQ, or what the throttling layer counts by itself.
  const struct {
    std::vector<IoEntry>* entries;
    const char *bfq, *cfq, *throttle;
  } files[] = {
      {&io->service_bytes, "blkio.bfq.io_service_bytes_recursive",
       "blkio.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive"},
      {&io->serviced, "blkio.bfq.io_serviced_recursive", "blkio.io_serviced_recursive",
       "blkio.throttle.io_serviced_recursive"},
      {&io->queued, "blkio.bfq.io_queued_recursive", "blkio.io_queued_recursive", nullptr},
      {&io->service_time, "blkio.bfq.io_service_time_recursive", "blkio.io_service_time_recursive",
       nullptr},
      {&io->wait_time, "blkio.bfq.io_wait_time_recursive", "blkio.io_wait_time_recursive", nullptr},
      {&io->merged, "blkio.bfq.io_merged_recursive", "blkio.io_merged_recursive", nullptr},
      {&io->time, "blkio.bfq.time_recursive", "blkio.time_recursive", nullptr},
      {&io->sectors, "blkio.bfq.sectors_recursive", "blkio.sectors_recursive", nullptr},
  };
  for (const auto& file : files) {
    for (const char* name : {file.bfq, file.cfq, file.throttle}) {
      if (name == nullptr) continue;
      *file.entries = ParseBlkio(ReadText(folder, name));
      if (!file.entries->empty()) break;
    }
  }
}

void ReadHugetlb(const std::string& folder, std::map<std::string, HugepageUsage>* hugetlb) {
  for (const std::string& size : HugepageSizes()) {
    const std::string prefix = fmt::format("hugetlb.{}.", size);
    (*hugetlb)[size] = {ReadNumber(folder, prefix + "usage_in_bytes"),
                        ReadNumber(folder, prefix + "max_usage_in_bytes"),
                        ReadNumber(folder, prefix + "failcnt")};
  }
}

void ReadPressure(const std::string& folder, Statistics* out) {
  out->cpu.pressure = ParsePressure(ReadText(folder, "cpu.pressure"));
  out->memory.pressure = ParsePressure(ReadText(folder, "memory.pressure"));
  out->io.pressure = ParsePressure(ReadText(folder, "io.pressure"));
}

}  // namespace

Statistics ReadV1Statistics(const std::vector<Place>& places) {
  Statistics out;
  for (const Place& place : places) {
    // On a hybrid host pressure is counted in the cgroup v2 beside the others.
    if (place.v2) ReadPressure(place.folder, &out);
    if (place.Has("cpu")) ReadCpu(place.folder, &out.cpu);
    if (place.Has("cpuacct")) ReadCpuacct(place.folder, &out.cpu);
    if (place.Has("cpuset")) ReadCpuset(place.folder, &out.cpuset);
    if (place.Has("memory")) ReadMemory(place.folder, &out.memory);
    if (place.Has("blkio")) ReadBlkio(place.folder, &out.io);
    if (place.Has("hugetlb")) ReadHugetlb(place.folder, &out.hugetlb);
    if (place.Has("pids")) {
      out.pids = ReadNumber(place.folder, "pids.current");
      const std::string limit = ReadText(place.folder, "pids.max");
      out.pids_limit = limit.rfind("max", 0) == 0 ? 0 : ReadNumber(place.folder, "pids.max");
    }
  }
  return out;
}

}  // namespace ocirun::cgroup
