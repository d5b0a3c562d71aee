// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/resctrl_statistics.h"

#include <algorithm>

#include "base/file.h"
#include "base/text.h"
#include "ocirun/linux/resctrl.h"

namespace ocirun::linux_ {
namespace {

std::string TextOf(const std::string& path) {
  const auto text = ReadFile(path);
  return text.ok() ? std::string(Trim(*text)) : std::string();
}

// 0 when it can't be read, as a counter of a domain that is off ("Unavailable").
uint64_t CountIn(const std::string& path) { return LeadingNumber(TextOf(path)).value_or(0); }

std::optional<RdtCacheInfo> ReadCacheInfo(const std::string& resctrl) {
  const std::string folder = resctrl + "/info/L3";
  if (!PathExists(folder)) return std::nullopt;
  return RdtCacheInfo{TextOf(folder + "/cbm_mask"), CountIn(folder + "/min_cbm_bits"),
                      CountIn(folder + "/num_closids")};
}

std::optional<RdtBandwidthInfo> ReadBandwidthInfo(const std::string& resctrl) {
  const std::string folder = resctrl + "/info/MB";
  if (!PathExists(folder)) return std::nullopt;
  return RdtBandwidthInfo{CountIn(folder + "/bandwidth_gran"), CountIn(folder + "/delay_linear"),
                          CountIn(folder + "/min_bandwidth"), CountIn(folder + "/num_closids")};
}

// mon_data/mon_L3_00, mon_L3_01, …: a folder a domain, in their order.
Status ReadCounters(const std::string& group, const std::vector<std::string_view>& features,
                    RdtStatistics* out) {
  const auto counts = [&](std::string_view feature) {
    return std::find(features.begin(), features.end(), feature) != features.end();
  };
  const bool bandwidth = counts("mbm_total_bytes") || counts("mbm_local_bytes");
  if (bandwidth) out->traffic.emplace();
  if (counts("llc_occupancy")) out->llc_occupancy.emplace();
  ASSIGN_OR_RETURN(std::vector<std::string> domains, ListFolder(group + "/mon_data"));
  std::sort(domains.begin(), domains.end());
  for (const std::string& domain : domains) {
    const std::string folder = fmt::format("{}/mon_data/{}", group, domain);
    if (bandwidth)
      out->traffic->push_back(
          {CountIn(folder + "/mbm_total_bytes"), CountIn(folder + "/mbm_local_bytes")});
    if (out->llc_occupancy.has_value())
      out->llc_occupancy->push_back(CountIn(folder + "/llc_occupancy"));
  }
  return OkStatus();
}

}  // namespace

StatusOr<RdtStatistics> ReadRdtStatistics(const std::string& resctrl, const oci::IntelRdt& config,
                                          const std::string& id) {
  RdtStatistics out;
  out.cache = ReadCacheInfo(resctrl);
  out.bandwidth = ReadBandwidthInfo(resctrl);
  oci::IntelRdt root;
  root.clos_id = "/";
  ASSIGN_OR_RETURN(out.root_schemata, SchemataLines(resctrl, root, id));
  ASSIGN_OR_RETURN(out.schemata, SchemataLines(resctrl, config, id));
  const std::string features = TextOf(resctrl + "/info/L3_MON/mon_features");
  if (!features.empty())
    RETURN_IF_ERROR(
        ReadCounters(CountedFolder(resctrl, config, id), SplitWords(features, "\n"), &out));
  return out;
}

}  // namespace ocirun::linux_
