// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/resctrl.h"

#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <vector>

#include "base/file.h"
#include "base/mountinfo.h"
#include "base/text.h"

namespace ocirun::linux_ {
namespace {

// "L3", "0" -> "7f0": what the kernel prints, without the padding zeros and in any order.
using Schemata = std::map<std::pair<std::string, std::string>, std::string>;

void AddSchema(std::string_view line, Schemata* out) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string resource(Trim(line.substr(0, colon)));
  for (const std::string_view entry : SplitWords(line.substr(colon + 1), ";")) {
    const size_t equals = entry.find('=');
    if (equals == std::string_view::npos) continue;
    std::string_view value = Trim(entry.substr(equals + 1));
    while (value.size() > 1 && value.front() == '0') value.remove_prefix(1);
    std::string lower(value);
    for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'F' ? c + 32 : c);
    (*out)[{resource, std::string(Trim(entry.substr(0, equals)))}] = lower;
  }
}

// The lines to write, in the order that config-linux.md#intelrdt asks for.
std::vector<std::string> LinesOf(const oci::IntelRdt& config) {
  std::vector<std::string> lines;
  for (const std::string* line : {&config.l3_cache_schema, &config.mem_bw_schema})
    if (!line->empty()) lines.push_back(*line);
  lines.insert(lines.end(), config.schemata.begin(), config.schemata.end());
  return lines;
}

std::string ClassFolder(const std::string& resctrl, const oci::IntelRdt& config,
                        const std::string& id) {
  if (config.clos_id == "/") return resctrl;
  return resctrl + "/" + (config.clos_id.empty() ? id : config.clos_id);
}

Status CheckSchemata(const std::string& folder, const std::vector<std::string>& lines) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(folder + "/schemata"));
  Schemata there, wanted;
  for (const std::string_view line : SplitWords(text, "\n")) AddSchema(line, &there);
  for (const std::string& line : lines) AddSchema(line, &wanted);
  for (const auto& [key, value] : wanted) {
    const auto found = there.find(key);
    if (found == there.end() || found->second != value)
      return FailedPrecondition("linux.intelRdt: class {} exists and has {}:{}={}, not {}", folder,
                                key.first, key.second,
                                found == there.end() ? "(nothing)" : found->second, value);
  }
  return OkStatus();
}

Status RemoveFolder(const std::string& folder) {
  if (folder.empty() || ::rmdir(folder.c_str()) == 0 || errno == ENOENT) return OkStatus();
  return SysError(errno, "rmdir", folder);
}

// True when this call made it.
StatusOr<bool> MakeFolder(const std::string& folder) {
  if (::mkdir(folder.c_str(), 0755) == 0) return true;
  if (errno == EEXIST) return false;
  return SysError(errno, "mkdir", folder);
}

}  // namespace

StatusOr<std::string> FindResctrl(std::string_view mountinfo) {
  for (const MountInfo& mount : ParseMountInfo(mountinfo))
    if (mount.type == "resctrl") return mount.mount_point;
  return NotFound("linux.intelRdt: this host has no resctrl filesystem mounted");
}

Status WriteSchemata(const std::string& resctrl, const oci::IntelRdt& config,
                     const std::string& id) {
  std::string text;
  for (const std::string& line : LinesOf(config)) text += line + "\n";
  return Annotate(WriteFile(ClassFolder(resctrl, config, id) + "/schemata", text),
                  "linux.intelRdt");
}

StatusOr<std::vector<std::string>> SchemataLines(const std::string& resctrl,
                                                 const oci::IntelRdt& config,
                                                 const std::string& id) {
  auto text = ReadFile(ClassFolder(resctrl, config, id) + "/schemata");
  if (!text.ok()) return Annotate(text.status(), "linux.intelRdt");
  std::vector<std::string> lines;
  for (const std::string_view line : SplitWords(*text, "\n")) lines.emplace_back(Trim(line));
  return lines;
}

std::string CountedFolder(const std::string& resctrl, const oci::IntelRdt& config,
                          const std::string& id) {
  const std::string folder = ClassFolder(resctrl, config, id);
  return config.enable_monitoring ? folder + "/mon_groups/" + id : folder;
}

StatusOr<RdtGroup> MakeRdtGroup(const std::string& resctrl, const oci::IntelRdt& config,
                                const std::string& id) {
  const std::string folder = ClassFolder(resctrl, config, id);
  const std::vector<std::string> lines = LinesOf(config);
  RdtGroup group;
  Undo remove(
      [&] { IgnoreError(RemoveRdtGroup(group), "undoing: the first error is the one to report"); });
  bool made = false;
  if (!config.clos_id.empty() && lines.empty()) {
    if (!PathExists(folder))
      return FailedPrecondition(
          "linux.intelRdt: clos dir not accessible (must be pre-created when schemata, "
          "l3CacheSchema and memBwSchema are empty): {}",
          folder);
  } else if (config.clos_id != "/") {
    ASSIGN_OR_RETURN(made, MakeFolder(folder));
    if (made) group.class_folder = folder;
  }
  if (!lines.empty()) {
    if (!made && !config.clos_id.empty() && config.clos_id != "/") {
      RETURN_IF_ERROR(CheckSchemata(folder, lines));
    } else {
      RETURN_IF_ERROR(WriteSchemata(resctrl, config, id));
    }
  }
  if (config.enable_monitoring) {
    const std::string monitor = CountedFolder(resctrl, config, id);
    RETURN_IF_ERROR(Annotate(MakeFolder(monitor).status(), "linux.intelRdt.enableMonitoring"));
    group.monitor_folder = monitor;
  }
  // A class that config.json names is shared with others, also when this container was its first
  // (config-linux.md#intelrdt).
  if (!config.clos_id.empty()) group.class_folder.clear();
  remove.Release();
  return group;
}

Status EnterRdtGroup(const std::string& resctrl, const oci::IntelRdt& config, const std::string& id,
                     pid_t pid) {
  const std::string folder = ClassFolder(resctrl, config, id);
  RETURN_IF_ERROR(
      Annotate(WriteFile(folder + "/tasks", std::to_string(pid)), "linux.intelRdt.closID"));
  if (!config.enable_monitoring) return OkStatus();
  return Annotate(WriteFile(folder + "/mon_groups/" + id + "/tasks", std::to_string(pid)),
                  "linux.intelRdt.enableMonitoring");
}

Status RemoveRdtGroup(const RdtGroup& group) {
  RETURN_IF_ERROR(RemoveFolder(group.monitor_folder));
  return RemoveFolder(group.class_folder);
}

}  // namespace ocirun::linux_
