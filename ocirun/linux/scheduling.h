// SPDX-License-Identifier: Apache-2.0
//
// How the calling thread is scheduled, where its memory comes from and what kernel it sees. All act
// on the caller, survive exec, and need the privileges that the container's process may give up
// later. Each error names the property of config.json.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

// sched_setattr(2).
Status SetScheduler(const oci::Scheduler& scheduler);
// ioprio_set(2).
Status SetIoPriority(const oci::IoPriority& priority);
// sched_setaffinity(2); nothing to do for an empty list.
Status SetCpuAffinity(const std::vector<unsigned>& cpus);
// Lets the thread run everywhere again, within its cpuset: an affinity that the caller of the
// runtime had must not narrow what the container's cpuset allows.
Status ResetCpuAffinity();

// The CPUs that a thread may use, as sched_getaffinity(2) has them.
class CpuMask {
 public:
  static CpuMask OfCaller();  // empty where the kernel does not say
  [[nodiscard]] bool empty() const { return words_.empty(); }
  // Of the calling thread.
  [[nodiscard]] Status Set() const;
  // As a number, "0x3"; of more than 64 CPUs the lowest 64.
  [[nodiscard]] std::string Text() const;

 private:
  std::vector<unsigned long> words_;
};

// Keeps the calling thread on the CPU where it runs, and gives it back the others at the end.
// Processes that only wait for one another are faster so: each new one starts where its maker
// stops, and no idle CPU has to be woken for it. What is cloned meanwhile stays there until it sets
// its own. Without effect where the kernel refuses.
class OnOneCpu {
 public:
  OnOneCpu();
  OnOneCpu(const OnOneCpu&) = delete;
  OnOneCpu& operator=(const OnOneCpu&) = delete;
  ~OnOneCpu();

  [[nodiscard]] const CpuMask& before() const { return before_; }

 private:
  CpuMask before_ = CpuMask::OfCaller();
};

// set_mempolicy(2).
Status SetMemoryPolicy(const oci::MemoryPolicy& policy);
// personality(2).
Status SetPersonality(unsigned long domain);

}  // namespace ocirun::linux_
