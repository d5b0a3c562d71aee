// SPDX-License-Identifier: Apache-2.0
#include "manager/network/bridge.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <thread>

#include "base/file.h"
#include "base/random.h"
#include "base/sys/file.h"
#include "manager/network/netlink.h"
#include "manager/network/netns.h"

namespace ocirun::network {
namespace {

// Docker's words, which tools match.
Status PortTaken(const PortMapping& mapping) {
  return FailedPrecondition("Bind for {}:{} failed: port is already allocated",
                            mapping.host_ip.empty() ? "0.0.0.0" : mapping.host_ip,
                            mapping.host_port);
}

std::string MacOf(uint32_t address) {
  return fmt::format("02:42:{:02x}:{:02x}:{:02x}:{:02x}", address >> 24, (address >> 16) & 255,
                     (address >> 8) & 255, address & 255);
}

bool Overlap(const std::pair<uint32_t, uint32_t>& a, const std::pair<uint32_t, uint32_t>& b) {
  const uint32_t prefix = std::min(a.second, b.second);
  const uint32_t mask = prefix == 0 ? 0 : ~uint32_t{0} << (32 - prefix);
  return (a.first & mask) == (b.first & mask);
}

// Binds, and listens for tcp: a bound socket that does not listen lets others bind beside it.
StatusOr<UniqueFd> BindPort(const PortMapping& mapping, uint16_t port) {
  const bool tcp = mapping.protocol == "tcp";
  UniqueFd socket_fd(socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0));
  if (!socket_fd.valid()) return SysError(errno, "socket", mapping.protocol);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  const std::string ip = mapping.host_ip.empty() ? "0.0.0.0" : mapping.host_ip;
  if (inet_pton(AF_INET, ip.c_str(), &address.sin_addr) != 1) {
    return InvalidArgument("invalid IP address: {}", ip);
  }
  const int on = 1;
  if (tcp) setsockopt(socket_fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return SysError(errno, "bind", fmt::format("{}:{}", ip, port));
  }
  if (tcp && listen(socket_fd.get(), 1) != 0) {
    return SysError(errno, "listen", fmt::format("{}:{}", ip, port));
  }
  return socket_fd;
}

StatusOr<uint16_t> PortOf(const UniqueFd& socket_fd) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  if (getsockname(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return SysError(errno, "getsockname", "");
  }
  return ntohs(address.sin_port);
}

}  // namespace

std::string VethOf(const std::string& endpoint_id) { return "ve" + endpoint_id.substr(0, 8); }

StatusOr<std::pair<uint32_t, uint32_t>> ParseSubnet(const std::string& text) {
  const size_t slash = text.find('/');
  const std::string host = text.substr(0, slash);
  uint32_t prefix = 32;
  in_addr address{};
  if (slash != std::string::npos) {
    const char* end = text.data() + text.size();
    if (std::from_chars(text.data() + slash + 1, end, prefix).ptr != end || prefix > 32) {
      return InvalidArgument("invalid subnet \"{}\"", text);
    }
  }
  if (inet_pton(AF_INET, host.c_str(), &address) != 1) {
    return InvalidArgument("invalid subnet \"{}\"", text);
  }
  return std::pair{ntohl(address.s_addr), prefix};
}

std::string FormatIpv4(uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, (address >> 16) & 255, (address >> 8) & 255,
                     address & 255);
}

namespace {

bool IsTaken(const std::pair<uint32_t, uint32_t>& subnet, const std::vector<std::string>& routes) {
  return std::any_of(routes.begin(), routes.end(), [&](const std::string& route) {
    const auto other = ParseSubnet(route);
    return other.ok() && Overlap(subnet, *other);
  });
}

// Held while a daemon looks for a free subnet and takes it: another one on this network namespace
// would find the same one free. The lock is on the namespace itself (flock(2) on nsfs), which every
// user of the host may lock: whoever keeps it holds us up for a second and no longer.
StatusOr<UniqueFd> LockNetworkNamespace() {
  constexpr int kTries = 100;
  constexpr auto kPause = std::chrono::milliseconds(10);
  ASSIGN_OR_RETURN(UniqueFd ns, sys::Open("/proc/self/ns/net", O_RDONLY));
  for (int i = 0; i < kTries && ::flock(ns.get(), LOCK_EX | LOCK_NB) != 0; ++i)
    std::this_thread::sleep_for(kPause);
  return ns;
}

}  // namespace

