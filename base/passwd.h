// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace ocirun {

struct PasswdEntry {
  std::string name, home;
};

// The first line of `uid` in the text of /etc/passwd (passwd(5)). Plain reading: a static program
// must not load what getpwuid(3) asks.
std::optional<PasswdEntry> FindPasswd(std::string_view text, uid_t uid);

}  // namespace ocirun
