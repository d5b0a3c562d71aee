// SPDX-License-Identifier: Apache-2.0
//
// Between manager.cc, which chooses, and v1.cc and v2.cc. Not for others.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ocirun/cgroup/manager.h"

namespace ocirun::cgroup {

// The container's folder in one hierarchy.
struct Place {
  std::string mount_point, folder;
  std::vector<std::string> controllers;
  bool v2 = false;

  [[nodiscard]] bool Has(std::string_view controller) const {
    return std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
  }
};

// The sizes of huge pages that this kernel knows, as its control files name them: "2MB", "1GB".
std::vector<std::string> HugepageSizes();

// The text of pids.max. A limit of 0 lets nothing start, so it is taken as 1, as runc does.
std::string PidsLimit(int64_t limit);
// The line of rdma.max for one device.
std::string RdmaLine(const std::string& device, const oci::RdmaLimit& limit);

Statistics ReadV1Statistics(const std::vector<Place>& places);
Statistics ReadV2Statistics(const Place& place);

// A path below the container's cgroup from a client, "/a/b" or "a": InvalidArgument if it climbs.
// With a leading slash, or empty.
StatusOr<std::string> CheckSubCgroup(const std::string& path);

std::unique_ptr<Manager> NewV1Manager(std::vector<Place> places);
std::unique_ptr<Manager> NewV2Manager(Place place);
// For a container in no cgroup of its own: everything that needs one is refused by name.
std::unique_ptr<Manager> NewNoManager();

}  // namespace ocirun::cgroup
