// SPDX-License-Identifier: Apache-2.0
//
// A few rtnetlink(7) messages, written by hand: libnl registers hundreds of objects in constructors
// that every start of the runtime would pay for.
#include "ocirun/linux/net_devices.h"

#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <vector>

#include "base/sys/file.h"
#include "base/sys/process.h"

namespace ocirun::linux_ {
namespace {

// One request: header, fixed part, attributes.
template <typename Fixed>
class Request {
 public:
  Request(uint16_t type, uint16_t flags, const Fixed& fixed) {
    header_.nlmsg_type = type;
    header_.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    bytes_.assign(reinterpret_cast<const char*>(&fixed), sizeof fixed);
    Pad();
  }

  void Add(uint16_t type, std::string_view value) {
    rtattr attribute{};
    attribute.rta_type = type;
    attribute.rta_len = static_cast<uint16_t>(RTA_LENGTH(value.size()));
    bytes_.append(reinterpret_cast<const char*>(&attribute), sizeof attribute);
    bytes_.append(value);
    Pad();
  }
  template <typename Number>
  void AddNumber(uint16_t type, Number value) {
    Add(type, {reinterpret_cast<const char*>(&value), sizeof value});
  }

  std::string Finish() {
    header_.nlmsg_len = static_cast<uint32_t>(sizeof header_ + bytes_.size());
    return std::string(reinterpret_cast<const char*>(&header_), sizeof header_) + bytes_;
  }

 private:
  void Pad() { bytes_.resize(NLMSG_ALIGN(bytes_.size())); }
  nlmsghdr header_{};
  std::string bytes_;
};

class Netlink {
 public:
  // A socket in the caller's network namespace.
  static StatusOr<Netlink> Open() {
    Netlink netlink;
    netlink.socket_ = UniqueFd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    if (!netlink.socket_) return SysError(errno, "socket AF_NETLINK");
    return netlink;
  }

  // Sends a request and calls `take` with each answer, until the last. The kernel's refusal is the
  // error.
  template <typename Take>
  Status Talk(const std::string& request, Take take) const {
    if (sys::RetryEintr([&] { return ::send(socket_.get(), request.data(), request.size(), 0); }) <
        0)
      return SysError(errno, "send", "netlink");
    alignas(nlmsghdr) std::array<char, 32768> buffer;
    for (;;) {
      ssize_t n =
          sys::RetryEintr([&] { return ::recv(socket_.get(), buffer.data(), buffer.size(), 0); });
      if (n < 0) return SysError(errno, "recv", "netlink");
      for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(message, n);
           message = NLMSG_NEXT(message, n)) {
        if (message->nlmsg_type == NLMSG_DONE) return OkStatus();
        if (message->nlmsg_type == NLMSG_ERROR) {
          const int err = -static_cast<const nlmsgerr*>(NLMSG_DATA(message))->error;
          return err == 0 ? OkStatus() : SysError(err, "netlink");
        }
        take(*message);
        if ((message->nlmsg_flags & NLM_F_MULTI) == 0) return OkStatus();
      }
    }
  }
  Status Do(const std::string& request) const {
    return Talk(request, [](const nlmsghdr&) {});
  }

