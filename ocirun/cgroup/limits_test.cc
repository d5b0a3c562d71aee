// SPDX-License-Identifier: Apache-2.0
//
// What is written to the control files, and in what order. A temporary folder is the cgroupfs; what
// a kernel would refuse is refused by the recorder.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/file.h"
#include "base/testing/recorder.h"
#include "base/testing/temp_dir.h"
#include "ocirun/cgroup/host.h"
#include "ocirun/cgroup/manager.h"
#include "ocirun/cgroup/manager_impl.h"

namespace ocirun::cgroup {
namespace {

using testing::Answer;
using testing::RecordedCall;

using Writes = std::vector<std::string>;  // "cpu/cpu.shares=512"

// A host's cgroups with the one of the container, /box, in each of them.
class FakeHost {
 public:
  void AddV1(const std::string& controller) { Add(controller, {controller}, false); }
  void AddV2(const std::string& name) { Add(name, {}, true); }

  // A control file of the container's.
  void Put(const std::string& hierarchy, const std::string& file, const std::string& value) {
    REQUIRE(WriteFile(PathOf(hierarchy, file), value).ok());
  }
  [[nodiscard]] std::string Get(const std::string& hierarchy, const std::string& file) const {
    return ReadFile(PathOf(hierarchy, file)).value_or("missing");
  }

  [[nodiscard]] std::unique_ptr<Manager> NewManager() const {
    auto manager = cgroup::NewManager(hierarchies_, "", "/box", "box");
    REQUIRE(manager.ok());
    return std::move(*manager);
  }

  struct Result {
    Writes writes;
    Status status;
  };
  [[nodiscard]] Result Update(const oci::Resources& resources,
                              const std::vector<Answer>& answers = {},
                              const Manager::Tell& tell = nullptr) const {
    const auto recording =
        testing::Record({"write"}, [&] { return NewManager()->Update(resources, tell); }, answers);
    REQUIRE_MESSAGE(recording.ok(), MessageOf(recording.status()));
    Writes writes;
    for (const RecordedCall& call : recording->calls)
      if (call.memory[0].starts_with(root_.path + "/")) writes.push_back(LineOf(call));
    return {writes, recording->status};
  }

 private:
  void Add(const std::string& name, std::vector<std::string> controllers, bool v2) {
    const std::string mount_point = root_.path + "/" + name;
    REQUIRE(MakeDirs(mount_point + "/box", 0755).ok());
    hierarchies_.push_back({mount_point, "/", std::move(controllers), v2});
  }
  [[nodiscard]] std::string PathOf(const std::string& hierarchy, const std::string& file) const {
    return root_.path + "/" + hierarchy + "/box/" + file;
  }
  // Without the root and the container's folder.
  [[nodiscard]] std::string LineOf(const RecordedCall& call) const {
    std::string path = call.memory[0].substr(root_.path.size() + 1);
    path.erase(path.find("/box"), 4);
    return path + "=" + call.memory[1];
  }