StatusOr<std::string> FirstFreeSubnet(const std::vector<std::string>& routes) {
  std::vector<std::string> pools;
  for (int second = 17; second < 32; ++second)
    pools.push_back(fmt::format("172.{}.0.0/16", second));
  for (int third = 0; third < 256; third += 16) {
    pools.push_back(fmt::format("192.168.{}.0/20", third));
  }
  for (const std::string& pool : pools) {
    if (!IsTaken(*ParseSubnet(pool), routes)) return pool;
  }
  return Error(StatusCode::kResourceExhausted,
               "no private subnet is free: set network.subnet in ocid.yaml");
}

StatusOr<std::unique_ptr<BridgeNetwork>> BridgeNetwork::Open(BridgeOptions options,
                                                             store::Database* database) {
  if (options.bridge_name.empty()) options.bridge_name = "ocid-" + options.instance;
  if (options.bridge_name.size() > 15) {
    return InvalidArgument("network.bridge: \"{}\" is longer than 15 characters",
                           options.bridge_name);
  }
  std::unique_ptr<BridgeNetwork> network(new BridgeNetwork(std::move(options), database));
  RETURN_IF_ERROR(network->Load());
  return network;
}

Status BridgeNetwork::Load() {
  ASSIGN_OR_RETURN(const auto rows,
                   database_->Query("SELECT id, subnet FROM networks WHERE name = 'bridge'"));
  if (!rows.empty()) {
    id_ = rows[0].Text(0);
    subnet_ = rows[0].Text(1);
  } else {
    id_ = RandomHex(32);
    RETURN_IF_ERROR(ChooseSubnet());
    RETURN_IF_ERROR(database_->Execute(
        "INSERT INTO networks (name, id, subnet) VALUES ('bridge', ?, ?)", {id_, subnet_}));
  }
  return ReadSubnet();
}

Status BridgeNetwork::ReadSubnet() {
  ASSIGN_OR_RETURN(const auto parsed, ParseSubnet(subnet_));
  prefix_ = parsed.second;
  if (prefix_ > 29 || prefix_ < 8) {
    return InvalidArgument("network.subnet: {} must have a prefix of 8 to 29", subnet_);
  }
  gateway_ = FormatIpv4(parsed.first + 1);
  return OkStatus();
}

Status BridgeNetwork::ChooseSubnet() {
  if (!options_.subnet.empty()) {
    subnet_ = options_.subnet;
    return ParseSubnet(subnet_).status();
  }
  ASSIGN_OR_RETURN(const auto netlink, Netlink::Open());
  ASSIGN_OR_RETURN(const auto routes, netlink->ListRoutes());
  ASSIGN_OR_RETURN(subnet_, FirstFreeSubnet(routes));
  return OkStatus();
}

// The bridge is made with the first container and goes with the daemon: another daemon, or the
// host, may have the subnet by now. As long as no container has an address in it, the next one
// does.
Status BridgeNetwork::LeaveTakenSubnet(Netlink* netlink) {
  if (!options_.subnet.empty() || !connected_.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const auto routes, netlink->ListRoutes());
  ASSIGN_OR_RETURN(const auto subnet, ParseSubnet(subnet_));
  if (!IsTaken(subnet, routes)) return OkStatus();
  ASSIGN_OR_RETURN(subnet_, FirstFreeSubnet(routes));
  RETURN_IF_ERROR(
      database_->Execute("UPDATE networks SET subnet = ? WHERE name = 'bridge'", {subnet_}));
  return ReadSubnet();
}

Status BridgeNetwork::EnsureBridge() {
  const std::string& name = options_.bridge_name;
  ASSIGN_OR_RETURN(const auto netlink, Netlink::Open());
  ASSIGN_OR_RETURN(const bool there, netlink->HasLink(name));
  if (there) return OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd lock, LockNetworkNamespace());
  RETURN_IF_ERROR(LeaveTakenSubnet(netlink.get()));
  RETURN_IF_ERROR(netlink->AddBridge(name));
  Undo remove([&] { IgnoreError(netlink->DeleteLink(name), "half made"); });
  RETURN_IF_ERROR(netlink->AddAddress(name, fmt::format("{}/{}", gateway_, prefix_)));
  RETURN_IF_ERROR(netlink->SetUp(name));
  // 127.0.0.1:<published> goes over the bridge: the kernel calls that martian unless told.
  RETURN_IF_ERROR(WriteFile("/proc/sys/net/ipv4/conf/" + name + "/route_localnet", "1"));
  RETURN_IF_ERROR(WriteFile("/proc/sys/net/ipv4/ip_forward", "1"));
  remove.Release();
  return OkStatus();
}

