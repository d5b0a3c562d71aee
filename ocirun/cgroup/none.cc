// SPDX-License-Identifier: Apache-2.0
//
// No cgroup: an ordinary user to whom none was handed, or a caller who wants none.
#include <algorithm>

#include "ocirun/cgroup/manager_impl.h"

namespace ocirun::cgroup {
namespace {

// What of the limits is asked for, by its name in config.json; empty: nothing.
std::string_view AskedFor(const oci::Resources& r) {
  const oci::MemoryResources& m = r.memory;
  const oci::CpuResources& c = r.cpu;
  const oci::BlockIo& io = r.block_io;
  const struct {
    bool asked;
    std::string_view name;
  } limits[] = {{m.limit.value_or(0) > 0, "memory.limit"},
                {m.reservation.value_or(0) > 0, "memory.reservation"},
                {m.swap.value_or(0) > 0, "memory.swap"},
                {m.kernel_tcp.value_or(0) > 0, "memory.kernelTCP"},
                {m.swappiness.has_value(), "memory.swappiness"},
                {m.disable_oom_killer.value_or(false), "memory.disableOOMKiller"},
                {c.shares.value_or(0) != 0, "cpu.shares"},
                {c.quota.value_or(0) > 0, "cpu.quota"},
                {c.realtime_runtime.value_or(0) > 0, "cpu.realtimeRuntime"},
                {c.idle.value_or(0) != 0, "cpu.idle"},
                {!c.cpus.empty(), "cpu.cpus"},
                {!c.mems.empty(), "cpu.mems"},
                {r.pids_limit.value_or(-1) > 0, "pids.limit"},
                {io.weight.value_or(0) != 0 || !io.weight_device.empty(), "blockIO.weight"},
                {!io.read_bps.empty(), "blockIO.throttleReadBpsDevice"},
                {!io.write_bps.empty(), "blockIO.throttleWriteBpsDevice"},
                {!io.read_iops.empty(), "blockIO.throttleReadIOPSDevice"},
                {!io.write_iops.empty(), "blockIO.throttleWriteIOPSDevice"},
                {!r.hugepage_limits.empty(), "hugepageLimits"},
                {!r.rdma.empty(), "rdma"},
                {!r.unified.empty(), "unified"},
                {r.network.class_id.has_value(), "network.classID"},
                {!r.network.priorities.empty(), "network.priorities"}};
  for (const auto& limit : limits)
    if (limit.asked) return limit.name;
  return {};
}

// That all devices are denied but some stands in every configuration. A rule that denies certain
// ones is there because somebody wants it.
bool DeniesCertainDevices(const oci::Resources& resources) {
  return std::any_of(resources.devices.begin(), resources.devices.end(),
                     [](const oci::DeviceRule& rule) {
                       const bool all = rule.type == 'a' && !rule.major && !rule.minor;
                       return !rule.allow && !all;
                     });
}

class NoManager : public Manager {
 public:
  // `why` ends the errors: ", since ...".
  explicit NoManager(std::string_view why) : why_(why) {}
  Status Create() override { return OkStatus(); }
  Status Set(const oci::Resources& resources) override {
    const std::string_view asked = AskedFor(resources);
    return asked.empty() ? OkStatus() : Refuse(fmt::format("linux.resources.{}", asked));
  }
  Status Update(const oci::Resources& resources, const Tell&) override { return Set(resources); }
  Status Delegate(uid_t) override { return OkStatus(); }
  [[nodiscard]] Statistics ReadStatistics() const override { return {}; }
  StatusOr<Entry> OpenEntry(const SubCgroups& below) const override {
    if (!below.empty()) return Refuse("--cgroup");
    return Entry();
  }
  StatusOr<std::vector<pid_t>> Pids() const override { return Refuse("processes"); }
  Status SetFrozen(bool) override { return Refuse("pause"); }
  [[nodiscard]] bool IsFrozen() const override { return false; }
  // Whoever calls this knows init by its number; the others end with its pid namespace.
  Status KillAll(int) override { return OkStatus(); }
  Status Destroy() override { return OkStatus(); }
  [[nodiscard]] std::map<std::string, std::string> View() const override { return {}; }

 protected:
  [[nodiscard]] Status Refuse(std::string_view what) const {
    return FailedPrecondition("{}: the container has no cgroup{}", what, why_);
  }

 private:
  const std::string_view why_;
};

// The caller is no ordinary user, to whom devices are denied anyhow.
class DisabledManager : public NoManager {
 public:
  using NoManager::NoManager;
  Status Set(const oci::Resources& resources) override {
    if (DeniesCertainDevices(resources)) return Refuse("linux.resources.devices");
    return NoManager::Set(resources);
  }
};

}  // namespace

std::unique_ptr<Manager> NewNoManager(std::string_view why) {
  return std::make_unique<NoManager>(why);
}

std::unique_ptr<Manager> NewDisabledManager() {
  return std::make_unique<DisabledManager>(", since --cgroup-manager is disabled");
}

}  // namespace ocirun::cgroup