  testing::TempDir root_;
  std::vector<Hierarchy> hierarchies_;
};

// The write of `value` to a file of that name; of any value if it is empty.
Answer Refuse(const std::string& file, int err, const std::string& value = "") {
  return {.name = "write", .err = err, .when = [=](const RecordedCall& call) {
            return call.memory[0].ends_with("/" + file) &&
                   (value.empty() || call.memory[1] == value);
          }};
}

oci::Resources MemoryAndSwap(int64_t limit, int64_t swap) {
  oci::Resources resources;
  resources.memory.limit = limit;
  resources.memory.swap = swap;
  return resources;
}

constexpr char kLimit[] = "memory.limit_in_bytes";
constexpr char kMemSw[] = "memory.memsw.limit_in_bytes";

struct MemoryHost : FakeHost {
  MemoryHost() {
    AddV1("memory");
    Put("memory", kLimit, "200\n");
    Put("memory", kMemSw, "400\n");
  }
};

TEST_CASE("v1: memory and swap are raised from above and lowered from below") {
  MemoryHost host;
  const auto raised = host.Update(MemoryAndSwap(500, 800));
  CHECK(raised.status.ok());
  CHECK(raised.writes ==
        Writes{"memory/memory.memsw.limit_in_bytes=800", "memory/memory.limit_in_bytes=500"});
  // Below the memory limit that still stands the kernel refuses it (EINVAL), once.
  bool is_lowered = false;
  const Answer refuse{.name = "write", .err = EINVAL, .when = [&](const RecordedCall& call) {
                        is_lowered = is_lowered || call.memory[0].ends_with(kLimit);
                        return call.memory[0].ends_with(kMemSw) && !is_lowered;
                      }};
  const auto lowered = host.Update(MemoryAndSwap(100, 150), {refuse});
  CHECK(lowered.status.ok());
  CHECK(lowered.writes == Writes{"memory/memory.memsw.limit_in_bytes=150",
                                 "memory/memory.limit_in_bytes=100",
                                 "memory/memory.memsw.limit_in_bytes=150"});
  CHECK(host.Get("memory", kLimit).starts_with("100"));
}

TEST_CASE("v1: memory without a limit keeps none for memory and swap") {
  MemoryHost host;
  oci::Resources resources;
  resources.memory.limit = -1;
  CHECK(host.Update(resources).writes ==
        Writes{"memory/memory.memsw.limit_in_bytes=-1", "memory/memory.limit_in_bytes=-1"});
}

TEST_CASE("v1: values are written as they are, in the order that the kernel can take") {
  FakeHost host;
  for (const char* controller : {"cpu", "cpuset", "blkio", "pids"}) host.AddV1(controller);
  for (const char* file :
       {"cpu.shares", "cpu.cfs_burst_us", "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.idle"})
    host.Put("cpu", file, "");
  host.Put("cpuset", "cpuset.cpus", "");
  for (const char* file : {"blkio.weight", "blkio.throttle.read_bps_device"})
    host.Put("blkio", file, "");
  host.Put("pids", "pids.max", "");
  oci::Resources resources;
  resources.cpu = {.shares = 512, .period = 50000, .burst = 1000, .quota = 20000, .cpus = "0-1"};
  resources.block_io.weight = 300;
  resources.block_io.read_bps = {{.major = 8, .minor = 16, .rate = 1024}};
  resources.pids_limit = 0;
  const auto set = host.Update(resources);
  CHECK_MESSAGE(set.status.ok(), MessageOf(set.status));
  CHECK(set.writes == Writes{"cpu/cpu.shares=512", "cpu/cpu.cfs_burst_us=1000",
                             "cpu/cpu.cfs_period_us=50000", "cpu/cpu.cfs_quota_us=20000",
                             "cpuset/cpuset.cpus=0-1", "blkio/blkio.weight=300",
                             "blkio/blkio.throttle.read_bps_device=8:16 1024", "pids/pids.max=1"});
  // BFQ's file has another name; a burst above the old quota is tried again when that is in place.
  host.Put("blkio", "blkio.bfq.weight", "");
  bool has_quota = false;
  const Answer refuse{.name = "write", .err = EINVAL, .when = [&](const RecordedCall& call) {
                        has_quota = has_quota || call.memory[0].ends_with("/cpu.cfs_quota_us");
                        return call.memory[0].ends_with("/cpu.cfs_burst_us") && !has_quota;
                      }};
  const auto again = host.Update(resources, {refuse});
  CHECK(again.status.ok());
  CHECK(again.writes ==
        Writes{"cpu/cpu.shares=512", "cpu/cpu.cfs_burst_us=1000", "cpu/cpu.cfs_period_us=50000",
               "cpu/cpu.cfs_quota_us=20000", "cpu/cpu.cfs_burst_us=1000", "cpuset/cpuset.cpus=0-1",
               "blkio/blkio.bfq.weight=300", "blkio/blkio.throttle.read_bps_device=8:16 1024",
               "pids/pids.max=1"});
}

TEST_CASE("v1: an update that the kernel refuses half way is taken back, last first") {
  MemoryHost host;
  host.AddV1("pids");
  host.Put("pids", "pids.max", "30\n");
  oci::Resources resources = MemoryAndSwap(500, 800);
  resources.pids_limit = 7;
  const auto refused = host.Update(resources, {Refuse("pids.max", EINVAL, "7")});
  CHECK(ErrnoOf(refused.status) == EINVAL);
  CHECK(refused.writes == Writes{"memory/memory.memsw.limit_in_bytes=800",
                                 "memory/memory.limit_in_bytes=500", "pids/pids.max=7",
                                 "pids/pids.max=30", "memory/memory.limit_in_bytes=200",
                                 "memory/memory.memsw.limit_in_bytes=400"});
  CHECK(host.Get("memory", kLimit) == "200");
  CHECK(host.Get("memory", kMemSw) == "400");
}

TEST_CASE("v1: a limit below what is used says how much that is, and the first value comes back") {
  MemoryHost host;
  host.Put("memory", "memory.usage_in_bytes", "120\n");
  host.Put("memory", "memory.max_usage_in_bytes", "150\n");
  oci::Resources resources;
  resources.memory.limit = 100;
  const auto refused = host.Update(resources, {Refuse(kLimit, EBUSY, "100")});
  CHECK(
      MessageOf(refused.status)
          .starts_with("unable to set memory limit to 100 (current usage: 120, peak usage: 150)"));
  CHECK(host.Get("memory", kLimit) == "200");
}

TEST_CASE("v1: what systemd refuses is taken back, and what it takes is written again") {
  FakeHost host;
  host.AddV1("pids");
  host.Put("pids", "pids.max", "30\n");
  oci::Resources resources;
  resources.pids_limit = 7;
  const auto refused =
      host.Update(resources, {}, [] { return FailedPrecondition("systemd says no"); });
  CHECK_FALSE(refused.status.ok());
  CHECK(refused.writes == Writes{"pids/pids.max=7", "pids/pids.max=30"});
  const auto told = host.Update(resources, {}, [] { return OkStatus(); });
  CHECK(told.writes == Writes{"pids/pids.max=7", "pids/pids.max=7"});
}

struct UnifiedHost : FakeHost {
  UnifiedHost() {
    AddV2("unified");
    for (const char* file : {"memory.max", "memory.low", "memory.swap.max", "cpu.weight", "cpu.max",
                             "cpu.max.burst", "io.weight", "io.max", "pids.max"})
      Put("unified", file, "");
    Put("unified", "cpu.max", "max 100000\n");
  }
};

TEST_CASE("v2: values are converted, swap before memory, no burst above a quota") {
  UnifiedHost host;
  oci::Resources resources = MemoryAndSwap(1000, 1500);
  resources.memory.reservation = 700;
  resources.cpu = {.shares = 1024, .burst = 1000, .quota = 20000};
  resources.block_io.weight = 500;
  resources.block_io.write_iops = {{.major = 8, .minor = 0, .rate = 9}};
  resources.pids_limit = -1;
  const auto set = host.Update(resources);
  CHECK_MESSAGE(set.status.ok(), MessageOf(set.status));
  CHECK(set.writes == Writes{"unified/memory.swap.max=500", "unified/memory.max=1000",
                             "unified/memory.low=700", "unified/cpu.weight=100",
                             "unified/cpu.max.burst=0", "unified/cpu.max=20000 100000",
                             "unified/cpu.max.burst=1000", "unified/io.weight=4950",
                             "unified/io.max=8:0 wiops=9", "unified/pids.max=max"});
  // BFQ has the weights of config.json.
  host.Put("unified", "io.bfq.weight", "");
  oci::Resources weight;
  weight.block_io.weight = 500;
  CHECK(host.Update(weight).writes == Writes{"unified/io.bfq.weight=500"});
  // The period alone: the quota stays.
  host.Put("unified", "cpu.max", "20000 100000\n");
  oci::Resources period;
  period.cpu.period = 50000;
  CHECK(host.Update(period).writes == Writes{"unified/cpu.max=20000 50000"});
}

TEST_CASE("v2: the ends and the middle of the scales") {
  CHECK(WeightOfShares(2) == 1);
  CHECK(WeightOfShares(1024) == 100);
  CHECK(WeightOfShares(262144) == 10000);
  CHECK(WeightOfShares(1) == 1);
  for (uint64_t shares = 2; shares < 262144; shares = shares * 3 / 2 + 1)
    CHECK(WeightOfShares(shares) <= WeightOfShares(shares + 1));
  CHECK(IoWeight(10) == 1);
  CHECK(IoWeight(1000) == 10000);
  CHECK(*SwapWithoutMemory({.limit = 10, .swap = 10}) == 0);
  CHECK(*SwapWithoutMemory({.limit = 10, .swap = -1}) == -1);
  CHECK_FALSE(SwapWithoutMemory({.swap = 10}).ok());
  CHECK_FALSE(SwapWithoutMemory({.limit = 10, .swap = 5}).ok());
}

TEST_CASE("v2: an update that the kernel refuses half way is taken back, last first") {
  UnifiedHost host;
  host.Put("unified", "memory.max", "2000\n");
  host.Put("unified", "memory.swap.max", "max\n");
  host.Put("unified", "pids.max", "30\n");
  host.Put("unified", "io.max", "8:0 rbps=5 wbps=max riops=max wiops=max\n");
  oci::Resources resources = MemoryAndSwap(1000, 1500);
  resources.block_io.read_bps = {{.major = 8, .minor = 0, .rate = 7},
                                 {.major = 8, .minor = 16, .rate = 7}};
  resources.pids_limit = 7;
  const auto refused = host.Update(resources, {Refuse("pids.max", EINVAL, "7")});
  CHECK(ErrnoOf(refused.status) == EINVAL);
  REQUIRE(refused.writes.size() == 10);
  const Writes back(refused.writes.begin() + 5, refused.writes.end());
  CHECK(back == Writes{"unified/pids.max=30",
                       "unified/io.max=8:16 rbps=max wbps=max riops=max wiops=max",
                       "unified/io.max=8:0 rbps=5 wbps=max riops=max wiops=max",
                       "unified/memory.max=2000", "unified/memory.swap.max=max"});
}

TEST_CASE("hybrid: limits are v1's, and the v2 beside it is the container's, too") {
  MemoryHost host;
  host.AddV1("pids");
  host.AddV2("unified");
  host.Put("pids", "pids.max", "");
  host.Put("pids", "tasks", "");
  host.Put("memory", "tasks", "");
  // There to be left alone.
  host.Put("unified", "pids.max", "max\n");
  host.Put("unified", "memory.max", "max\n");
  oci::Resources resources;
  resources.memory.limit = 100;
  resources.pids_limit = 7;
  const auto set = host.Update(resources);
  CHECK(set.status.ok());
  CHECK(set.writes == Writes{"memory/memory.limit_in_bytes=100", "pids/pids.max=7"});
  const auto manager = host.NewManager();
  CHECK(manager->View().size() == 3);
  CHECK(manager->View().contains(kUnified));
  const auto entry = manager->OpenEntry({});
  REQUIRE_MESSAGE(entry.ok(), MessageOf(entry.status()));
  CHECK(entry->files.size() == 2);
  CHECK(entry->folder.valid());
  resources.unified = {{"memory.high", "1"}};
  const auto refused = host.Update(resources);
  CHECK(MessageOf(refused.status).find("needs cgroup v2") != std::string::npos);
  CHECK(host.Get("pids", "pids.max") == "7");
}

}  // namespace
}  // namespace ocirun::cgroup
