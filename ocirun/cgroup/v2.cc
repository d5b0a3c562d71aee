// SPDX-License-Identifier: Apache-2.0
//
// cgroup v2: one folder for all controllers (Documentation/admin-guide/cgroup-v2.rst).
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <optional>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/text.h"
#include "ocirun/cgroup/device_bpf.h"
#include "ocirun/cgroup/device_rules.h"
#include "ocirun/cgroup/files.h"
#include "ocirun/cgroup/journal.h"
#include "ocirun/cgroup/manager_impl.h"
#include "ocirun/log/log.h"

namespace ocirun::cgroup {
namespace {

std::string OrMax(int64_t value) { return value < 0 ? "max" : std::to_string(value); }

class V2Manager : public Manager {
 public:
  V2Manager(Place place, Maker maker) : place_(std::move(place)), maker_(maker) {}

  Status Create() override;
  Status Set(const oci::Resources& resources) override;
  Status Update(const oci::Resources& resources, const Tell& tell) override;
  Status Delegate(uid_t owner) override;
  [[nodiscard]] Statistics ReadStatistics() const override { return ReadV2Statistics(place_); }
  StatusOr<Entry> OpenEntry(const SubCgroups& below) const override;
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
    if (journal_ != nullptr) journal_->Remember(fmt::format("{}/{}", place_.folder, file), value);
    return WriteControl(place_.folder, file, value, property);
  }
  Status SetLimits(const oci::Resources& resources);
  Status SetSwap(const oci::MemoryResources& memory);
  Status SetCpuTime(const oci::CpuResources& cpu);
  Status SetMemory(const oci::MemoryResources& memory);
  Status SetCpu(const oci::CpuResources& cpu);
  Status SetBlockIo(const oci::BlockIo& io);

