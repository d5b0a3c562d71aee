// SPDX-License-Identifier: Apache-2.0
//
// cgroup v2: one folder for all controllers (Documentation/admin-guide/cgroup-v2.rst).
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>

#include "base/file.h"
#include "base/sys/file.h"
#include "ocirun/cgroup/device_bpf.h"
#include "ocirun/cgroup/device_rules.h"
#include "ocirun/cgroup/files.h"
#include "ocirun/cgroup/manager_impl.h"

namespace ocirun::cgroup {
namespace {

std::string OrMax(int64_t value) { return value < 0 ? "max" : std::to_string(value); }

// cpu.shares 2..262144 (1024 is usual) to cpu.weight 1..10000 (100 is usual): the quadratic mapping
// that keeps all three points, as the runtimes have agreed on.
uint64_t WeightOfShares(uint64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const double l = std::log2(static_cast<double>(shares));
  const double exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
  return static_cast<uint64_t>(std::ceil(std::pow(10.0, exponent)));
}

class V2Manager : public Manager {
 public:
  explicit V2Manager(Place place) : place_(std::move(place)) {}

  Status Create() override;
  Status Set(const oci::Resources& resources) override;
  StatusOr<std::vector<UniqueFd>> OpenEntry(const SubCgroups& below) const override;
  StatusOr<std::vector<pid_t>> Pids() const override { return ReadPids(place_.folder, true); }
  Status SetFrozen(bool frozen) override;
  [[nodiscard]] bool IsFrozen() const override;
  Status KillAll(int signal) override;
  Status Destroy() override { return RemoveCgroup(place_.folder); }
  [[nodiscard]] std::map<std::string, std::string> View() const override {
    return {{"", place_.folder}};
  }

 private:
  Status EnableControllers();
  Status Write(std::string_view file, std::string_view value, std::string_view property) {
    return WriteControl(place_.folder, file, value, property);
  }
  Status SetMemory(const oci::MemoryResources& memory);
  Status SetCpu(const oci::CpuResources& cpu);
  Status SetBlockIo(const oci::BlockIo& io);

