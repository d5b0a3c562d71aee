// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace ocirun {

// Nanoseconds since 1970-01-01T00:00:00Z.
using UnixNanos = int64_t;

UnixNanos NowUnixNanos();
// RFC 3339 in UTC with up to nine fraction digits, trailing zeros dropped, as Go's RFC3339Nano:
// "2022-04-05T12:28:26.94206886Z".
std::string FormatRfc3339Nano(UnixNanos time);
// RFC 3339 with any fraction and offset ("Z" or "+02:00").
StatusOr<UnixNanos> ParseRfc3339(std::string_view text);

}  // namespace ocirun