// Building and sending the table takes libnftables milliseconds: only when ours has changed, or
// when anybody has changed a rule of the host since, which may have been one of ours.
Status BridgeNetwork::ApplyRules() {
  FirewallState state{
      .table = Table(), .bridge = options_.bridge_name, .subnet = subnet_, .forwardings = {}};
  for (const auto& [container, connection] : connected_) {
    for (const Reservation& port : connection.ports) {
      state.forwardings.push_back({.protocol = port.mapping.protocol,
                                   .host_ip = port.mapping.host_ip,
                                   .host_port = port.mapping.host_port,
                                   .container_ip = connection.ip,
                                   .container_port = port.mapping.container_port});
    }
  }
  const std::string rules = RenderRules(state);
  const StatusOr<uint32_t> before = RulesGeneration();
  if (before.ok() && rules == applied_rules_ && *before == applied_generation_) {
    return OkStatus();
  }
  applied_rules_.clear();
  RETURN_IF_ERROR(ApplyFirewall(rules));
  const StatusOr<uint32_t> after = RulesGeneration();
  // With somebody else's change amid ours, nobody knows whether ours is still there.
  if (before.ok() && after.ok() && *after == *before + 1) {
    applied_rules_ = rules;
    applied_generation_ = *after;
  }
  return OkStatus();
}

StatusOr<std::string> BridgeNetwork::FreeAddress() const {
  std::set<std::string> taken(leaving_.begin(), leaving_.end());
  for (const auto& [container, connection] : connected_) taken.insert(connection.ip);
  ASSIGN_OR_RETURN(const auto subnet, ParseSubnet(subnet_));
  const uint32_t last = subnet.first + (uint32_t{1} << (32 - prefix_)) - 2;
  for (uint32_t candidate = subnet.first + 2; candidate <= last; ++candidate) {
    std::string address = FormatIpv4(candidate);
    if (!taken.contains(address)) return address;
  }
  return Error(StatusCode::kResourceExhausted, "no available IPv4 addresses on network bridge");
}

StatusOr<BridgeNetwork::Reservation> BridgeNetwork::Reserve(const PortMapping& mapping) {
  const uint32_t end = std::max(mapping.host_port, mapping.host_port_end);
  for (uint32_t port = mapping.host_port; port <= end; ++port) {
    StatusOr<UniqueFd> socket_fd = BindPort(mapping, static_cast<uint16_t>(port));
    if (!socket_fd.ok()) {
      if (ErrnoOf(socket_fd.status()) == EADDRINUSE) continue;
      return socket_fd.status();
    }
    Reservation reservation{.mapping = mapping, .socket = *std::move(socket_fd)};
    ASSIGN_OR_RETURN(reservation.mapping.host_port, PortOf(reservation.socket));
    reservation.mapping.host_port_end = 0;
    return reservation;
  }
  return PortTaken(mapping);
}

StatusOr<Endpoint> BridgeNetwork::Connect(const std::string& container,
                                          const std::string& netns_path,
                                          const std::vector<PortMapping>& ports) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(EnsureBridge());
  std::vector<Reservation> reservations;
  for (const PortMapping& mapping : ports) {
    StatusOr<Reservation> reservation = Reserve(mapping);
    if (!reservation.ok()) {
      return Annotate(reservation.status(),
                      "driver failed programming external connectivity on endpoint " + container);
    }
    reservations.push_back(*std::move(reservation));
  }
  ASSIGN_OR_RETURN(const std::string ip, FreeAddress());
  Endpoint endpoint{.network_id = id_,
                    .endpoint_id = RandomHex(32),
                    .ip_address = ip,
                    .prefix_length = prefix_,
                    .gateway = gateway_,
                    .mac_address = MacOf(ParseSubnet(ip)->first)};
  endpoint.veth = VethOf(endpoint.endpoint_id);
  for (const Reservation& reservation : reservations) endpoint.ports.push_back(reservation.mapping);
  connected_[container] = {ip, std::move(reservations)};
  Undo free_address([&] { connected_.erase(container); });
  RETURN_IF_ERROR(Plug(endpoint, netns_path));
  Undo unplug([&] {
    const auto netlink = Netlink::Open();
    if (netlink.ok()) IgnoreError((*netlink)->DeleteLink(endpoint.veth), "half made");
  });
  RETURN_IF_ERROR(ApplyRules());
  unplug.Release();
  free_address.Release();
  return endpoint;
}

