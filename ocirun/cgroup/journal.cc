// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cgroup/journal.h"

#include "base/file.h"
#include "base/text.h"

namespace ocirun::cgroup {
namespace {

// "8:0" of a line about a device; empty for any other.
std::string_view DeviceOf(std::string_view line) {
  const size_t space = line.find(' ');
  const size_t colon = line.find(':');
  return space != std::string_view::npos && colon < space ? line.substr(0, space)
                                                          : std::string_view();
}

std::string_view WithoutNewline(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text;
}

}  // namespace

std::string UndoValue(std::string_view old, std::string_view value) {
  const std::string_view device = DeviceOf(value);
  if (device.empty()) return std::string(WithoutNewline(old));
  for (const std::string_view line : SplitWords(old, "\n"))
    if (DeviceOf(line) == device) return std::string(line);
  // cgroup v2 names what it limits, v1 has a file for each.
  if (value.find('=') == std::string_view::npos) return fmt::format("{} 0", device);
  return fmt::format("{} rbps=max wbps=max riops=max wiops=max", device);
}

void Journal::Remember(const std::string& path, std::string_view value) {
  const auto old = ReadFile(path);
  if (old.ok()) entries_.push_back({path, UndoValue(*old, value)});
}

Status Journal::Restore() {
  Status first;
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    const Status written = WriteFile(entry->path, entry->value);
    if (first.ok()) first = written;
  }
  entries_.clear();
  return first;
}

}  // namespace ocirun::cgroup
