// SPDX-License-Identifier: Apache-2.0
//
// No cgroup: an ordinary user to whom none was handed.
#include "ocirun/cgroup/manager_impl.h"

namespace ocirun::cgroup {
namespace {

Status Refuse(std::string_view what) {
  return FailedPrecondition("{}: the container has no cgroup, since this user may not make one",
                            what);
}

bool AsksForLimits(const oci::Resources& r) {
  const oci::MemoryResources& m = r.memory;
  const oci::CpuResources& c = r.cpu;
  return m.limit.value_or(0) > 0 || m.reservation.value_or(0) > 0 || m.swap.value_or(0) > 0 ||
         c.shares.value_or(0) != 0 || c.quota.value_or(0) > 0 || !c.cpus.empty() ||
         !c.mems.empty() || r.pids_limit.value_or(-1) > 0 || r.block_io.weight.value_or(0) != 0 ||
         !r.block_io.read_bps.empty() || !r.block_io.write_bps.empty() ||
         !r.block_io.read_iops.empty() || !r.block_io.write_iops.empty() ||
         !r.hugepage_limits.empty() || !r.rdma.empty() || !r.unified.empty() ||
         r.network.class_id.has_value() || !r.network.priorities.empty();
}

class NoManager : public Manager {
 public:
  Status Create() override { return OkStatus(); }
  Status Set(const oci::Resources& resources) override {
    return AsksForLimits(resources) ? Refuse("linux.resources") : OkStatus();
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
};

}  // namespace

std::unique_ptr<Manager> NewNoManager() { return std::make_unique<NoManager>(); }

}  // namespace ocirun::cgroup
