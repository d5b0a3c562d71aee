// SPDX-License-Identifier: Apache-2.0
#include "manager/network/netlink.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/route.h>

#include <array>
#include <charconv>

namespace ocirun::network {
namespace {

template <auto Put>
struct Putter {
  template <typename T>
  void operator()(T* object) const {
    Put(object);
  }
};
using Link = std::unique_ptr<rtnl_link, Putter<rtnl_link_put>>;
using Address = std::unique_ptr<nl_addr, Putter<nl_addr_put>>;
using LinkAddress = std::unique_ptr<rtnl_addr, Putter<rtnl_addr_put>>;
using Route = std::unique_ptr<rtnl_route, Putter<rtnl_route_put>>;

Status ErrorOf(int code, const std::string& what) {
  return Error(code == -NLE_EXIST ? StatusCode::kAlreadyExists : StatusCode::kInternal, "{}: {}",
               what, nl_geterror(code));
}

StatusOr<Address> ParseAddress(const std::string& text, int family) {
  nl_addr* address = nullptr;
  const int code = nl_addr_parse(text.c_str(), family, &address);
  if (code < 0) return ErrorOf(code, "address " + text);
  return Address(address);
}

}  // namespace

std::string BroadcastOf(const std::string& address) {
  const size_t slash = address.find('/');
  unsigned prefix = 32;
  in_addr ip{};
  if (slash == std::string::npos ||
      inet_pton(AF_INET, address.substr(0, slash).c_str(), &ip) != 1 ||
      std::from_chars(address.data() + slash + 1, address.data() + address.size(), prefix).ec !=
          std::errc() ||
      prefix > 30) {
    return "";
  }
  ip.s_addr |= htonl(UINT32_MAX >> prefix);
  std::array<char, INET_ADDRSTRLEN> text{};
  return inet_ntop(AF_INET, &ip, text.data(), text.size());
}

StatusOr<std::unique_ptr<Netlink>> Netlink::Open() {
  std::unique_ptr<Netlink> netlink(new Netlink(nl_socket_alloc()));
  const int code = nl_connect(netlink->socket_, NETLINK_ROUTE);
  if (code < 0) return ErrorOf(code, "netlink socket");
  return netlink;
}

Netlink::~Netlink() { nl_socket_free(socket_); }

StatusOr<int> Netlink::IndexOf(const std::string& name) {
  rtnl_link* link = nullptr;
  const int code = rtnl_link_get_kernel(socket_, 0, name.c_str(), &link);
  if (code == -NLE_NODEV || code == -NLE_OBJ_NOTFOUND) return 0;
  if (code < 0) return ErrorOf(code, "link " + name);
  const Link owner(link);
  return rtnl_link_get_ifindex(link);
}

StatusOr<bool> Netlink::HasLink(const std::string& name) {
  ASSIGN_OR_RETURN(const int index, IndexOf(name));
  return index != 0;
}

Status Netlink::AddBridge(const std::string& name) {
  const Link link(rtnl_link_bridge_alloc());
  rtnl_link_set_name(link.get(), name.c_str());
  const int code = rtnl_link_add(socket_, link.get(), NLM_F_CREATE | NLM_F_EXCL);
  return code < 0 ? ErrorOf(code, "bridge " + name) : OkStatus();
}

Status Netlink::AddVeth(const std::string& name, const std::string& bridge, const std::string& peer,
                        const std::string& mac, const UniqueFd& peer_ns) {
  ASSIGN_OR_RETURN(const int master, IndexOf(bridge));
  ASSIGN_OR_RETURN(const Address address, ParseAddress(mac, AF_LLC));
  const Link link(rtnl_link_veth_alloc());
  rtnl_link_set_name(link.get(), name.c_str());
  rtnl_link_set_master(link.get(), master);
  const Link other(rtnl_link_veth_get_peer(link.get()));
  rtnl_link_set_name(other.get(), peer.c_str());
  rtnl_link_set_addr(other.get(), address.get());
  rtnl_link_set_ns_fd(other.get(), peer_ns.get());
  const int code = rtnl_link_add(socket_, link.get(), NLM_F_CREATE | NLM_F_EXCL);
  return code < 0 ? ErrorOf(code, "veth " + name) : OkStatus();
}

Status Netlink::SetUp(const std::string& name) {
  ASSIGN_OR_RETURN(const int index, IndexOf(name));
  if (index == 0) return NotFound("link {} is gone", name);
  const Link link(rtnl_link_alloc());
  const Link change(rtnl_link_alloc());
  rtnl_link_set_ifindex(link.get(), index);
  rtnl_link_set_flags(change.get(), IFF_UP);
  const int code = rtnl_link_change(socket_, link.get(), change.get(), 0);
  return code < 0 ? ErrorOf(code, "link " + name + " up") : OkStatus();
}

Status Netlink::DeleteLink(const std::string& name) {
  ASSIGN_OR_RETURN(const int index, IndexOf(name));
  if (index == 0) return OkStatus();
  const Link link(rtnl_link_alloc());
  rtnl_link_set_ifindex(link.get(), index);
  const int code = rtnl_link_delete(socket_, link.get());
  return code < 0 && code != -NLE_NODEV ? ErrorOf(code, "delete link " + name) : OkStatus();
}

Status Netlink::AddAddress(const std::string& name, const std::string& address) {
  ASSIGN_OR_RETURN(const int index, IndexOf(name));
  ASSIGN_OR_RETURN(const Address local, ParseAddress(address, AF_INET));
  const LinkAddress request(rtnl_addr_alloc());
  rtnl_addr_set_ifindex(request.get(), index);
  rtnl_addr_set_local(request.get(), local.get());
  const std::string broadcast_text = BroadcastOf(address);
  Address broadcast;
  if (!broadcast_text.empty()) {
    ASSIGN_OR_RETURN(broadcast, ParseAddress(broadcast_text, AF_INET));
    rtnl_addr_set_broadcast(request.get(), broadcast.get());
  }
  const int code = rtnl_addr_add(socket_, request.get(), 0);
  if (code < 0 && code != -NLE_EXIST) return ErrorOf(code, address + " on " + name);
  return OkStatus();
}

Status Netlink::AddDefaultRoute(const std::string& gateway) {
  ASSIGN_OR_RETURN(const Address to, ParseAddress("default", AF_INET));
  ASSIGN_OR_RETURN(const Address via, ParseAddress(gateway, AF_INET));
  const Route route(rtnl_route_alloc());
  rtnl_route_set_dst(route.get(), to.get());
  rtnl_nexthop* hop = rtnl_route_nh_alloc();
  rtnl_route_nh_set_gateway(hop, via.get());
  rtnl_route_add_nexthop(route.get(), hop);  // takes the hop
  const int code = rtnl_route_add(socket_, route.get(), NLM_F_EXCL);
  return code < 0 ? ErrorOf(code, "default route by " + gateway) : OkStatus();
}

StatusOr<std::vector<std::string>> Netlink::ListRoutes() {
  nl_cache* cache = nullptr;
  const int code = rtnl_route_alloc_cache(socket_, AF_INET, 0, &cache);
  if (code < 0) return ErrorOf(code, "list of routes");
  std::vector<std::string> routes;
  for (nl_object* object = nl_cache_get_first(cache); object != nullptr;
       object = nl_cache_get_next(object)) {
    nl_addr* to = rtnl_route_get_dst(reinterpret_cast<rtnl_route*>(object));
    if (to == nullptr || nl_addr_get_prefixlen(to) == 0) continue;
    std::array<char, 64> text{};
    routes.emplace_back(nl_addr2str(to, text.data(), text.size()));
  }
  nl_cache_free(cache);
  return routes;
}

}  // namespace ocirun::network
