// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/scheduling.h"

#include <linux/sched.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

namespace ocirun::linux_ {
namespace {

// struct sched_attr of linux/sched/types.h, which can't be included beside sched.h.
struct SchedAttr {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
  uint32_t util_min, util_max;  // since 5.3
};
constexpr uint32_t kFirstVersionSize = 48;
constexpr uint64_t kUtilClamp = 0x60;  // SCHED_FLAG_UTIL_CLAMP_MIN and _MAX
constexpr uint32_t kNoClamp = ~0u;     // back to the default (sched-util-clamp.rst)
// CONFIG_NR_CPUS is 8192 at most.
constexpr size_t kWordsOfAllCpus = 8192 / (sizeof(unsigned long) * CHAR_BIT);

// The kernel's bitmaps are arrays of long, however many bits there are.
std::vector<unsigned long> BitMap(const std::vector<unsigned>& numbers) {
  constexpr unsigned kBits = sizeof(unsigned long) * CHAR_BIT;
  std::vector<unsigned long> map(numbers.empty() ? 0 : numbers.back() / kBits + 1);
  for (const unsigned number : numbers) map[number / kBits] |= 1ul << number % kBits;
  return map;
}

long SetAffinity(const std::vector<unsigned long>& map) {
  return ::syscall(SYS_sched_setaffinity, 0, map.size() * sizeof(unsigned long), map.data());
}

// What the kernel's answer to a policy means (sched(7),
// Documentation/scheduler/sched-rt-group.rst).
std::string_view WhatIsNeeded(uint32_t policy, int error) {
  if (error == EPERM && (policy == SCHED_FIFO || policy == SCHED_RR))
    return " (a real-time policy needs CAP_SYS_NICE and, in a cgroup v1 that shares out real time, "
           "linux.resources.cpu.realtimeRuntime)";
  if (error == EINVAL && policy == SCHED_DEADLINE)
    return " (SCHED_DEADLINE needs 1024 <= runtime <= deadline <= period)";
  return "";
}

}  // namespace

Status SetScheduler(const oci::Scheduler& scheduler) {
  SchedAttr attr{};
  // The specification has the flags of a clamp, and no values for it.
  attr.size = (scheduler.flags & kUtilClamp) != 0 ? sizeof attr : kFirstVersionSize;
  attr.util_min = attr.util_max = kNoClamp;
  attr.policy = scheduler.policy;
  attr.flags = scheduler.flags;
  attr.nice = scheduler.nice;
  attr.priority = static_cast<uint32_t>(scheduler.priority);
  attr.runtime = scheduler.runtime;
  attr.deadline = scheduler.deadline;
  attr.period = scheduler.period;
  if (::syscall(SYS_sched_setattr, 0, &attr, 0) < 0)
    return SysError(errno, "sched_setattr",
                    fmt::format("process.scheduler{}", WhatIsNeeded(attr.policy, errno)));
  return OkStatus();
}

Status SetIoPriority(const oci::IoPriority& priority) {
  constexpr int kWhoProcess = 1, kClassShift = 13;  // linux/ioprio.h
  const int value = priority.io_class << kClassShift | priority.priority;
  if (::syscall(SYS_ioprio_set, kWhoProcess, 0, value) < 0)
    return SysError(errno, "ioprio_set", "process.ioPriority");
  return OkStatus();
}

Status SetCpuAffinity(const std::vector<unsigned>& cpus) {
  if (!cpus.empty() && SetAffinity(BitMap(cpus)) < 0)
    return SysError(errno, "sched_setaffinity", "process.execCPUAffinity");
  return OkStatus();
}

Status ResetCpuAffinity() {
  // The kernel cuts the mask to what the cpuset allows and refuses only an empty rest.
  if (SetAffinity(std::vector<unsigned long>(kWordsOfAllCpus, ~0ul)) < 0)
    return SysError(errno, "sched_setaffinity");
  return OkStatus();
}

CpuMask CpuMask::OfCaller() {
  CpuMask mask;
  mask.words_.resize(kWordsOfAllCpus);
  const long bytes = ::syscall(SYS_sched_getaffinity, 0, kWordsOfAllCpus * sizeof(unsigned long),
                               mask.words_.data());
  mask.words_.resize(bytes > 0 ? static_cast<size_t>(bytes) / sizeof(unsigned long) : 0);
  return mask;
}

Status CpuMask::Set() const {
  if (SetAffinity(words_) < 0) return SysError(errno, "sched_setaffinity");
  return OkStatus();
}

std::string CpuMask::Text() const {
  return empty() ? "unknown" : fmt::format("{:#x}", words_.front());
}

OnOneCpu::OnOneCpu() {
  unsigned cpu = 0;
  if (!before_.empty() && ::syscall(SYS_getcpu, &cpu, nullptr, nullptr) == 0)
    IgnoreError(SetCpuAffinity({cpu}), "then the kernel chooses, which takes longer");
}

OnOneCpu::~OnOneCpu() {
  if (!before_.empty()) IgnoreError(before_.Set(), "refused as the first change was");
}

Status SetMemoryPolicy(const oci::MemoryPolicy& policy) {
  const std::vector<unsigned long> nodes = BitMap(policy.nodes);
  // The kernel takes one bit less than it is told (set_mempolicy(2), notes).
  const unsigned long bits =
      nodes.empty() ? 0 : nodes.size() * sizeof(unsigned long) * CHAR_BIT + 1;
  if (::syscall(SYS_set_mempolicy, policy.mode | static_cast<int>(policy.flags),
                nodes.empty() ? nullptr : nodes.data(), bits) < 0)
    return SysError(errno, "set_mempolicy", "linux.memoryPolicy");
  return OkStatus();
}

Status SetPersonality(unsigned long domain) {
  if (::personality(domain) < 0) return SysError(errno, "personality", "linux.personality");
  return OkStatus();
}

}  // namespace ocirun::linux_
