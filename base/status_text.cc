// SPDX-License-Identifier: Apache-2.0
#include "base/status_text.h"

#include <charconv>

namespace ocirun {

std::string StatusText(const Status& status) {
  return fmt::format("{} {} {}", static_cast<int>(status.code()), ErrnoOf(status),
                     MessageOf(status));
}

Status StatusFromText(std::string_view text) {
  int code = 0, err = 0;
  const char* end = text.data() + text.size();
  auto parsed = std::from_chars(text.data(), end, code);
  if (parsed.ec == std::errc() && parsed.ptr != end)
    parsed = std::from_chars(parsed.ptr + 1, end, err);
  if (parsed.ec != std::errc() || parsed.ptr == end || code == 0)
    return Internal("an unreadable failure of another process");
  return {static_cast<StatusCode>(code), std::string(parsed.ptr + 1, end), err};
}

}  // namespace ocirun