Status BridgeNetwork::Plug(const Endpoint& endpoint, const std::string& netns_path) {
  ASSIGN_OR_RETURN(const UniqueFd ns, sys::Open(netns_path, O_RDONLY));
  ASSIGN_OR_RETURN(const auto netlink, Netlink::Open());
  RETURN_IF_ERROR(
      netlink->AddVeth(endpoint.veth, options_.bridge_name, "eth0", endpoint.mac_address, ns));
  Undo remove([&] { IgnoreError(netlink->DeleteLink(endpoint.veth), "half made"); });
  RETURN_IF_ERROR(netlink->SetUp(endpoint.veth));
  const auto configure = [&]() -> Status {
    ASSIGN_OR_RETURN(const auto inside, Netlink::Open());
    RETURN_IF_ERROR(inside->AddAddress(
        "eth0", fmt::format("{}/{}", endpoint.ip_address, endpoint.prefix_length)));
    RETURN_IF_ERROR(inside->SetUp("eth0"));
    return inside->AddDefaultRoute(endpoint.gateway);
  };
  RETURN_IF_ERROR(InNetNs(netns_path, configure));
  remove.Release();
  return OkStatus();
}

Status BridgeNetwork::Disconnect(const std::string& container, const Endpoint& endpoint) {
  const std::lock_guard lock(mutex_);
  const auto found = connected_.find(container);
  const bool had_ports = found != connected_.end() && !found->second.ports.empty();
  if (found != connected_.end()) connected_.erase(found);
  if (!endpoint.veth.empty()) DeleteLinkSoon(endpoint);
  return had_ports ? ApplyRules() : OkStatus();
}

// `mutex_` is held.
void BridgeNetwork::DeleteLinkSoon(const Endpoint& endpoint) {
  leaving_.insert(endpoint.ip_address);
  std::thread([this, link = endpoint.veth, ip = endpoint.ip_address] {
    const auto netlink = Netlink::Open();
    if (netlink.ok()) IgnoreError((*netlink)->DeleteLink(link), "it goes with its namespace");
    const std::lock_guard lock(mutex_);
    leaving_.erase(leaving_.find(ip));
    left_.notify_all();
  }).detach();
}

BridgeNetwork::~BridgeNetwork() {
  std::unique_lock lock(mutex_);
  left_.wait(lock, [&] { return leaving_.empty(); });
}

void BridgeNetwork::Claim(const std::string& container, const Endpoint& endpoint) {
  const std::lock_guard lock(mutex_);
  connected_[container] = {.ip = endpoint.ip_address, .ports = {}};
}

Status BridgeNetwork::Restore(const std::string& container, const Endpoint& endpoint) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(EnsureBridge());
  std::vector<Reservation> reservations;
  for (const PortMapping& mapping : endpoint.ports) {
    ASSIGN_OR_RETURN(Reservation reservation, Reserve(mapping));
    reservations.push_back(std::move(reservation));
  }
  connected_[container] = {endpoint.ip_address, std::move(reservations)};
  return ApplyRules();
}

Status BridgeNetwork::Close() {
  std::unique_lock lock(mutex_);
  left_.wait(lock, [&] { return leaving_.empty(); });
  if (!connected_.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const auto netlink, Netlink::Open());
  ASSIGN_OR_RETURN(const bool there, netlink->HasLink(options_.bridge_name));
  if (!there) return OkStatus();
  applied_rules_.clear();
  RETURN_IF_ERROR(RemoveFirewall(Table()));
  return netlink->DeleteLink(options_.bridge_name);
}

}  // namespace ocirun::network