  Place place_;
  Maker maker_;
  Journal* journal_ = nullptr;  // while an update is on its way
};

Status V2Manager::Create() {
  if (maker_ == Maker::kOurselves && PathExists(place_.folder)) {
    ASSIGN_OR_RETURN(const std::vector<pid_t> pids, ReadPids(place_.folder, false));
    if (!pids.empty())
      return FailedPrecondition("container's cgroup is not empty: {} holds {} process(es)",
                                place_.folder, pids.size());
    if (IsFrozen()) return FailedPrecondition("container's cgroup unexpectedly frozen");
  }
  std::string first_made;
  Undo remove([&] {
    if (!first_made.empty())
      IgnoreError(RemoveCgroup(first_made), "undoing: the first error is the one to report");
  });
  RETURN_IF_ERROR(MakeCgroup(place_.mount_point, place_.folder, &first_made));
  RETURN_IF_ERROR(EnableControllers());
  remove.Release();
  return OkStatus();
}

// Each level must hand its controllers on. One that can't be (a parent with processes, a threaded
// cgroup) is missed only when a limit needs it, and that write reports it.
Status V2Manager::EnableControllers() {
  for (size_t at = place_.mount_point.size(); at < place_.folder.rfind('/') + 1;
       at = place_.folder.find('/', at + 1)) {
    const std::string folder = place_.folder.substr(0, at);
    ASSIGN_OR_RETURN(const std::string available, ReadControl(folder, "cgroup.controllers"));
    ASSIGN_OR_RETURN(const std::string enabled, ReadControl(folder, "cgroup.subtree_control"));
    std::vector<std::string> missing;
    for (const std::string_view controller : SplitWords(available, " \n"))
      if (!HasWord(enabled, controller)) missing.push_back(fmt::format("+{}", controller));
    if (missing.empty()) continue;
    const Status all = WriteControl(folder, "cgroup.subtree_control",
                                    fmt::format("{}", fmt::join(missing, " ")), "controllers");
    // One by one when the kernel refuses one of them; not where the folder has processes (EBUSY):
    // there it takes the thread-aware ones alone (cpu, cpuset, pids), which makes every cgroup
    // below invalid for processes (cgroup-v2.rst, "Threads").
    if (!all.ok() && ErrnoOf(all) != EBUSY)
      for (const std::string& controller : missing)
        IgnoreError(WriteControl(folder, "cgroup.subtree_control", controller, "controllers"),
                    "a limit that needs the controller will say so");
  }
  return OkStatus();
}

Status V2Manager::SetSwap(const oci::MemoryResources& memory) {
  ASSIGN_OR_RETURN(const std::optional<int64_t> swap, SwapWithoutMemory(memory));
  // What nobody asked for is not to be missed.
  const bool asked = memory.swap.value_or(0) != 0;
  if (!swap.has_value() || (!asked && !PathExists(place_.folder + "/memory.swap.max")))
    return OkStatus();
  return Write("memory.swap.max", OrMax(*swap), "linux.resources.memory.swap");
}

Status V2Manager::SetMemory(const oci::MemoryResources& memory) {
  RETURN_IF_ERROR(SetSwap(memory));
  const int64_t limit = memory.limit.value_or(0);
  if (limit > 0 && memory.check_before_update.value_or(false)) {
    // v2 kills until the usage fits; one who would rather be told asks for the check.
    const uint64_t usage = ReadNumber(place_.folder, "memory.current");
    if (usage > static_cast<uint64_t>(limit))
      return FailedPrecondition(
          "linux.resources.memory.limit: rejecting memory limit {} below the current usage {}",
          limit, usage);
  }
  if (limit != 0)
    RETURN_IF_ERROR(Write("memory.max", OrMax(limit), "linux.resources.memory.limit"));
  if (memory.reservation.value_or(0) != 0)
    RETURN_IF_ERROR(
        Write("memory.low", OrMax(*memory.reservation), "linux.resources.memory.reservation"));
  if (memory.kernel.value_or(0) != 0 || memory.kernel_tcp.value_or(0) != 0)
    Warn("linux.resources.memory: kernel and kernelTCP have no meaning on cgroup v2");
  if (memory.swappiness.has_value() || memory.disable_oom_killer.value_or(false))
    return FailedPrecondition(
        "linux.resources.memory: swappiness and disableOOMKiller need cgroup v1");
  return OkStatus();
}

// cpu.max holds both; what is not given keeps its value.
Status V2Manager::SetCpuTime(const oci::CpuResources& cpu) {
  if (cpu.quota.value_or(0) != 0 || cpu.period.value_or(0) != 0) {
    const std::string now = ReadText(place_.folder, "cpu.max");
    const std::vector<std::string_view> words = SplitWords(now, " \n");
    std::string quota = words.size() == 2 ? std::string(words[0]) : "max";
    std::string period = words.size() == 2 ? std::string(words[1]) : "100000";
    if (cpu.quota.value_or(0) != 0) quota = OrMax(*cpu.quota);
    if (cpu.period.value_or(0) != 0) period = std::to_string(*cpu.period);
    // A burst above the new quota would have it refused.
    if (cpu.burst.has_value())
      IgnoreError(Write("cpu.max.burst", "0", "linux.resources.cpu.burst"),
                  "the last write decides");
    RETURN_IF_ERROR(Write("cpu.max", quota + " " + period, "linux.resources.cpu.quota"));
  }
  if (!cpu.burst.has_value()) return OkStatus();
  return Write("cpu.max.burst", std::to_string(*cpu.burst), "linux.resources.cpu.burst");
}

Status V2Manager::SetCpu(const oci::CpuResources& cpu) {
  if (cpu.shares.value_or(0) != 0)
    RETURN_IF_ERROR(Write("cpu.weight", std::to_string(WeightOfShares(*cpu.shares)),
                          "linux.resources.cpu.shares"));
  RETURN_IF_ERROR(SetCpuTime(cpu));
  if (cpu.idle.has_value())
    RETURN_IF_ERROR(Write("cpu.idle", std::to_string(*cpu.idle), "linux.resources.cpu.idle"));
  if (cpu.realtime_runtime.value_or(0) != 0)
    return FailedPrecondition("linux.resources.cpu.realtimeRuntime needs cgroup v1");
  if (!cpu.cpus.empty())
    RETURN_IF_ERROR(Write("cpuset.cpus", cpu.cpus, "linux.resources.cpu.cpus"));
  if (!cpu.mems.empty())
    RETURN_IF_ERROR(Write("cpuset.mems", cpu.mems, "linux.resources.cpu.mems"));
  return OkStatus();
}

Status V2Manager::SetBlockIo(const oci::BlockIo& io) {
  if (io.leaf_weight.value_or(0) != 0)
    return FailedPrecondition("linux.resources.blockIO.leafWeight needs cgroup v1");
  constexpr std::string_view kWeight = "linux.resources.blockIO.weight";
  if (io.weight.value_or(0) != 0) {
    if (PathExists(place_.folder + "/io.bfq.weight")) {
      RETURN_IF_ERROR(Write("io.bfq.weight", std::to_string(*io.weight), kWeight));
    } else {
      RETURN_IF_ERROR(Write("io.weight", std::to_string(IoWeight(*io.weight)), kWeight));
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
  return OkStatus();
}

Status V2Manager::SetLimits(const oci::Resources& resources) {
  RETURN_IF_ERROR(SetMemory(resources.memory));
  RETURN_IF_ERROR(SetCpu(resources.cpu));
  RETURN_IF_ERROR(SetBlockIo(resources.block_io));
  if (resources.pids_limit.has_value())
    RETURN_IF_ERROR(
        Write("pids.max", PidsLimit(*resources.pids_limit), "linux.resources.pids.limit"));
  for (const oci::HugepageLimit& limit : resources.hugepage_limits) {
    const std::string prefix = fmt::format("hugetlb.{}.", limit.page_size);
    // Reservations count as well where the kernel can (5.7): a page fault that finds no page kills.
    if (PathExists(fmt::format("{}/{}rsvd.max", place_.folder, prefix)))
      RETURN_IF_ERROR(Write(prefix + "rsvd.max", std::to_string(limit.limit),
                            "linux.resources.hugepageLimits"));
    RETURN_IF_ERROR(
        Write(prefix + "max", std::to_string(limit.limit), "linux.resources.hugepageLimits"));
  }
  if (resources.network.class_id.has_value() || !resources.network.priorities.empty())
    return FailedPrecondition(
        "linux.resources.network needs cgroup v1: v2 has no net_cls and net_prio controllers");
  for (const auto& [device, limit] : resources.rdma)
    RETURN_IF_ERROR(Write("rdma.max", RdmaLine(device, limit), "linux.resources.rdma"));
  for (const auto& [file, value] : resources.unified)
    RETURN_IF_ERROR(Write(file, value, fmt::format("linux.resources.unified[{:?}]", file)));
  return OkStatus();
}

Status V2Manager::Set(const oci::Resources& resources) {
  RETURN_IF_ERROR(SetLimits(resources));
  const Status devices = AttachDeviceRules(place_.folder, WithDefaults(resources.devices));
  // An ordinary user may not load the program, and can't make devices anyway.
  return !sys::IsHostRoot() && ErrnoOf(devices) == EPERM ? OkStatus() : devices;
}

Status V2Manager::Update(const oci::Resources& resources, const Tell& tell) {
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

// cgroup-v2.rst, "Model of Delegation": the folder and the files that the kernel lists.
Status V2Manager::Delegate(uid_t owner) {
  std::string files = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";
  if (auto listed = ReadFile("/sys/kernel/cgroup/delegate"); listed.ok())
    files = std::move(*listed);
  const auto change = [&](const std::string& path) -> Status {
    if (::chown(path.c_str(), owner, static_cast<gid_t>(-1)) < 0 && errno != ENOENT)
      return SysError(errno, "chown", path);
    return OkStatus();
  };
  RETURN_IF_ERROR(change(place_.folder));
  for (const std::string_view file : SplitWords(files, "\n"))
    RETURN_IF_ERROR(change(fmt::format("{}/{}", place_.folder, file)));
  return OkStatus();
}

StatusOr<Entry> V2Manager::OpenEntry(const SubCgroups& below) const {
  std::string sub;
  for (const auto& [controller, path] : below) {
    if (!controller.empty())
      return InvalidArgument("cgroup: controllers can't be told apart on cgroup v2: {}",
                             controller);
    ASSIGN_OR_RETURN(sub, CheckSubCgroup(path));
  }
  Entry entry;
  ASSIGN_OR_RETURN(entry.folder, sys::Open(place_.folder + sub, O_PATH | O_DIRECTORY));
  return entry;
}

Status V2Manager::SetFrozen(bool frozen) {
  RETURN_IF_ERROR(Write("cgroup.freeze", frozen ? "1" : "0", "freezer"));
  for (int attempt = 0; attempt < 1000; ++attempt) {
    ASSIGN_OR_RETURN(const std::string events, ReadControl(place_.folder, "cgroup.events"));
    const size_t at = events.find("frozen ");
    if (at != std::string::npos && (events[at + 7] == '1') == frozen) return OkStatus();
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

uint64_t WeightOfShares(uint64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const double l = std::log2(static_cast<double>(shares));
  const double exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
  return static_cast<uint64_t>(std::ceil(std::pow(10.0, exponent)));
}

uint64_t IoWeight(uint16_t weight) {
  return weight <= 10 ? 1 : 1 + static_cast<uint64_t>(weight - 10) * 9999 / 990;
}

StatusOr<std::optional<int64_t>> SwapWithoutMemory(const oci::MemoryResources& memory) {
  constexpr std::string_view kName = "linux.resources.memory.swap";
  const int64_t swap = memory.swap.value_or(0), limit = memory.limit.value_or(0);
  // Without a limit for memory there must be none for swap.
  if (swap < 0 || (swap == 0 && limit < 0)) return -1;
  if (swap == 0) return std::nullopt;
  if (limit <= 0)
    return InvalidArgument("{}: unable to set swap limit without memory limit", kName);
  if (swap < limit)
    return InvalidArgument("{}: memory+swap limit should be >= memory limit", kName);
  return swap - limit;
}

std::unique_ptr<Manager> NewV2Manager(Place place, Maker maker) {
  return std::make_unique<V2Manager>(std::move(place), maker);
}

}  // namespace ocirun::cgroup
