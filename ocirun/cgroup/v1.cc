// SPDX-License-Identifier: Apache-2.0
//
// cgroup v1: one folder a hierarchy (Documentation/admin-guide/cgroup-v1).
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "ocirun/cgroup/device_rules.h"
#include "ocirun/cgroup/files.h"
#include "ocirun/cgroup/journal.h"
#include "ocirun/cgroup/manager_impl.h"
#include "ocirun/log/log.h"

namespace ocirun::cgroup {
namespace {

std::string FolderName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

class V1Manager : public Manager {
 public:
  V1Manager(std::vector<Place> places, Maker maker) : places_(std::move(places)), maker_(maker) {}

  Status Create() override;
  Status Set(const oci::Resources& resources) override;
  Status Update(const oci::Resources& resources, const Tell& tell) override;
  Status Delegate(uid_t) override { return OkStatus(); }
  [[nodiscard]] Statistics ReadStatistics() const override { return ReadV1Statistics(places_); }
  StatusOr<Entry> OpenEntry(const SubCgroups& below) const override;
  StatusOr<std::vector<pid_t>> Pids() const override;
  Status SetFrozen(bool frozen) override;
  [[nodiscard]] bool IsFrozen() const override;
  Status KillAll(int signal) override;
  Status Destroy() override;
  [[nodiscard]] std::map<std::string, std::string> View() const override;

 private:
  // The container's folder in the hierarchy of `controller`; empty when the host lacks it.
  [[nodiscard]] std::string FolderOf(std::string_view controller) const;
  // Writes a limit; an error when the host lacks the controller.
  Status Write(std::string_view controller, std::string_view file, std::string_view value,
               std::string_view property);
  template <typename T>
  Status WriteIf(const std::optional<T>& value, std::string_view controller, std::string_view file,
                 std::string_view property) {
    return value.has_value() ? Write(controller, file, std::to_string(*value), property)
                             : OkStatus();
  }
  Status InheritCpuset(const Place& place);
  Status SetMemory(const oci::MemoryResources& memory);
  Status SetMemoryAndSwap(const oci::MemoryResources& memory);
  Status SetMemoryLimit(int64_t limit);
  Status SetCpu(const oci::CpuResources& cpu);
  Status SetCpuTime(const oci::CpuResources& cpu);
  struct CpuLimit {
    const char *file, *property;
    std::string value;
  };
  Status SetInAnyOrder(const std::vector<CpuLimit>& limits);
  Status SetLimits(const oci::Resources& resources);
  Status SetNetwork(const oci::NetworkResources& network);
  Status SetBlockIo(const oci::BlockIo& io);
  Status SetDevices(const std::vector<oci::DeviceRule>& rules);

