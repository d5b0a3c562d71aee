// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cgroup/manager.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "base/path.h"
#include "base/sys/file.h"
#include "ocirun/cgroup/manager_impl.h"
#include "ocirun/log/log.h"

namespace ocirun::cgroup {
namespace {

std::string FolderIn(const Hierarchy& hierarchy, const std::string& proc_cgroup,
                     const std::string& cgroups_path, const std::string& id) {
  if (!cgroups_path.empty() && cgroups_path[0] == '/')
    return Join(hierarchy.mount_point, cgroups_path);
  std::string own = BelowMount(hierarchy, OwnCgroup(proc_cgroup, hierarchy));
  // On v2 only a cgroup without processes hands controllers on (cgroup-v2.rst, "No Internal Process
  // Constraint"), and ours has one: the container's goes beside it, as runc does.
  if (hierarchy.v2 && !own.empty()) own.erase(own.rfind('/'));
  return Join(Join(hierarchy.mount_point, own), cgroups_path.empty() ? id : cgroups_path);
}

// Whether the caller may make the folder: the deepest that is there must be his to write to.
bool MayMake(const Place& place) {
  std::string folder = place.folder;
  while (folder.size() > place.mount_point.size() && !PathExists(folder))
    folder.erase(folder.rfind('/'));
  return ::access(folder.c_str(), W_OK) == 0;
}

}  // namespace

StatusOr<std::unique_ptr<Manager>> NewManager(const std::vector<Hierarchy>& hierarchies,
                                              const std::string& proc_cgroup,
                                              const std::string& cgroups_path,
                                              const std::string& id, Tolerance tolerance) {
  const std::vector<std::string> parts = PathComponents(cgroups_path);
  if (std::find(parts.begin(), parts.end(), "..") != parts.end())
    return InvalidArgument("linux.cgroupsPath: {:?} must not hold \"..\"", cgroups_path);
  std::vector<Place> places;
  std::string skipped;
  const bool hybrid = std::any_of(hierarchies.begin(), hierarchies.end(),
                                  [](const Hierarchy& hierarchy) { return !hierarchy.v2; });
  for (const Hierarchy& hierarchy : hierarchies) {
    Place place{hierarchy.mount_point, FolderIn(hierarchy, proc_cgroup, cgroups_path, id),
                hierarchy.controllers, hierarchy.v2};
    // Hybrid: the controllers are on v1; v2 has none, and holds the processes together.
    const bool needed = tolerance == Tolerance::kNone ||
                        (tolerance == Tolerance::kSkipUnified && !(hybrid && hierarchy.v2));
    if (needed || MayMake(place)) {
      places.push_back(std::move(place));
    } else {
      skipped += (skipped.empty() ? "" : ", ") + place.mount_point;
    }
  }
  // An ordinary user expects no other; root, in a user namespace, may.
  if (!skipped.empty())
    LogText(::geteuid() == 0 ? LogLevel::kWarning : LogLevel::kDebug,
            "no cgroup could be made in " + skipped + ", so the container is in the caller's");
  if (std::any_of(places.begin(), places.end(), [](const Place& place) { return !place.v2; }))
    return NewV1Manager(std::move(places));
  // What is left of a hybrid host is of no use alone: its controllers are elsewhere.
  if (!places.empty() && !hybrid) return NewV2Manager(std::move(places.front()));
  if (tolerance == Tolerance::kSkipForbidden)
    return NewNoManager(", since this user may not make one");
  return FailedPrecondition("this host has no cgroups mounted");
}

StatusOr<std::unique_ptr<Manager>> NewHostManager(const std::string& cgroups_path,
                                                  const std::string& id, Tolerance tolerance) {
  ASSIGN_OR_RETURN(const std::vector<Hierarchy> hierarchies, HostHierarchies());
  ASSIGN_OR_RETURN(const std::string own, ReadFile("/proc/self/cgroup"));
  return NewManager(hierarchies, own, cgroups_path, id, tolerance);
}

std::string Join(const std::string& folder, const std::string& path) {
  std::string out = folder == "/" ? "" : folder;
  for (const std::string& part : PathComponents(path)) out += "/" + part;
  return out;
}

std::string BelowMount(const Hierarchy& hierarchy, std::string path) {
  if (hierarchy.root != "/" && path.rfind(hierarchy.root, 0) == 0)
    path.erase(0, hierarchy.root.size());
  return path;
}

StatusOr<std::map<std::string, std::string>> CallersView() {
  ASSIGN_OR_RETURN(const std::vector<Hierarchy> hierarchies, HostHierarchies());
  ASSIGN_OR_RETURN(const std::string own, ReadFile("/proc/self/cgroup"));
  std::map<std::string, std::string> view;
  for (const Hierarchy& hierarchy : hierarchies) {
    const std::string folder =
        Join(hierarchy.mount_point, BelowMount(hierarchy, OwnCgroup(own, hierarchy)));
    if (hierarchy.v2) {
      view.emplace(hierarchies.size() == 1 ? "" : kUnified, folder);
    } else {
      view.emplace(hierarchy.mount_point.substr(hierarchy.mount_point.rfind('/') + 1), folder);
    }
  }
  return view;
}

std::vector<std::string> HugepageSizes() {
  std::vector<std::string> out;
  const auto folder = sys::Open("/sys/kernel/mm/hugepages", O_RDONLY | O_DIRECTORY);
  const auto names = folder.ok() ? ListFolder(*folder) : folder.status();
  if (!names.ok()) return out;
  for (const std::string& name : *names) {
    // "hugepages-2048kB"
    constexpr std::string_view kPrefix = "hugepages-";
    uint64_t kib = 0;
    if (name.rfind(kPrefix, 0) != 0) continue;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), kib);
    constexpr uint64_t kMib = 1024, kGib = 1024 * kMib;
    out.push_back(kib >= kGib   ? fmt::format("{}GB", kib / kGib)
                  : kib >= kMib ? fmt::format("{}MB", kib / kMib)
                                : fmt::format("{}KB", kib));
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string PidsLimit(int64_t limit) {
  if (limit < 0) return "max";
  return std::to_string(limit == 0 ? 1 : limit);
}

std::string RdmaLine(const std::string& device, const oci::RdmaLimit& limit) {
  std::string line = device;
  if (limit.hca_handles.has_value()) line += fmt::format(" hca_handle={}", *limit.hca_handles);
  if (limit.hca_objects.has_value()) line += fmt::format(" hca_object={}", *limit.hca_objects);
  return line;
}

StatusOr<std::string> CheckSubCgroup(const std::string& path) {
  std::string clean;
  for (const std::string& part : PathComponents(path)) {
    if (part == "..") return InvalidArgument("bad sub cgroup path: {:?}", path);
    clean += "/" + part;
  }
  return clean;
}

Inodes InodesOf(const std::map<std::string, std::string>& view) {
  Inodes inodes;
  for (const auto& [name, folder] : view)
    if (const auto st = sys::StatPath(folder); st.ok()) inodes.emplace(name, st->st_ino);
  return inodes;
}

std::vector<std::string> DisownReplaced(const Inodes& made,
                                        std::map<std::string, std::string>* view) {
  std::vector<std::string> replaced;
  const Inodes now = InodesOf(*view);
  for (auto& [name, folder] : *view) {
    const auto before = made.find(name), after = now.find(name);
    if (before == made.end() || after == now.end() || before->second == after->second) continue;
    folder += " (deleted)";
    replaced.push_back(name);
  }
  return replaced;
}

namespace {

std::unique_ptr<Manager> ExistingFolders(const std::map<std::string, std::string>& view) {
  if (view.empty()) return NewNoManager("");
  if (view.size() == 1 && view.begin()->first.empty())
    return NewV2Manager({view.begin()->second, view.begin()->second, {}, true});
  std::vector<Place> places;
  for (const auto& [name, folder] : view) {
    Place place{folder, folder, {}, name == kUnified};
    // The hierarchy's folder is named after its controllers: "memory", "cpu,cpuacct".
    for (size_t at = 0; at != std::string::npos;) {
      const size_t comma = name.find(',', at);
      place.controllers.push_back(name.substr(at, comma == std::string::npos ? comma : comma - at));
      at = comma == std::string::npos ? comma : comma + 1;
    }
    // Only its last part matters, as the name of the hierarchy.
    place.mount_point = "/" + name;
    places.push_back(std::move(place));
  }
  return NewV1Manager(std::move(places));
}

}  // namespace

std::unique_ptr<Manager> ExistingManager(const std::map<std::string, std::string>& view,
                                         const SystemdUnit& unit) {
  auto folders = ExistingFolders(view);
  return unit.name.empty() ? std::move(folders) : ExistingSystemdManager(unit, std::move(folders));
}

}  // namespace ocirun::cgroup
