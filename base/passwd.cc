// SPDX-License-Identifier: Apache-2.0
#include "base/passwd.h"

#include <array>

#include "base/text.h"

namespace ocirun {

std::optional<PasswdEntry> FindPasswd(std::string_view text, uid_t uid) {
  const std::string wanted = std::to_string(uid);
  for (std::string_view line : SplitWords(text, "\n")) {
    std::array<std::string_view, 7> fields;
    size_t count = 0;
    for (size_t colon = 0; colon != std::string_view::npos && count < fields.size(); ++count) {
      colon = line.find(':');
      fields[count] = line.substr(0, colon);
      if (colon != std::string_view::npos) line.remove_prefix(colon + 1);
    }
    if (count >= 6 && fields[2] == wanted)
      return PasswdEntry{std::string(fields[0]), std::string(fields[5])};
  }
  return std::nullopt;
}

}  // namespace ocirun
