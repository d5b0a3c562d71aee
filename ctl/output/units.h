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
// As Go prints a time, in the user's zone: "2022-04-05 14:28:26 +0200 CEST".
std::string GoTimeText(UnixNanos time);
// The same as RFC 3339 has it: "2022-04-05T14:28:26+02:00", or with Z for UTC.
std::string LocalRfc3339(UnixNanos time);
// Always nine digits of fraction, as `logs -t` shows: "2022-04-05T12:28:26.942068860Z".
std::string FormatRfc3339NanoFixed(UnixNanos time);
// "2022-04-05T12:28:26Z".
std::string FormatRfc3339Seconds(UnixNanos time);
// At most `most` characters (not bytes), the last an ellipsis if something is left out.
std::string Ellipsis(const std::string& text, size_t most);

}  // namespace ocirun::ctl
