// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "base/time.h"

namespace ocirun::ctl {

// 1240000 -> "1.24MB", four significant digits at most, units of 1000.
std::string HumanSize(uint64_t bytes);
// Units of 1024: "7.654GiB".
std::string BinarySize(uint64_t bytes);
// "2 hours", "About a minute", "Less than a second".
std::string HumanDuration(UnixNanos duration);
// "512m", "1.5g", "1024" -> bytes; units of 1024.
StatusOr<int64_t> ParseBytes(const std::string& text);
// "1h30m", "10s", "1.5s" -> nanoseconds.
StatusOr<int64_t> ParseDuration(const std::string& text);
// A duration before now, Unix seconds with a fraction, or RFC 3339 with any precision.
StatusOr<UnixNanos> ParseTimestamp(const std::string& text);
// 0 is shown as Go's zero time.
std::string TimeText(UnixNanos time);

}  // namespace ocirun::ctl
