// SPDX-License-Identifier: Apache-2.0
//
// What the resctrl filesystem tells of one container (kernel: filesystems/resctrl.rst). Sizes are
// in bytes. What the processor does not count or limit is absent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

struct RdtCacheInfo {
  std::string cbm_mask;
  uint64_t min_cbm_bits = 0, num_closids = 0;
};
struct RdtBandwidthInfo {
  uint64_t bandwidth_gran = 0, delay_linear = 0, min_bandwidth = 0, num_closids = 0;
};
// Of one memory domain.
struct RdtBandwidth {
  uint64_t total_bytes = 0, local_bytes = 0;
};

struct RdtStatistics {
  std::optional<RdtCacheInfo> cache;
  std::optional<RdtBandwidthInfo> bandwidth;
  std::vector<std::string> root_schemata, schemata;    // lines
  std::optional<std::vector<RdtBandwidth>> traffic;    // by domain
  std::optional<std::vector<uint64_t>> llc_occupancy;  // by domain
};

// Of the container's own counters, or without them of its class.
StatusOr<RdtStatistics> ReadRdtStatistics(const std::string& resctrl, const oci::IntelRdt& config,
                                          const std::string& id);

}  // namespace ocirun::linux_
