// SPDX-License-Identifier: Apache-2.0
//
// The daemon's bridge network: one Linux bridge, a veth pair a container, NAT and published ports.
//
//   host                                      container's namespace
//   ocid-<inst> (gateway, .1) ── ve<random> ════ eth0 (172.x.y.z)
//
// Addresses are in the database; what the host has is made again from it when somebody removed it.
// Any thread.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "manager/network/firewall.h"
#include "manager/store/database.h"

namespace ocirun::network {

class Netlink;

struct PortMapping {
  std::string protocol = "tcp";  // tcp, udp
  uint16_t container_port = 0;
  std::string host_ip;         // empty = all addresses
  uint16_t host_port = 0;      // 0 = any free one
  uint16_t host_port_end = 0;  // of a range to choose from; 0 = host_port alone
};

struct Endpoint {
  std::string network_id;
  std::string endpoint_id;
  std::string ip_address;
  uint32_t prefix_length = 0;
  std::string gateway;
  std::string mac_address;
  std::string veth;
  std::vector<PortMapping> ports;  // as bound
};

struct BridgeOptions {
  std::string instance;     // names the nft table and the bridge; at most 8 letters and digits
  std::string bridge_name;  // empty: ocid-<instance>
  std::string subnet;       // "172.18.0.0/16"; empty: the first private one without a route here
};

class BridgeNetwork {
 public:
  // Does not touch the host before the first container is connected.
  static StatusOr<std::unique_ptr<BridgeNetwork>> Open(BridgeOptions options,
                                                       store::Database* database);
  ~BridgeNetwork();
  BridgeNetwork(const BridgeNetwork&) = delete;
  BridgeNetwork& operator=(const BridgeNetwork&) = delete;

  // FailedPrecondition "... Bind for 0.0.0.0:80 failed: port is already allocated".
  StatusOr<Endpoint> Connect(const std::string& container, const std::string& netns_path,
                             const std::vector<PortMapping>& ports);
  // Idempotent; frees the ports. The link goes a moment later, and its address is free only then:
  // the kernel lets nobody go on who removes a link before every CPU has let go of it (20 ms and
  // more).
  Status Disconnect(const std::string& container, const Endpoint& endpoint);
  // The address of a container that ran when the last daemon ended: nobody else gets it until
  // Disconnect. Before the first Connect.
  void Claim(const std::string& container, const Endpoint& endpoint);
  // For a container that ran on while the daemon was away: takes its ports again, and the host's
  // state with them.
  Status Restore(const std::string& container, const Endpoint& endpoint);
  // Takes bridge and table away when no container is connected.
  Status Close();

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const std::string& subnet() const { return subnet_; }
  [[nodiscard]] const std::string& gateway() const { return gateway_; }

 private:
  struct Reservation {
    PortMapping mapping;
    UniqueFd socket;  // bound, so that nobody else gets the port
  };
  struct Connection {
    std::string ip;
    std::vector<Reservation> ports;
  };
  BridgeNetwork(BridgeOptions options, store::Database* database)
      : options_(std::move(options)), database_(database) {}
  Status Load();
  Status ReadSubnet();
  Status ChooseSubnet();
  Status LeaveTakenSubnet(Netlink* netlink);
  Status EnsureBridge();
  Status ApplyRules();
  [[nodiscard]] std::string Table() const { return "ocid_" + options_.instance; }
  [[nodiscard]] StatusOr<std::string> FreeAddress() const;
  void DeleteLinkSoon(const Endpoint& endpoint);
  StatusOr<Reservation> Reserve(const PortMapping& mapping);
  Status Plug(const Endpoint& endpoint, const std::string& netns_path);

  BridgeOptions options_;
  store::Database* database_;
  std::mutex mutex_;
  std::condition_variable left_;
  std::string id_;
  std::string subnet_;   // "172.18.0.0/16"
  std::string gateway_;  // "172.18.0.1"
  uint32_t prefix_ = 0;
  std::map<std::string, Connection> connected_;
  std::string applied_rules_;  // what the kernel had at `applied_generation_`
  uint32_t applied_generation_ = 0;
  std::multiset<std::string> leaving_;  // addresses whose links still go
};

// The host's end of an endpoint's veth pair.
std::string VethOf(const std::string& endpoint_id);
// "172.18.0.0/16" -> network address in host order and prefix length.
StatusOr<std::pair<uint32_t, uint32_t>> ParseSubnet(const std::string& text);
std::string FormatIpv4(uint32_t address);
// The first of Docker's default pools that overlaps no route.
StatusOr<std::string> FirstFreeSubnet(const std::vector<std::string>& routes);

}  // namespace ocirun::network
