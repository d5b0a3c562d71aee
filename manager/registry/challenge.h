// SPDX-License-Identifier: Apache-2.0
//
// WWW-Authenticate as registries send it (RFC 9110 section 11.6.1, distribution's token
// specification).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ocirun::registry {

struct Challenge {
  std::string scheme;                             // lower case: bearer, basic
  std::map<std::string, std::string> parameters;  // names in lower case
};

// The challenges of one header value; what does not parse is left out.
std::vector<Challenge> ParseChallenges(std::string_view value);

// The strongest that we speak: bearer, then basic.
std::optional<Challenge> ChooseChallenge(const std::vector<std::string>& header_values);

}  // namespace ocirun::registry