  Place place_;
};

Status V2Manager::Create() {
  if (PathExists(place_.folder)) {
    ASSIGN_OR_RETURN(const std::vector<pid_t> pids, ReadPids(place_.folder, false));
    if (!pids.empty())
      return FailedPrecondition("container's cgroup is not empty: {} holds {} process(es)",
                                place_.folder, pids.size());
    if (IsFrozen()) return FailedPrecondition("container's cgroup is unexpectedly frozen");
  }
  std::string first_made;
  Undo remove([&] {
    if (!first_made.empty())
      IgnoreError(RemoveCgroup(first_made), "undoing: the first error is the one to report");
  });
  RETURN_IF_ERROR(MakeCgroup(place_.mount_point, place_.folder, &first_made));
  RETURN_IF_ERROR(EnableControllers());
  remove.Release();
  return absl::OkStatus();
}

// Each level must hand its controllers on. One that can't be (a parent with processes, a threaded
// cgroup) is missed only when a limit needs it, and that write reports it.
Status V2Manager::EnableControllers() {
  ASSIGN_OR_RETURN(const std::string available,
                   ReadControl(place_.mount_point, "cgroup.controllers"));
  for (size_t at = place_.mount_point.size(); at < place_.folder.rfind('/') + 1;) {
    const std::string folder = place_.folder.substr(0, at);
    for (const char* controller :
         {"cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma", "misc"})
      if (HasWord(available, controller))
        IgnoreError(WriteControl(folder, "cgroup.subtree_control", fmt::format("+{}", controller),
                                 "controllers"),
                    "a limit that needs the controller will say so");
    at = place_.folder.find('/', at + 1);
    if (at == std::string::npos) break;
  }
  return absl::OkStatus();
}

Status V2Manager::SetMemory(const oci::MemoryResources& memory) {
  if (memory.limit.value_or(0) != 0)
    RETURN_IF_ERROR(Write("memory.max", OrMax(*memory.limit), "linux.resources.memory.limit"));
  if (memory.swap.value_or(0) != 0) {
    // config.json counts memory and swap together, v2 swap alone.
    if (*memory.swap > 0 && memory.limit.value_or(0) <= 0)
      return InvalidArgument("linux.resources.memory.swap needs linux.resources.memory.limit");
    if (*memory.swap > 0 && *memory.swap < *memory.limit)
      return InvalidArgument("linux.resources.memory.swap must not be below the limit");
    RETURN_IF_ERROR(Write("memory.swap.max",
                          *memory.swap < 0 ? "max" : std::to_string(*memory.swap - *memory.limit),
                          "linux.resources.memory.swap"));
  }
  if (memory.reservation.value_or(0) != 0)
    RETURN_IF_ERROR(
        Write("memory.low", OrMax(*memory.reservation), "linux.resources.memory.reservation"));
  if (memory.swappiness.has_value() || memory.disable_oom_killer.value_or(false))
    return FailedPrecondition(
        "linux.resources.memory: swappiness and disableOOMKiller need cgroup v1");
  return absl::OkStatus();
}

Status V2Manager::SetCpu(const oci::CpuResources& cpu) {
  if (cpu.shares.value_or(0) != 0)
    RETURN_IF_ERROR(Write("cpu.weight", std::to_string(WeightOfShares(*cpu.shares)),
                          "linux.resources.cpu.shares"));
  if (cpu.quota.value_or(0) != 0 || cpu.period.value_or(0) != 0) {
    const std::string quota = cpu.quota.value_or(0) > 0 ? std::to_string(*cpu.quota) : "max";
    const uint64_t period = cpu.period.value_or(0) != 0 ? *cpu.period : 100'000;
    RETURN_IF_ERROR(
        Write("cpu.max", fmt::format("{} {}", quota, period), "linux.resources.cpu.quota"));
  }
  if (cpu.burst.has_value())
    RETURN_IF_ERROR(
        Write("cpu.max.burst", std::to_string(*cpu.burst), "linux.resources.cpu.burst"));
  if (cpu.idle.has_value())
    RETURN_IF_ERROR(Write("cpu.idle", std::to_string(*cpu.idle), "linux.resources.cpu.idle"));
  if (cpu.realtime_runtime.value_or(0) != 0)
    return FailedPrecondition("linux.resources.cpu.realtimeRuntime needs cgroup v1");
  if (!cpu.cpus.empty())
    RETURN_IF_ERROR(Write("cpuset.cpus", cpu.cpus, "linux.resources.cpu.cpus"));
  if (!cpu.mems.empty())
    RETURN_IF_ERROR(Write("cpuset.mems", cpu.mems, "linux.resources.cpu.mems"));
  return absl::OkStatus();
}

Status V2Manager::SetBlockIo(const oci::BlockIo& io) {
  if (io.leaf_weight.value_or(0) != 0)
    return FailedPrecondition("linux.resources.blockIO.leafWeight needs cgroup v1");
  constexpr std::string_view kWeight = "linux.resources.blockIO.weight";
  if (io.weight.value_or(0) != 0) {
    if (PathExists(place_.folder + "/io.bfq.weight")) {
      RETURN_IF_ERROR(Write("io.bfq.weight", std::to_string(*io.weight), kWeight));
    } else {
      // 10..1000 to 1..10000.
      RETURN_IF_ERROR(
          Write("io.weight", std::to_string(1 + (*io.weight - 10) * 9999 / 990), kWeight));
    }
  }
  for (const oci::WeightDevice& device : io.weight_device)
    if (device.weight.has_value())
      RETURN_IF_ERROR(Write("io.bfq.weight",
                            fmt::format("{}:{} {}", device.major, device.minor, *device.weight),
                            "linux.resources.blockIO.weightDevice"));
  const struct {
    const std::vector<oci::ThrottleDevice>& devices;
    std::string_view key, property;
  } throttles[] = {{io.read_bps, "rbps", "throttleReadBpsDevice"},
                   {io.write_bps, "wbps", "throttleWriteBpsDevice"},
                   {io.read_iops, "riops", "throttleReadIOPSDevice"},
                   {io.write_iops, "wiops", "throttleWriteIOPSDevice"}};
  for (const auto& throttle : throttles)
    for (const oci::ThrottleDevice& device : throttle.devices)
      RETURN_IF_ERROR(
          Write("io.max",
                fmt::format("{}:{} {}={}", device.major, device.minor, throttle.key, device.rate),
                fmt::format("linux.resources.blockIO.{}", throttle.property)));
  return absl::OkStatus();
}

Status V2Manager::Set(const oci::Resources& resources) {
  RETURN_IF_ERROR(SetMemory(resources.memory));
  RETURN_IF_ERROR(SetCpu(resources.cpu));
  RETURN_IF_ERROR(SetBlockIo(resources.block_io));
  if (resources.pids_limit.value_or(0) != 0)
    RETURN_IF_ERROR(Write("pids.max", OrMax(*resources.pids_limit), "linux.resources.pids.limit"));
  for (const oci::HugepageLimit& limit : resources.hugepage_limits)
    RETURN_IF_ERROR(Write(fmt::format("hugetlb.{}.max", limit.page_size),
                          std::to_string(limit.limit), "linux.resources.hugepageLimits"));
  for (const auto& [file, value] : resources.unified)
    RETURN_IF_ERROR(Write(file, value, "linux.resources.unified"));
  return AttachDeviceRules(place_.folder, WithDefaults(resources.devices));
}

StatusOr<std::vector<UniqueFd>> V2Manager::OpenEntry(const SubCgroups& below) const {
  std::string sub;
  for (const auto& [controller, path] : below) {
    if (!controller.empty())
      return InvalidArgument("cgroup: controllers can't be told apart on cgroup v2: {}",
                             controller);
    ASSIGN_OR_RETURN(sub, CheckSubCgroup(path));
  }
  std::vector<UniqueFd> entry(1);
  ASSIGN_OR_RETURN(entry[0], sys::Open(place_.folder + sub + "/cgroup.procs", O_WRONLY));
  return entry;
}

Status V2Manager::SetFrozen(bool frozen) {
  RETURN_IF_ERROR(Write("cgroup.freeze", frozen ? "1" : "0", "freezer"));
  for (int attempt = 0; attempt < 1000; ++attempt) {
    ASSIGN_OR_RETURN(const std::string events, ReadControl(place_.folder, "cgroup.events"));
    const size_t at = events.find("frozen ");
    if (at != std::string::npos && (events[at + 7] == '1') == frozen) return absl::OkStatus();
    ::usleep(1000);
  }
  return Error(StatusCode::kDeadlineExceeded, "the container's processes can't be {}",
               frozen ? "frozen" : "thawed");
}

bool V2Manager::IsFrozen() const {
  const auto state = ReadControl(place_.folder, "cgroup.freeze");
  return state.ok() && HasWord(*state, "1");
}

Status V2Manager::KillAll(int signal) {
  if (signal == SIGKILL && PathExists(place_.folder + "/cgroup.kill"))
    return Write("cgroup.kill", "1", "kill");
  const bool freeze = !IsFrozen();
  if (freeze) IgnoreError(SetFrozen(true), "an unfreezable process can be killed all the same");
  auto pids = Pids();
  if (pids.ok())
    for (const pid_t pid : *pids) ::kill(pid, signal);
  if (freeze) IgnoreError(SetFrozen(false), "killed processes leave the freezer on their own");
  return pids.status();
}

}  // namespace

std::unique_ptr<Manager> NewV2Manager(Place place) {
  return std::make_unique<V2Manager>(std::move(place));
}

}  // namespace ocirun::cgroup
