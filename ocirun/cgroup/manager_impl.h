// SPDX-License-Identifier: Apache-2.0
//
// Between manager.cc, which chooses, and v1.cc and v2.cc. Not for others.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
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

// cpu.shares 2..262144 (1024 is usual) to cpu.weight 1..10000 (100 is usual): the quadratic mapping
// that keeps all three points, as the runtimes have agreed on.
uint64_t WeightOfShares(uint64_t shares);
// blockIO.weight 10..1000 to io.weight 1..10000.
uint64_t IoWeight(uint16_t weight);
// config.json counts memory and swap together, v2 swap alone. -1: no limit; empty: not asked for.
StatusOr<std::optional<int64_t>> SwapWithoutMemory(const oci::MemoryResources& memory);

// Whose the cgroups are. systemd's hold a process when Create() comes to them, and go with it.
enum class Maker { kOurselves, kSystemd };

std::unique_ptr<Manager> NewV1Manager(std::vector<Place> places, Maker maker = Maker::kOurselves);
std::unique_ptr<Manager> NewV2Manager(Place place, Maker maker = Maker::kOurselves);
// `path` joined to a folder, with single slashes.
std::string Join(const std::string& folder, const std::string& path);
// A cgroup of /proc/PID/cgroup as it is below the mount point: inside a container the mount shows a
// part of the tree only.
std::string BelowMount(const Hierarchy& hierarchy, std::string path);

// `folders` are those of the unit.
std::unique_ptr<Manager> ExistingSystemdManager(const SystemdUnit& unit,
                                                std::unique_ptr<Manager> folders);

// For a container in no cgroup of its own: everything that needs one is refused by name. `why`, a
// constant, ends the error: ", since ...".
std::unique_ptr<Manager> NewNoManager(std::string_view why);

}  // namespace ocirun::cgroup
