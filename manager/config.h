// SPDX-License-Identifier: Apache-2.0
//
// ocid.yaml:
//
//   instance: abc            names bridge, nft table and cgroups; default: from --root
//   network:
//     bridge: ocid0          the bridge's name
//     subnet: 172.18.0.0/16
//   registries:
//     registry.example:5000:
//       mirrors: [https://mirror.example]
//       insecure: true
//       ca_file: /etc/ssl/registry.pem
//       auth: {username: u, password: p}   or {identity_token: t}
#pragma once

#include <string>

#include "base/status.h"
#include "manager/registry/client.h"

namespace ocirun {

struct Config {
  std::string instance;
  std::string bridge;
  std::string subnet;
  registry::HostOptionsMap registries;
};

// A file that is not there is an empty one. InvalidArgument with the key's path for a key that is
// unknown or of a wrong type.
StatusOr<Config> LoadConfig(const std::string& path);

}  // namespace ocirun
