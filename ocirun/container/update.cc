// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cgroup/manager.h"
#include "ocirun/container/lifecycle.h"

namespace ocirun::container {
namespace {

Status UpdateRdt(const Store& store, const Record& record, const Changes& changes) {
  if (changes.l3_cache_schema.empty() && changes.mem_bw_schema.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const oci::Spec spec, store.LoadSpec(record));
  if (!spec.linux.intel_rdt.has_value())
    return FailedPrecondition("container {} has no Intel RDT class to update", record.id);
  oci::IntelRdt config = *spec.linux.intel_rdt;
  config.l3_cache_schema = changes.l3_cache_schema;
  config.mem_bw_schema = changes.mem_bw_schema;
  config.schemata.clear();
  return linux_::WriteSchemata(record.resctrl, config, record.id);
}

}  // namespace

Status Update(const Store& store, const std::string& id, const Changes& changes) {
  ASSIGN_OR_RETURN(const UniqueFd lock, store.Lock(id));
  ASSIGN_OR_RETURN(const Record record, store.Load(id));
  if (store.StatusOf(record) == ContainerStatus::kStopped)
    return FailedPrecondition("container not running");
  // The class last: it is the one change that the cgroups' journal can't take back.
  const auto cgroups = cgroup::ExistingManager(record.cgroups, record.unit);
  RETURN_IF_ERROR(cgroups->Update(changes.resources));
  return UpdateRdt(store, record, changes);
}

}  // namespace ocirun::container
