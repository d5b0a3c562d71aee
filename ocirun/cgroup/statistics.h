// SPDX-License-Identifier: Apache-2.0
//
// What the controllers count for one container. Times are in nanoseconds, sizes in bytes. What a
// host does not count stays 0, empty or absent.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ocirun::cgroup {

// Pressure stall information (Documentation/accounting/psi.rst): averages in percent, the total in
// microseconds.
struct PressureLine {
  double avg10 = 0, avg60 = 0, avg300 = 0;
  uint64_t total = 0;
};
struct Pressure {
  PressureLine some, full;
};

struct CpuStatistics {
  uint64_t total = 0, kernel = 0, user = 0;
  std::vector<uint64_t> per_cpu, per_cpu_kernel, per_cpu_user;
  uint64_t periods = 0, throttled_periods = 0, throttled_time = 0;
  std::optional<Pressure> pressure;
};

struct CpusetStatistics {
  std::vector<unsigned> cpus, mems;
  std::map<std::string, int64_t> flags;  // cgroup v1: "cpu_exclusive", "mem_hardwall", ...
};

struct MemoryUsage {
  uint64_t limit = 0, usage = 0, max = 0, fail_count = 0;
};
struct MemoryStatistics {
  uint64_t cache = 0;
  MemoryUsage usage, swap, kernel, kernel_tcp;
  std::map<std::string, uint64_t> raw;     // memory.stat
  std::map<std::string, uint64_t> events;  // memory.events; cgroup v1 counts "oom_kill" alone
  std::optional<Pressure> pressure;
};

struct IoEntry {
  uint64_t major = 0, minor = 0;
  std::string op;
  uint64_t value = 0;
};
struct IoStatistics {
  std::vector<IoEntry> service_bytes, serviced, queued, service_time, wait_time, merged, time,
      sectors;
  std::optional<Pressure> pressure;
};

struct HugepageUsage {
  uint64_t usage = 0, max = 0, fail_count = 0;
};

struct Statistics {
  CpuStatistics cpu;
  CpusetStatistics cpuset;
  MemoryStatistics memory;
  uint64_t pids = 0, pids_limit = 0;  // limit 0: none
  IoStatistics io;
  std::map<std::string, HugepageUsage> hugetlb;  // by page size, "2MB"
};

// Readers of the kernel's formats. Pure, but for those that take a folder; a missing file gives
// what an empty one does.

// "key number" a line.
std::map<std::string, uint64_t> ParseKeyed(std::string_view text);
// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", and a line for full.
std::optional<Pressure> ParsePressure(std::string_view text);
// "8:0 Read 100" a line, of cgroup v1's blkio; the line "Total 100" is left out.
std::vector<IoEntry> ParseBlkio(std::string_view text);
// The one number of a file; "max" is the largest there is. 0 when there is none.
uint64_t ReadNumber(const std::string& folder, std::string_view file);
// The numbers of a file like "0-3,7"; empty when there is none.
std::vector<unsigned> ReadList(const std::string& folder, std::string_view file);
// The text of a file, empty when it can't be read.
std::string ReadText(const std::string& folder, std::string_view file);

}  // namespace ocirun::cgroup
