// SPDX-License-Identifier: Apache-2.0
#include "base/time.h"

#include <ctime>

namespace ocirun {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

// Exactly `width` digits at `at`; -1 when they are not there.
int Digits(std::string_view text, size_t at, size_t width) {
  if (at + width > text.size()) return -1;
  int value = 0;
  for (char c : text.substr(at, width)) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

// The zone at the end of the text, in seconds east of UTC; false when it is not a zone.
bool ParseZone(std::string_view zone, int64_t* offset) {
  *offset = 0;
  if (zone == "Z" || zone == "z") return true;
  if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':') return false;
  const int hours = Digits(zone, 1, 2), minutes = Digits(zone, 4, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return false;
  *offset = (zone[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
  return true;
}

}  // namespace

UnixNanos NowUnixNanos() {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * kNanosPerSecond + now.tv_nsec;
}

std::string FormatRfc3339Nano(UnixNanos time) {
  int64_t seconds = time / kNanosPerSecond, nanos = time % kNanosPerSecond;
  if (nanos < 0) {
    nanos += kNanosPerSecond;
    --seconds;
  }
  const time_t whole = seconds;
  tm parts;
  ::gmtime_r(&whole, &parts);
  std::string out =
      fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1,
                  parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
  if (nanos != 0) {
    std::string fraction = fmt::format("{:09}", nanos);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    out += "." + fraction;
  }
  return out + "Z";
}

StatusOr<UnixNanos> ParseRfc3339(std::string_view text) {
  const Status bad = InvalidArgument("not an RFC 3339 time: {:?}", text);
  tm parts{};
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' ||
      (text[10] != 'T' && text[10] != 't') || text[13] != ':' || text[16] != ':')
    return bad;
  const int year = Digits(text, 0, 4), month = Digits(text, 5, 2), day = Digits(text, 8, 2);
  const int hour = Digits(text, 11, 2), minute = Digits(text, 14, 2), second = Digits(text, 17, 2);
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
      minute < 0 || minute > 59 || second < 0 || second > 60)
    return bad;
  size_t at = 19;
  int64_t nanos = 0;
  if (text[at] == '.') {
    int64_t unit = kNanosPerSecond;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
      unit /= 10;
      nanos += (text[at] - '0') * unit;
    }
  }
  int64_t offset = 0;
  if (!ParseZone(text.substr(at), &offset)) return bad;
  parts.tm_year = year - 1900;
  parts.tm_mon = month - 1;
  parts.tm_mday = day;
  parts.tm_hour = hour;
  parts.tm_min = minute;
  parts.tm_sec = second;
  // Go's zero time, year 1, is before what nanoseconds in 64 bits can say: it is our 0.
  if (year < 1678 || year > 2261) return UnixNanos{0};
  return (static_cast<int64_t>(::timegm(&parts)) - offset) * kNanosPerSecond + nanos;
}

}  // namespace ocirun
