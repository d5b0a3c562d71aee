// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "manager/network/bridge.h"
#include "manager/network/etc_files.h"
#include "manager/network/netlink.h"

namespace ocirun::network {

TEST_CASE("the first subnet without a route") {
  CHECK(*FirstFreeSubnet({}) == "172.17.0.0/16");
  CHECK(*FirstFreeSubnet({"172.17.3.0/24", "172.18.0.0/15"}) == "172.20.0.0/16");
  CHECK(*FirstFreeSubnet({"172.16.0.0/12", "192.168.1.1"}) == "192.168.16.0/20");
  CHECK_FALSE(FirstFreeSubnet({"172.16.0.0/12", "192.168.0.0/16"}).ok());
  CHECK_FALSE(ParseSubnet("172.17.0.0/33").ok());
  CHECK_FALSE(ParseSubnet("172.17.0/16").ok());
}

TEST_CASE("the broadcast address of an address with its prefix") {
  CHECK(BroadcastOf("172.17.0.2/16") == "172.17.255.255");
  CHECK(BroadcastOf("10.1.2.3/29") == "10.1.2.7");
  CHECK(BroadcastOf("10.1.2.3/31").empty());
  CHECK(BroadcastOf("10.1.2.3").empty());
}

TEST_CASE("resolv.conf without the host's loopback") {
  CHECK(
      BuildResolvConf({.host_text = "nameserver 127.0.0.53\nnameserver 10.0.0.1\nsearch a b\n"}) ==
      "nameserver 10.0.0.1\nsearch a b\n");
  CHECK(BuildResolvConf({.host_text = "nameserver ::1\noptions edns0\n"}) ==
        "nameserver 8.8.8.8\nnameserver 8.8.4.4\noptions edns0\n");
  CHECK(BuildResolvConf({.host_text = "nameserver 10.0.0.1\nsearch a\n",
                         .dns = {"1.1.1.1"},
                         .search = {"."}}) == "nameserver 1.1.1.1\n");
}

TEST_CASE("hosts") {
  const std::string text =
      BuildHosts({.ip = "172.17.0.2", .hostname = "web", .extra_hosts = {"db:10.0.0.9"}});
  CHECK(text.find("10.0.0.9\tdb\n") != std::string::npos);
  CHECK(text.ends_with("172.17.0.2\tweb\n"));
}

TEST_CASE("rules name the port, the address and the instance") {
  const std::string rules = RenderRules({.table = "ocid_x",
                                         .bridge = "ocid-x",
                                         .subnet = "172.17.0.0/16",
                                         .forwardings = {{.protocol = "udp",
                                                          .host_ip = "127.0.0.1",
                                                          .host_port = 53,
                                                          .container_ip = "172.17.0.2",
                                                          .container_port = 5353}}});
  CHECK(rules.find("ip daddr 127.0.0.1 udp dport 53 dnat to 172.17.0.2:5353") != std::string::npos);
}

}  // namespace ocirun::network
