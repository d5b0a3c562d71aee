// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cgroup/host.h"

#include <algorithm>

namespace ocirun::cgroup {
namespace {

std::vector<std::string_view> Split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const size_t end = text.find_first_of(separators);
    if (end != 0) out.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

// mountinfo writes space, tab, newline and backslash as \ and three octal digits.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Words of the superblock's options that are no controllers.
constexpr std::string_view kFlags[] = {
    "rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "release_agent"};

std::vector<std::string> Controllers(std::string_view options) {
  std::vector<std::string> out;
  for (const std::string_view word : Split(options, ",")) {
    const std::string_view key = word.substr(0, word.find('='));
    if (std::find(std::begin(kFlags), std::end(kFlags), key) == std::end(kFlags))
      out.emplace_back(word);
  }
  return out;
}

}  // namespace

std::vector<Hierarchy> ParseMountInfo(std::string_view mountinfo) {
  std::vector<Hierarchy> out;
  for (const std::string_view line : Split(mountinfo, "\n")) {
    // 36 35 98:0 ROOT MOUNT-POINT OPTIONS [OPTIONAL...] - TYPE SOURCE SUPER-OPTIONS
    const std::vector<std::string_view> words = Split(line, " ");
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 10 || words.end() - dash < 4) continue;
    const std::string_view type = dash[1];
    if (type != "cgroup" && type != "cgroup2") continue;
    Hierarchy hierarchy{Unescape(words[4]), Unescape(words[3]), {}, type == "cgroup2"};
    if (!hierarchy.v2) hierarchy.controllers = Controllers(dash[3]);
    const bool known = std::any_of(out.begin(), out.end(), [&](const Hierarchy& other) {
      return other.v2 == hierarchy.v2 && other.controllers == hierarchy.controllers;
    });
    if (!known) out.push_back(std::move(hierarchy));
  }
  return out;
}

std::string OwnCgroup(std::string_view proc_cgroup, const Hierarchy& hierarchy) {
  for (const std::string_view line : Split(proc_cgroup, "\n")) {
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string path(line.substr(second + 1));
    if (hierarchy.v2) {
      if (controllers.empty()) return path;
      continue;
    }
    for (const std::string_view controller : Split(controllers, ","))
      if (!hierarchy.controllers.empty() && controller == hierarchy.controllers.front())
        return path;
  }
  return "/";
}

bool HasWord(std::string_view list, std::string_view word) {
  const auto words = Split(list, " \n\t");
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace ocirun::cgroup
