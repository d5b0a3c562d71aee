// SPDX-License-Identifier: Apache-2.0
//
// The one nftables table of a daemon. It is rendered whole and replaced in one transaction, so that
// it is always what the daemon thinks it is:
//
//   table ip ocid_<instance>
//     prerouting, output   published port ──dnat──► container        (from outside, from the host)
//     postrouting          container ──masquerade──► outside; loopback and hairpin to a container
//     forward              what goes over the bridge is accepted here
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace ocirun::network {

struct Forwarding {
  std::string protocol;  // tcp, udp
  std::string host_ip;   // empty = every local address
  uint16_t host_port = 0;
  std::string container_ip;
  uint16_t container_port = 0;
};

struct FirewallState {
  std::string table;
  std::string bridge;
  std::string subnet;
  std::vector<Forwarding> forwardings;
};

// The kernel's count of changes to the rules of this network namespace, by whatever program.
StatusOr<uint32_t> RulesGeneration();
std::string RenderRules(const FirewallState& state);
// `rules`: of RenderRules.
Status ApplyFirewall(const std::string& rules);
// Idempotent.
Status RemoveFirewall(const std::string& table);

}  // namespace ocirun::network
