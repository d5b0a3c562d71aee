// SPDX-License-Identifier: Apache-2.0
//
// What Docker refuses when a container is made, in its words: contradictions, and more than the
// host has.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "ocid/v1/container.pb.h"

namespace ocirun::container {

struct HostFacts {
  std::set<unsigned> cpus;          // online
  std::set<unsigned> memory_nodes;  // online
  bool cgroup_v2 = false;           // and no controller on v1
};

// From /sys.
StatusOr<HostFacts> ReadHostFacts();

// "0-2,7" -> {0, 1, 2, 7}; InvalidArgument otherwise. Pure.
StatusOr<std::set<unsigned>> ParseNumberList(std::string_view text);

// InvalidArgument when a text of the message, at any depth, has a NUL in it: what the kernel takes
// would end there, while what is kept and shown goes on. Pure.
Status CheckNuls(const google::protobuf::Message& message);

// InvalidArgument for what cannot be asked for. Pure.
Status CheckRequest(const ocid::v1::CreateContainerRequest& request, const HostFacts& facts);

// Takes out what this host's cgroups can't do, with a warning each in Docker's words, and chooses
// the cgroup namespace where nobody did. Pure.
std::vector<std::string> AdaptToHost(const HostFacts& facts, ocid::v1::HostConfig* host);

// InvalidArgument when `wanted` ("linux/arm64") is not the platform of the image. Pure.
Status CheckPlatform(const std::string& wanted, const ocid::v1::Image& image,
                     const std::string& reference);

}  // namespace ocirun::container
