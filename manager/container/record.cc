// SPDX-License-Identifier: Apache-2.0
#include "manager/container/record.h"

#include <csignal>

#include "manager/container/manager.h"
#include "manager/network/netns.h"

namespace ocirun::container {

using ocid::v1::Container;
using ocid::v1::ContainerState;

bool IsRunning(const Container& record) {
  const auto status = record.state().status();
  return status == ContainerState::STATUS_RUNNING || status == ContainerState::STATUS_PAUSED;
}

network::Endpoint EndpointOf(const Container& record) {
  network::Endpoint endpoint;
  if (record.networks_size() == 0 || record.networks(0).endpoint_id().empty()) return endpoint;
  const auto& net = record.networks(0);
  endpoint.endpoint_id = net.endpoint_id();
  endpoint.ip_address = net.ip_address();
  endpoint.veth = network::VethOf(net.endpoint_id());
  for (const auto& port : record.ports()) {
    if (port.host_port().empty()) continue;
    const auto mapping = ParseBinding(port);
    if (mapping.ok()) endpoint.ports.push_back(*mapping);
  }
  return endpoint;
}

ExitInfo KilledNow() { return {.status = 128 + SIGKILL, .time = NowUnixNanos()}; }

}  // namespace ocirun::container
