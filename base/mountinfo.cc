// SPDX-License-Identifier: Apache-2.0
#include "base/mountinfo.h"

#include <algorithm>

#include "base/text.h"

namespace ocirun {
namespace {

// Space, tab, newline and backslash are written as \ and three octal digits.
std::string Unescape(std::string_view text) {
  if (text.find('\\') == std::string_view::npos) return std::string(text);
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

}  // namespace

std::vector<MountInfo> ParseMountInfo(std::string_view mountinfo) {
  std::vector<MountInfo> out;
  for (const std::string_view line : SplitWords(mountinfo, "\n")) {
    // 36 35 98:0 ROOT MOUNT-POINT OPTIONS [OPTIONAL...] - TYPE SOURCE SUPER-OPTIONS
    const std::vector<std::string_view> words = SplitWords(line, " ");
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 10 || words.end() - dash < 4) continue;
    out.push_back({Unescape(words[3]), Unescape(words[4]), std::string(dash[1]), Unescape(dash[2]),
                   std::string(dash[3])});
  }
  return out;
}

}  // namespace ocirun