 private:
  UniqueFd socket_;
};

struct Address {
  ifaddrmsg header;
  std::string local, address, broadcast;  // as in the kernel's attributes
};

struct Device {
  std::string name, inside;
  std::vector<Address> addresses;
};

std::string Payload(const rtattr* attribute) {
  return {static_cast<const char*>(RTA_DATA(attribute)), RTA_PAYLOAD(attribute)};
}

// The addresses that stay valid for ever and everywhere: what DHCP or autoconfiguration gave
// belongs to the host.
StatusOr<std::vector<Address>> AddressesOf(const Netlink& netlink, int index) {
  std::vector<Address> out;
  Request<ifaddrmsg> request(RTM_GETADDR, NLM_F_DUMP, {});
  RETURN_IF_ERROR(netlink.Talk(request.Finish(), [&](const nlmsghdr& message) {
    if (message.nlmsg_type != RTM_NEWADDR) return;
    Address address{};
    address.header = *static_cast<const ifaddrmsg*>(NLMSG_DATA(&message));
    if (static_cast<int>(address.header.ifa_index) != index ||
        address.header.ifa_scope != RT_SCOPE_UNIVERSE ||
        (address.header.ifa_flags & IFA_F_PERMANENT) == 0)
      return;
    int left = static_cast<int>(IFA_PAYLOAD(&message));
    for (const rtattr* a = IFA_RTA(static_cast<const ifaddrmsg*>(NLMSG_DATA(&message)));
         RTA_OK(a, left); a = RTA_NEXT(a, left)) {
      if (a->rta_type == IFA_LOCAL) address.local = Payload(a);
      if (a->rta_type == IFA_ADDRESS) address.address = Payload(a);
      if (a->rta_type == IFA_BROADCAST) address.broadcast = Payload(a);
    }
    out.push_back(std::move(address));
  }));
  return out;
}

// Down first: the kernel renames only what is down, and the move takes it down anyway.
Status Move(const Netlink& netlink, int index, const Device& device, const UniqueFd& target) {
  ifinfomsg down{};
  down.ifi_index = index;
  down.ifi_change = IFF_UP;
  RETURN_IF_ERROR(netlink.Do(Request<ifinfomsg>(RTM_NEWLINK, NLM_F_ACK, down).Finish()));
  ifinfomsg same{};
  same.ifi_index = index;
  Request<ifinfomsg> move(RTM_NEWLINK, NLM_F_ACK, same);
  move.AddNumber(IFLA_NET_NS_FD, static_cast<uint32_t>(target.get()));
  move.Add(IFLA_IFNAME, std::string_view(device.inside.c_str(), device.inside.size() + 1));
  // The index that it has here may be taken there: the kernel then gives it another one.
  const Status moved = netlink.Do(move.Finish());
  if (ErrnoOf(moved) == EEXIST)
    return Annotate(moved, fmt::format("the container has a device {:?} already", device.inside));
  return moved;
}

// The index of the device that came last: the name may have been a template.
StatusOr<int> IndexOfNewest(const Netlink& netlink, const std::string& inside) {
  if (inside.find('%') == std::string::npos) {
    const unsigned index = ::if_nametoindex(inside.c_str());
    if (index == 0) return SysError(errno, "if_nametoindex", inside);
    return static_cast<int>(index);
  }
  const std::string stem = inside.substr(0, inside.find('%'));
  int newest = 0, number = -1;
  Request<ifinfomsg> request(RTM_GETLINK, NLM_F_DUMP, {});
  RETURN_IF_ERROR(netlink.Talk(request.Finish(), [&](const nlmsghdr& message) {
    if (message.nlmsg_type != RTM_NEWLINK) return;
    const auto* info = static_cast<const ifinfomsg*>(NLMSG_DATA(&message));
    int left = static_cast<int>(IFLA_PAYLOAD(&message));
    for (const rtattr* a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
      if (a->rta_type != IFLA_IFNAME) continue;
      const std::string name(static_cast<const char*>(RTA_DATA(a)));
      if (name.rfind(stem, 0) != 0) continue;
      int its = 0;
      std::from_chars(name.data() + stem.size(), name.data() + name.size(), its);
      if (its > number) {
        number = its;
        newest = info->ifi_index;
      }
    }
  }));
  if (newest == 0) return NotFound("no device named after {:?}", inside);
  return newest;
}

Status Configure(const Netlink& netlink, int index, const Device& device) {
  for (const Address& address : device.addresses) {
    ifaddrmsg header = address.header;
    header.ifa_index = static_cast<uint32_t>(index);
    header.ifa_flags = IFA_F_PERMANENT;
    Request<ifaddrmsg> add(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, header);
    if (!address.local.empty()) add.Add(IFA_LOCAL, address.local);
    if (!address.address.empty()) add.Add(IFA_ADDRESS, address.address);
    if (!address.broadcast.empty()) add.Add(IFA_BROADCAST, address.broadcast);
    const Status added = netlink.Do(add.Finish());
    // IPv6 addresses can outlive the move (keep_addr_on_down).
    if (!added.ok() && ErrnoOf(added) != EEXIST) return Annotate(added, "address");
  }
  ifinfomsg up{};
  up.ifi_index = index;
  up.ifi_flags = IFF_UP;
  up.ifi_change = IFF_UP;
  return netlink.Do(Request<ifinfomsg>(RTM_NEWLINK, NLM_F_ACK, up).Finish());
}

Status MoveDevice(const Netlink& here, const Netlink& there, Device device, const UniqueFd& own,
                  const UniqueFd& target) {
  const unsigned index = ::if_nametoindex(device.name.c_str());
  if (index == 0) return SysError(errno, "if_nametoindex", device.name);
  ASSIGN_OR_RETURN(device.addresses, AddressesOf(here, static_cast<int>(index)));
  RETURN_IF_ERROR(Move(here, static_cast<int>(index), device, target));
  // if_nametoindex opens a socket of its own, so it has to be asked inside.
  RETURN_IF_ERROR(sys::SetNs(target, CLONE_NEWNET));
  const auto inside = IndexOfNewest(there, device.inside);
  RETURN_IF_ERROR(sys::SetNs(own, CLONE_NEWNET));
  RETURN_IF_ERROR(inside.status());
  return Configure(there, *inside, device);
}

}  // namespace

Status MoveNetDevices(const std::map<std::string, std::string>& devices, const UniqueFd& target) {
  if (devices.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd own, sys::Open("/proc/self/ns/net", O_RDONLY));
  ASSIGN_OR_RETURN(const Netlink here, Netlink::Open());
  // A netlink socket stays in the namespace in which it was made.
  RETURN_IF_ERROR(sys::SetNs(target, CLONE_NEWNET));
  auto there = Netlink::Open();
  RETURN_IF_ERROR(sys::SetNs(own, CLONE_NEWNET));
  RETURN_IF_ERROR(there.status());
  for (const auto& [name, inside] : devices)
    RETURN_IF_ERROR(Annotate(MoveDevice(here, *there, {name, inside, {}}, own, target),
                             fmt::format("linux.netDevices: moving {:?} to {:?}", name, inside)));
  return OkStatus();
}

}  // namespace ocirun::linux_
