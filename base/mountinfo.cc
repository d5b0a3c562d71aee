// SPDX-License-Identifier: Apache-2.0
#include "base/mountinfo.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/sys/file.h"
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

// 36 35 98:0 ROOT MOUNT-POINT OPTIONS [OPTIONAL...] - TYPE SOURCE SUPER-OPTIONS
std::optional<MountInfo> ParseMount(std::string_view line) {
  const std::vector<std::string_view> words = SplitWords(line, " ");
  const auto dash = std::find(words.begin(), words.end(), "-");
  if (words.size() < 10 || words.end() - dash < 4) return std::nullopt;
  return MountInfo{Unescape(words[3]), Unescape(words[4]), std::string(dash[1]), Unescape(dash[2]),
                   std::string(dash[3])};
}

}  // namespace

std::vector<MountInfo> ParseMountInfo(std::string_view mountinfo) {
  std::vector<MountInfo> out;
  for (const std::string_view line : SplitWords(mountinfo, "\n"))
    if (auto mount = ParseMount(line)) out.push_back(*std::move(mount));
  return out;
}

Status VisitMounts(const std::function<bool(const MountInfo&)>& visit) {
  ASSIGN_OR_RETURN(const UniqueFd fd, sys::Open("/proc/self/mountinfo", O_RDONLY));
  std::array<char, 4096> buffer;  // the kernel gives no more at a time
  std::string text;               // from the beginning of a line
  for (;;) {
    const ssize_t n =
        sys::RetryEintr([&] { return ::read(fd.get(), buffer.data(), buffer.size()); });
    if (n < 0) return SysError(errno, "read", "/proc/self/mountinfo");
    if (n == 0) return OkStatus();
    text.append(buffer.data(), static_cast<size_t>(n));
    size_t line = 0;
    for (size_t end; (end = text.find('\n', line)) != std::string::npos; line = end + 1) {
      const auto mount = ParseMount(std::string_view(text).substr(line, end - line));
      if (mount && !visit(*mount)) return OkStatus();
    }
    text.erase(0, line);
  }
}

}  // namespace ocirun
