// SPDX-License-Identifier: Apache-2.0
//
// What cgroup v2 counts (Documentation/admin-guide/cgroup-v2.rst).
#include <charconv>

#include "base/text.h"
#include "ocirun/cgroup/manager_impl.h"

namespace ocirun::cgroup {
namespace {

constexpr uint64_t kNanosecondsPerMicrosecond = 1000;

void ReadCpu(const std::string& folder, CpuStatistics* cpu) {
  auto stat = ParseKeyed(ReadText(folder, "cpu.stat"));
  cpu->total = stat["usage_usec"] * kNanosecondsPerMicrosecond;
  cpu->user = stat["user_usec"] * kNanosecondsPerMicrosecond;
  cpu->kernel = stat["system_usec"] * kNanosecondsPerMicrosecond;
  cpu->periods = stat["nr_periods"];
  cpu->throttled_periods = stat["nr_throttled"];
  cpu->throttled_time = stat["throttled_usec"] * kNanosecondsPerMicrosecond;
  cpu->pressure = ParsePressure(ReadText(folder, "cpu.pressure"));
}

void ReadMemory(const std::string& folder, MemoryStatistics* memory) {
  memory->raw = ParseKeyed(ReadText(folder, "memory.stat"));
  memory->cache = memory->raw["file"];
  memory->events = ParseKeyed(ReadText(folder, "memory.events"));
  memory->usage = {ReadNumber(folder, "memory.max"), ReadNumber(folder, "memory.current"),
                   ReadNumber(folder, "memory.peak"), memory->events["max"]};
  auto swap_events = ParseKeyed(ReadText(folder, "memory.swap.events"));
  memory->swap = {ReadNumber(folder, "memory.swap.max"), ReadNumber(folder, "memory.swap.current"),
                  ReadNumber(folder, "memory.swap.peak"), swap_events["max"]};
  memory->pressure = ParsePressure(ReadText(folder, "memory.pressure"));
}

// "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6"
void ReadIo(const std::string& folder, IoStatistics* io) {
  constexpr struct {
    std::string_view key;
    const char* op;
    bool bytes;
  } kFields[] = {{"rbytes", "Read", true}, {"wbytes", "Write", true}, {"dbytes", "Discard", true},
                 {"rios", "Read", false},  {"wios", "Write", false},  {"dios", "Discard", false}};
  const std::string stat = ReadText(folder, "io.stat");
  for (const std::string_view line : SplitWords(stat, "\n")) {
    const std::vector<std::string_view> words = SplitWords(line, " ");
    if (words.empty()) continue;
    const std::vector<std::string_view> device = SplitWords(words[0], ":");
    if (device.size() != 2) continue;
    IoEntry entry;
    std::from_chars(device[0].data(), device[0].data() + device[0].size(), entry.major);
    std::from_chars(device[1].data(), device[1].data() + device[1].size(), entry.minor);
    for (const std::string_view word : words) {
      const size_t equals = word.find('=');
      if (equals == std::string_view::npos) continue;
      for (const auto& field : kFields) {
        if (field.key != word.substr(0, equals)) continue;
        entry.op = field.op;
        std::from_chars(word.data() + equals + 1, word.data() + word.size(), entry.value);
        (field.bytes ? io->service_bytes : io->serviced).push_back(entry);
      }
    }
  }
  io->pressure = ParsePressure(ReadText(folder, "io.pressure"));
}

void ReadHugetlb(const std::string& folder, std::map<std::string, HugepageUsage>* hugetlb) {
  for (const std::string& size : HugepageSizes()) {
    auto events = ParseKeyed(ReadText(folder, fmt::format("hugetlb.{}.events", size)));
    (*hugetlb)[size] = {ReadNumber(folder, fmt::format("hugetlb.{}.current", size)), 0,
                        events["max"]};
  }
}

}  // namespace

Statistics ReadV2Statistics(const Place& place) {
  Statistics out;
  ReadCpu(place.folder, &out.cpu);
  ReadMemory(place.folder, &out.memory);
  ReadIo(place.folder, &out.io);
  out.cpuset.cpus = ReadList(place.folder, "cpuset.cpus.effective");
  out.cpuset.mems = ReadList(place.folder, "cpuset.mems.effective");
  if (!ReadText(place.folder, "hugetlb.2MB.max").empty() ||
      !ReadText(place.folder, "hugetlb.1GB.max").empty())
    ReadHugetlb(place.folder, &out.hugetlb);
  out.pids = ReadNumber(place.folder, "pids.current");
  const std::string limit = ReadText(place.folder, "pids.max");
  out.pids_limit = limit.rfind("max", 0) == 0 ? 0 : ReadNumber(place.folder, "pids.max");
  return out;
}

}  // namespace ocirun::cgroup