  std::vector<Place> places_;
  Maker maker_;
  Journal* journal_ = nullptr;  // while an update is on its way
};

Status V1Manager::Create() {
  std::vector<std::string> made;
  Undo remove([&] {
    for (const std::string& folder : made)
      IgnoreError(RemoveCgroup(folder), "undoing: the first error is the one to report");
  });
  for (const Place& place : places_) {
    if (maker_ == Maker::kOurselves && PathExists(place.folder)) {
      ASSIGN_OR_RETURN(const std::vector<pid_t> pids, ReadPids(place.folder, false));
      if (!pids.empty())
        return FailedPrecondition("container's cgroup is not empty: {} holds {} process(es)",
                                  place.folder, pids.size());
    }
    std::string first_made;
    const Status status = MakeCgroup(place.mount_point, place.folder, &first_made);
    if (!first_made.empty()) made.push_back(first_made);
    RETURN_IF_ERROR(status);
    if (place.Has("cpuset")) RETURN_IF_ERROR(InheritCpuset(place));
  }
  if (IsFrozen()) return FailedPrecondition("container's cgroup unexpectedly frozen");
  remove.Release();
  return OkStatus();
}

// A new cpuset is empty and takes no process: every level below the root gets its parent's CPUs and
// memory nodes unless it has some.
Status V1Manager::InheritCpuset(const Place& place) {
  for (size_t at = place.mount_point.size(); at != std::string::npos;) {
    const std::string parent = place.folder.substr(0, at);
    at = place.folder.find('/', at + 1);
    const std::string folder = place.folder.substr(0, at);
    for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
      ASSIGN_OR_RETURN(const std::string own, ReadControl(folder, file));
      if (own.find_first_not_of(" \n") != std::string::npos) continue;
      ASSIGN_OR_RETURN(const std::string inherited, ReadControl(parent, file));
      RETURN_IF_ERROR(WriteControl(folder, file, inherited, "cpuset"));
    }
  }
  return OkStatus();
}

std::string V1Manager::FolderOf(std::string_view controller) const {
  for (const Place& place : places_)
    if (place.Has(controller)) return place.folder;
  return {};
}

Status V1Manager::Write(std::string_view controller, std::string_view file, std::string_view value,
                        std::string_view property) {
  const std::string folder = FolderOf(controller);
  if (folder.empty())
    return FailedPrecondition("{}: this host has no cgroup controller {}", property, controller);
  if (journal_ != nullptr) journal_->Remember(fmt::format("{}/{}", folder, file), value);
  return WriteControl(folder, file, value, property);
}

Status V1Manager::SetMemoryLimit(int64_t limit) {
  const Status set = Write("memory", "memory.limit_in_bytes", std::to_string(limit),
                           "linux.resources.memory.limit");
  if (ErrnoOf(set) != EBUSY) return set;
  const std::string folder = FolderOf("memory");
  return Annotate(
      set, fmt::format("unable to set memory limit to {} (current usage: {}, peak usage: {})",
                       limit, ReadNumber(folder, "memory.usage_in_bytes"),
                       ReadNumber(folder, "memory.max_usage_in_bytes")));
}

Status V1Manager::SetMemoryAndSwap(const oci::MemoryResources& memory) {
  constexpr std::string_view kSwap = "memory.memsw.limit_in_bytes";
  constexpr std::string_view kSwapName = "linux.resources.memory.swap";
  // Memory without a limit must not keep a limit of memory and swap together.
  std::optional<int64_t> swap = memory.swap;
  if (memory.limit == -1 && swap.value_or(0) == 0 &&
      PathExists(FolderOf("memory") + "/" + std::string(kSwap)))
    swap = -1;
  if (swap == 0) swap.reset();
  std::optional<int64_t> limit = memory.limit;
  if (limit == 0) limit.reset();
  if (!limit.has_value()) return WriteIf(swap, "memory", kSwap, kSwapName);
  if (!swap.has_value()) return SetMemoryLimit(*limit);
  // The kernel keeps memory ≤ memory+swap at every moment, so the order depends on the direction.
  if (Write("memory", kSwap, std::to_string(*swap), kSwapName).ok()) return SetMemoryLimit(*limit);
  RETURN_IF_ERROR(SetMemoryLimit(*limit));
  return WriteIf(swap, "memory", kSwap, kSwapName);
}

Status V1Manager::SetMemory(const oci::MemoryResources& memory) {
  RETURN_IF_ERROR(SetMemoryAndSwap(memory));
  RETURN_IF_ERROR(WriteIf(memory.reservation, "memory", "memory.soft_limit_in_bytes",
                          "linux.resources.memory.reservation"));
  RETURN_IF_ERROR(WriteIf(memory.kernel_tcp, "memory", "memory.kmem.tcp.limit_in_bytes",
                          "linux.resources.memory.kernelTCP"));
  if (memory.kernel.value_or(0) != 0)
    Warn("linux.resources.memory.kernel: kernels since 5.16 have no such limit, it has no effect");
  if (memory.use_hierarchy == false)
    Warn("linux.resources.memory.useHierarchy: kernels since 5.11 always do");
  RETURN_IF_ERROR(WriteIf(memory.swappiness, "memory", "memory.swappiness",
                          "linux.resources.memory.swappiness"));
  if (memory.disable_oom_killer.value_or(false))
    return Write("memory", "memory.oom_control", "1", "linux.resources.memory.disableOOMKiller");
  return OkStatus();
}

// The kernel refuses what would exceed the parent's share, or a burst above the quota, at every
// step, so a value that is refused is tried again when the others are in place.
Status V1Manager::SetCpuTime(const oci::CpuResources& cpu) {
  std::vector<CpuLimit> limits;
  if (cpu.burst.has_value())
    limits.push_back({"cpu.cfs_burst_us", "linux.resources.cpu.burst", std::to_string(*cpu.burst)});
  if (cpu.period.value_or(0) != 0)
    limits.push_back(
        {"cpu.cfs_period_us", "linux.resources.cpu.period", std::to_string(*cpu.period)});
  if (cpu.quota.value_or(0) != 0)
    limits.push_back({"cpu.cfs_quota_us", "linux.resources.cpu.quota", std::to_string(*cpu.quota)});
  RETURN_IF_ERROR(SetInAnyOrder(limits));
  limits.clear();
  if (cpu.realtime_period.value_or(0) != 0)
    limits.push_back({"cpu.rt_period_us", "linux.resources.cpu.realtimePeriod",
                      std::to_string(*cpu.realtime_period)});
  if (cpu.realtime_runtime.value_or(0) != 0)
    limits.push_back({"cpu.rt_runtime_us", "linux.resources.cpu.realtimeRuntime",
                      std::to_string(*cpu.realtime_runtime)});
  return SetInAnyOrder(limits);
}

Status V1Manager::SetInAnyOrder(const std::vector<CpuLimit>& limits) {
  std::vector<CpuLimit> refused;
  for (const CpuLimit& limit : limits) {
    const Status set = Write("cpu", limit.file, limit.value, limit.property);
    if (ErrnoOf(set) == EINVAL) {
      refused.insert(refused.begin(), limit);
    } else {
      RETURN_IF_ERROR(set);
    }
  }
  for (const CpuLimit& limit : refused)
    RETURN_IF_ERROR(Write("cpu", limit.file, limit.value, limit.property));
  return OkStatus();
}

Status V1Manager::SetCpu(const oci::CpuResources& cpu) {
  if (cpu.shares.value_or(0) != 0)
    RETURN_IF_ERROR(WriteIf(cpu.shares, "cpu", "cpu.shares", "linux.resources.cpu.shares"));
  RETURN_IF_ERROR(SetCpuTime(cpu));
  RETURN_IF_ERROR(WriteIf(cpu.idle, "cpu", "cpu.idle", "linux.resources.cpu.idle"));
  if (!cpu.cpus.empty())
    RETURN_IF_ERROR(Write("cpuset", "cpuset.cpus", cpu.cpus, "linux.resources.cpu.cpus"));
  if (!cpu.mems.empty())
    RETURN_IF_ERROR(Write("cpuset", "cpuset.mems", cpu.mems, "linux.resources.cpu.mems"));
  return OkStatus();
}

Status V1Manager::SetBlockIo(const oci::BlockIo& io) {
  // The weight's file depends on the scheduler: BFQ's, or CFQ's of older kernels.
  const std::string folder = FolderOf("blkio");
  const bool bfq = PathExists(folder + "/blkio.bfq.weight");
  const std::string prefix = bfq ? "blkio.bfq." : "blkio.";
  if (io.weight.value_or(0) != 0)
    RETURN_IF_ERROR(
        WriteIf(io.weight, "blkio", prefix + "weight", "linux.resources.blockIO.weight"));
  if (io.leaf_weight.value_or(0) != 0)
    RETURN_IF_ERROR(WriteIf(io.leaf_weight, "blkio", "blkio.leaf_weight",
                            "linux.resources.blockIO.leafWeight"));
  for (const oci::WeightDevice& device : io.weight_device) {
    const std::string number = fmt::format("{}:{} ", device.major, device.minor);
    constexpr std::string_view kName = "linux.resources.blockIO.weightDevice";
    if (device.weight.has_value())
      RETURN_IF_ERROR(
          Write("blkio", prefix + "weight_device", number + std::to_string(*device.weight), kName));
    if (device.leaf_weight.has_value())
      RETURN_IF_ERROR(Write("blkio", "blkio.leaf_weight_device",
                            number + std::to_string(*device.leaf_weight), kName));
  }
  const struct {
    const std::vector<oci::ThrottleDevice>& devices;
    std::string_view file, property;
  } throttles[] = {
      {io.read_bps, "blkio.throttle.read_bps_device", "throttleReadBpsDevice"},
      {io.write_bps, "blkio.throttle.write_bps_device", "throttleWriteBpsDevice"},
      {io.read_iops, "blkio.throttle.read_iops_device", "throttleReadIOPSDevice"},
      {io.write_iops, "blkio.throttle.write_iops_device", "throttleWriteIOPSDevice"},
  };
  for (const auto& throttle : throttles)
    for (const oci::ThrottleDevice& device : throttle.devices)
      RETURN_IF_ERROR(Write("blkio", throttle.file,
                            fmt::format("{}:{} {}", device.major, device.minor, device.rate),
                            fmt::format("linux.resources.blockIO.{}", throttle.property)));
  return OkStatus();
}

Status V1Manager::SetDevices(const std::vector<oci::DeviceRule>& rules) {
  // An ordinary user, or root in a user namespace, can't make devices anyway.
  if (FolderOf("devices").empty() && (rules.empty() || !sys::IsHostRoot())) return OkStatus();
  for (const oci::DeviceRule& rule : WithDefaults(rules)) {
    const Status set = Write("devices", rule.allow ? "devices.allow" : "devices.deny",
                             FormatRule(rule), "linux.resources.devices");
    // The kernel takes no rule from him, also in a cgroup that is his.
    if (ErrnoOf(set) == EPERM && !sys::IsHostRoot()) return OkStatus();
    RETURN_IF_ERROR(set);
  }
  return OkStatus();
}

Status V1Manager::SetNetwork(const oci::NetworkResources& network) {
  RETURN_IF_ERROR(
      WriteIf(network.class_id, "net_cls", "net_cls.classid", "linux.resources.network.classID"));
  for (const oci::NetworkPriority& priority : network.priorities)
    RETURN_IF_ERROR(Write("net_prio", "net_prio.ifpriomap",
                          fmt::format("{} {}", priority.interface, priority.priority),
                          "linux.resources.network.priorities"));
  return OkStatus();
}

Status V1Manager::SetLimits(const oci::Resources& resources) {
  RETURN_IF_ERROR(SetMemory(resources.memory));
  RETURN_IF_ERROR(SetCpu(resources.cpu));
  RETURN_IF_ERROR(SetBlockIo(resources.block_io));
  if (resources.pids_limit.has_value())
    RETURN_IF_ERROR(
        Write("pids", "pids.max", PidsLimit(*resources.pids_limit), "linux.resources.pids.limit"));
  for (const oci::HugepageLimit& limit : resources.hugepage_limits) {
    const std::string prefix = fmt::format("hugetlb.{}.", limit.page_size);
    // Reservations count as well where the kernel can (5.7): a page fault that finds no page kills.
    if (PathExists(FolderOf("hugetlb") + "/" + prefix + "rsvd.limit_in_bytes"))
      RETURN_IF_ERROR(Write("hugetlb", prefix + "rsvd.limit_in_bytes", std::to_string(limit.limit),
                            "linux.resources.hugepageLimits"));
    RETURN_IF_ERROR(Write("hugetlb", prefix + "limit_in_bytes", std::to_string(limit.limit),
                          "linux.resources.hugepageLimits"));
  }
  RETURN_IF_ERROR(SetNetwork(resources.network));
  for (const auto& [device, limit] : resources.rdma)
    RETURN_IF_ERROR(Write("rdma", "rdma.max", RdmaLine(device, limit), "linux.resources.rdma"));
  if (!resources.unified.empty())
    return FailedPrecondition(
        "invalid configuration: linux.resources.unified needs cgroup v2, this host uses v1");
  return OkStatus();
}

Status V1Manager::Set(const oci::Resources& resources) {
  RETURN_IF_ERROR(SetLimits(resources));
  return SetDevices(resources.devices);
}

Status V1Manager::Update(const oci::Resources& resources, const Tell& tell) {
  Journal journal;
  journal_ = &journal;
  Undo stop([this] { journal_ = nullptr; });
  Status set = SetLimits(resources);
  if (set.ok() && tell) {
    set = tell();
    if (set.ok()) set = SetLimits(resources);
  }
  if (!set.ok())
    IgnoreError(journal.Restore(), "the error that counts is why the update was refused");
  return set;
}

StatusOr<Entry> V1Manager::OpenEntry(const SubCgroups& below) const {
  for (const auto& [controller, path] : below)
    if (!controller.empty() && FolderOf(controller).empty())
      return InvalidArgument("unknown controller {} in SubCgroupPaths", controller);
  Entry entry;
  for (const Place& place : places_) {
    std::string sub;
    for (const auto& [controller, path] : below) {
      if (!controller.empty() && !place.Has(controller)) continue;
      ASSIGN_OR_RETURN(sub, CheckSubCgroup(path));
    }
    if (place.v2) {
      ASSIGN_OR_RETURN(entry.folder, sys::Open(place.folder + sub, O_PATH | O_DIRECTORY));
    } else {
      ASSIGN_OR_RETURN(entry.files.emplace_back(),
                       sys::Open(place.folder + sub + "/tasks", O_WRONLY));
    }
  }
  return entry;
}

StatusOr<std::vector<pid_t>> V1Manager::Pids() const {
  for (const char* controller : {"devices", "freezer", "memory", "pids"}) {
    const std::string folder = FolderOf(controller);
    if (!folder.empty() && PathExists(folder)) return ReadPids(folder, true);
  }
  return ReadPids(places_.front().folder, true);
}

Status V1Manager::SetFrozen(bool frozen) {
  const std::string folder = FolderOf("freezer");
  if (folder.empty()) return FailedPrecondition("this host has no cgroup controller freezer");
  const char* wanted = frozen ? "FROZEN" : "THAWED";
  // A process that forks while it is frozen leaves the state at FREEZING: writing again helps.
  for (int attempt = 0; attempt < 1000; ++attempt) {
    RETURN_IF_ERROR(WriteControl(folder, "freezer.state", wanted, "freezer"));
    ASSIGN_OR_RETURN(const std::string state, ReadControl(folder, "freezer.state"));
    if (HasWord(state, wanted)) return OkStatus();
    ::usleep(attempt < 10 ? 10 : 1000);
  }
  if (frozen)
    IgnoreError(WriteControl(folder, "freezer.state", "THAWED", "freezer"), "undoing the attempt");
  return Error(StatusCode::kDeadlineExceeded, "the container's processes can't be {}",
               frozen ? "frozen" : "thawed");
}

bool V1Manager::IsFrozen() const {
  const std::string folder = FolderOf("freezer");
  if (folder.empty()) return false;
  const auto state = ReadControl(folder, "freezer.state");
  return state.ok() && !HasWord(*state, "THAWED");
}

Status V1Manager::KillAll(int signal) {
  for (const Place& place : places_)
    if (place.v2 && signal == SIGKILL && !IsFrozen() && PathExists(place.folder + "/cgroup.kill"))
      return WriteControl(place.folder, "cgroup.kill", "1", "kill");
  ASSIGN_OR_RETURN(const std::vector<pid_t> now, Pids());
  if (now.empty()) return OkStatus();  // there is nobody who could fork
  // Frozen processes can't fork, so the list is complete; the signal reaches them when thawed.
  const bool was_frozen = IsFrozen();
  const bool freeze = !was_frozen && !FolderOf("freezer").empty();
  if (freeze) IgnoreError(SetFrozen(true), "an unfreezable process can be killed all the same");
  auto pids = Pids();
  if (pids.ok())
    for (const pid_t pid : *pids) ::kill(pid, signal);
  if (freeze || (was_frozen && signal == SIGKILL))
    IgnoreError(SetFrozen(false), "processes that are killed leave the freezer on their own");
  return pids.status();
}

Status V1Manager::Destroy() {
  Status first;
  for (const Place& place : places_) {
    const Status status = RemoveCgroup(place.folder);
    if (first.ok()) first = status;
  }
  return first;
}

std::map<std::string, std::string> V1Manager::View() const {
  std::map<std::string, std::string> view;
  for (const Place& place : places_)
    view.emplace(place.v2 ? kUnified : FolderName(place.mount_point), place.folder);
  return view;
}

}  // namespace

std::unique_ptr<Manager> NewV1Manager(std::vector<Place> places, Maker maker) {
  return std::make_unique<V1Manager>(std::move(places), maker);
}

}  // namespace ocirun::cgroup
