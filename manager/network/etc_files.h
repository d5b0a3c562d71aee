// SPDX-License-Identifier: Apache-2.0
//
// The files of /etc that a container gets for its network.
#pragma once

#include <string>
#include <vector>

namespace ocirun::network {

struct HostsFile {
  std::string ip;  // empty: without a line of its own
  std::string hostname;
  std::string domainname;
  std::vector<std::string> extra_hosts;  // "name:address"
};
std::string BuildHosts(const HostsFile& file);

struct ResolvFile {
  std::string host_text;  // the host's resolv.conf
  std::vector<std::string> dns;
  std::vector<std::string> search;
  std::vector<std::string> options;
};
// The host's nameservers but those on loopback, which mean another machine inside; without any,
// public ones, as Docker does.
std::string BuildResolvConf(const ResolvFile& file);

}  // namespace ocirun::network
