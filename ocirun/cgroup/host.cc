// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cgroup/host.h"

#include <algorithm>

#include "base/file.h"
#include "base/mountinfo.h"
#include "base/text.h"

namespace ocirun::cgroup {
namespace {

// Words of the superblock's options that are no controllers.
constexpr std::string_view kFlags[] = {
    "rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "release_agent"};

std::vector<std::string> Controllers(std::string_view options) {
  std::vector<std::string> out;
  for (const std::string_view word : SplitWords(options, ",")) {
    const std::string_view key = word.substr(0, word.find('='));
    if (std::find(std::begin(kFlags), std::end(kFlags), key) == std::end(kFlags))
      out.emplace_back(word);
  }
  return out;
}

// Of a hierarchy that is mounted more than once the first mount counts.
void AddHierarchy(const MountInfo& mount, std::vector<Hierarchy>* out) {
  if (mount.type != "cgroup" && mount.type != "cgroup2") return;
  Hierarchy hierarchy{mount.mount_point, mount.root, {}, mount.type == "cgroup2"};
  if (!hierarchy.v2) hierarchy.controllers = Controllers(mount.super_options);
  const bool known = std::any_of(out->begin(), out->end(), [&](const Hierarchy& other) {
    return other.v2 == hierarchy.v2 && other.controllers == hierarchy.controllers;
  });
  if (!known) out->push_back(std::move(hierarchy));
}

}  // namespace

std::vector<Hierarchy> FindHierarchies(std::string_view mountinfo) {
  std::vector<Hierarchy> out;
  for (const MountInfo& mount : ParseMountInfo(mountinfo)) AddHierarchy(mount, &out);
  return out;
}

StatusOr<std::vector<Hierarchy>> HostHierarchies() {
  ASSIGN_OR_RETURN(const std::string own, ReadFile("/proc/self/cgroup"));
  const auto all = static_cast<size_t>(std::count(own.begin(), own.end(), '\n'));
  std::vector<Hierarchy> out;
  RETURN_IF_ERROR(VisitMounts([&](const MountInfo& mount) {
    AddHierarchy(mount, &out);
    return out.size() < all;
  }));
  return out;
}

std::string OwnCgroup(std::string_view proc_cgroup, const Hierarchy& hierarchy) {
  for (const std::string_view line : SplitWords(proc_cgroup, "\n")) {
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string path(line.substr(second + 1));
    if (hierarchy.v2) {
      if (controllers.empty()) return path;
      continue;
    }
    for (const std::string_view controller : SplitWords(controllers, ","))
      if (!hierarchy.controllers.empty() && controller == hierarchy.controllers.front())
        return path;
  }
  return "/";
}

bool HasWord(std::string_view list, std::string_view word) {
  const auto words = SplitWords(list, " \n\t");
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace ocirun::cgroup
