// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace ocirun {

// RFC 4648, section 4, with its padding and without line ends. InvalidArgument says at which
// character it is something else.
StatusOr<std::string> DecodeBase64(std::string_view text);

}  // namespace ocirun
