// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cgroup/manager.h"
#include "ocirun/container/lifecycle.h"

namespace ocirun::container {
namespace {

// A class of Intel RDT that an update changes, and the schemata that it had.
struct RdtChange {
  oci::IntelRdt wanted, before;
};

StatusOr<std::optional<RdtChange>> PlanRdt(const Store& store, const Record& record,
                                           const Changes& changes) {
  if (changes.l3_cache_schema.empty() && changes.mem_bw_schema.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(const oci::Spec spec, store.LoadSpec(record));
  if (!spec.linux.intel_rdt.has_value())
    return FailedPrecondition("container {} has no Intel RDT class to update", record.id);
  RdtChange change{*spec.linux.intel_rdt, *spec.linux.intel_rdt};
  change.wanted.l3_cache_schema = changes.l3_cache_schema;
  change.wanted.mem_bw_schema = changes.mem_bw_schema;
  change.wanted.schemata.clear();
  change.before.l3_cache_schema.clear();
  change.before.mem_bw_schema.clear();
  ASSIGN_OR_RETURN(change.before.schemata,
                   linux_::SchemataLines(record.resctrl, change.wanted, record.id));
  return change;
}

}  // namespace

Status Update(const Store& store, const std::string& id, const Changes& changes) {
  ASSIGN_OR_RETURN(const UniqueFd lock, store.Lock(id));
  ASSIGN_OR_RETURN(const Record record, store.Load(id));
  if (store.StatusOf(record) == ContainerStatus::kStopped)
    return FailedPrecondition("container not running");
  ASSIGN_OR_RETURN(const std::optional<RdtChange> rdt, PlanRdt(store, record, changes));
  Undo restore_rdt([&] {
    if (rdt.has_value())
      IgnoreError(linux_::WriteSchemata(record.resctrl, rdt->before, record.id),
                  "undoing: the first error is the one to report");
  });
  if (rdt.has_value())
    RETURN_IF_ERROR(linux_::WriteSchemata(record.resctrl, rdt->wanted, record.id));
  // The cgroups last: their journal takes back what was written before a failure.
  const auto cgroups = cgroup::ExistingManager(record.cgroups, record.unit);
  RETURN_IF_ERROR(cgroups->Update(changes.resources));
  restore_rdt.Release();
  return OkStatus();
}

}  // namespace ocirun::container
