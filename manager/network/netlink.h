// SPDX-License-Identifier: Apache-2.0
//
// The few things that we ask of rtnetlink(7), over libnl-route. A socket belongs to the network
// namespace of the thread that opened it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

struct nl_sock;

namespace ocirun::network {

// "172.18.0.2/16" -> "172.18.255.255"; "" where there is none (a prefix over 30). Pure.
std::string BroadcastOf(const std::string& address);

class Netlink {
 public:
  static StatusOr<std::unique_ptr<Netlink>> Open();
  ~Netlink();
  Netlink(const Netlink&) = delete;
  Netlink& operator=(const Netlink&) = delete;

  StatusOr<bool> HasLink(const std::string& name);
  Status AddBridge(const std::string& name);
  // `name` here, as a port of `bridge`; `peer` with `mac` in the namespace.
  Status AddVeth(const std::string& name, const std::string& bridge, const std::string& peer,
                 const std::string& mac, const UniqueFd& peer_ns);
  Status SetUp(const std::string& name);
  // A link that is not there is OK.
  Status DeleteLink(const std::string& name);
  // "172.18.0.2/16"; an address that is there already is OK.
  Status AddAddress(const std::string& name, const std::string& address);
  Status AddDefaultRoute(const std::string& gateway);
  // Destinations of all IPv4 routes but the default one: "10.0.0.0/8".
  StatusOr<std::vector<std::string>> ListRoutes();

 private:
  explicit Netlink(nl_sock* socket) : socket_(socket) {}
  StatusOr<int> IndexOf(const std::string& name);
  nl_sock* socket_;
};

}  // namespace ocirun::network
