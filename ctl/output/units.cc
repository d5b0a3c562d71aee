// SPDX-License-Identifier: Apache-2.0
#include "ctl/output/units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <ctime>

namespace ocirun::ctl {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

std::string Scaled(double value, double base, const std::array<const char*, 6>& units) {
  size_t unit = 0;
  while (value >= base && unit + 1 < units.size()) {
    value /= base;
    ++unit;
  }
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.4g%s", value, units[unit]);
  return text.data();
}

// By the zone of TZ or of /etc/localtime.
std::string LocalTime(UnixNanos time, const char* format) {
  const time_t seconds = time / kSecond;
  tm parts{};
  std::array<char, 64> text{};
  if (localtime_r(&seconds, &parts) == nullptr) return "";
  return {text.data(), std::strftime(text.data(), text.size(), format, &parts)};
}

}  // namespace

std::string HumanSize(uint64_t bytes) {
  // Three digits, as `images` and `ps -s` show.
  double value = static_cast<double>(bytes);
  constexpr std::array units = {"B", "kB", "MB", "GB", "TB", "PB"};
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.3g%s", value, units[unit]);
  return text.data();
}

std::string BinarySize(uint64_t bytes) {
  return Scaled(static_cast<double>(bytes), 1024, {"B", "KiB", "MiB", "GiB", "TiB", "PiB"});
}

std::string HumanDuration(UnixNanos duration) {
  const int64_t seconds = duration / kSecond;
  const int64_t minutes = seconds / 60;
  const int64_t hours = (seconds + 1800) / 3600;
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return fmt::format("{} seconds", seconds);
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return fmt::format("{} minutes", minutes);
  if (hours == 1) return "About an hour";
  if (hours < 48) return fmt::format("{} hours", hours);
  if (hours < 24 * 7 * 2) return fmt::format("{} days", hours / 24);
  if (hours < 24 * 30 * 2) return fmt::format("{} weeks", hours / 24 / 7);
  if (hours < 24 * 365 * 2) return fmt::format("{} months", hours / 24 / 30);
  return fmt::format("{} years", hours / 24 / 365);
}

StatusOr<int64_t> ParseBytes(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  std::string unit = end;
  for (char& c : unit) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (unit.ends_with("ib")) unit.resize(unit.size() - 2);
  if (unit.size() > 1 && unit.ends_with('b')) unit.pop_back();
  const std::string units = "bkmgtp";
  const size_t power = unit.empty() ? 0 : units.find(unit);
  if (end == text.c_str() || power == std::string::npos || unit.size() > 1 || number < -1) {
    return InvalidArgument("invalid size: '{}'", text);
  }
  return static_cast<int64_t>(number * std::pow(1024, static_cast<double>(power)));
}

StatusOr<int64_t> ParseDuration(const std::string& text) {
  const char* at = text.c_str();
  double total = 0;
  while (*at != '\0') {
    char* end = nullptr;
    const double number = std::strtod(at, &end);
    if (end == at) return InvalidArgument("invalid duration \"{}\"", text);
    const std::string rest = end;
    const std::array<std::pair<const char*, double>, 7> units = {
        {{"ns", 1}, {"us", 1e3}, {"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}}};
    size_t used = 0;
    for (const auto& [unit, factor] : units) {
      if (!rest.starts_with(unit)) continue;
      total += number * factor;
      used = std::string(unit).size();
      break;
    }
    if (used == 0) return InvalidArgument("missing unit in duration \"{}\"", text);
    at = end + used;
  }
  if (text.empty()) return InvalidArgument("invalid duration \"\"");
  return static_cast<int64_t>(total);
}

StatusOr<UnixNanos> ParseTimestamp(const std::string& text) {
  if (const auto duration = ParseDuration(text); duration.ok()) return NowUnixNanos() - *duration;
  char* end = nullptr;
  const double seconds = std::strtod(text.c_str(), &end);
  if (!text.empty() && *end == '\0') return static_cast<UnixNanos>(seconds * 1e9);
  std::string full = text;
  if (full.size() == 10) full += "T00:00:00";
  if (full.size() == 16) full += ":00";
  if (full.size() > 10 && full.find_first_of("Z+", 10) == std::string::npos) full += "Z";
  const auto time = ParseRfc3339(full);
  if (!time.ok()) {
    return InvalidArgument("failed to parse value as time or duration: \"{}\"", text);
  }
  return *time;
}

std::string TimeText(UnixNanos time) {
  return time == 0 ? "0001-01-01T00:00:00Z" : FormatRfc3339Nano(time);
}

std::string FormatRfc3339Seconds(UnixNanos time) {
  if (time == 0) return TimeText(0);
  return FormatRfc3339Nano(time / kSecond * kSecond);
}

std::string FormatRfc3339NanoFixed(UnixNanos time) {
  std::string text = FormatRfc3339Seconds(time);
  text.pop_back();
  return fmt::format("{}.{:09}Z", text, time % kSecond);
}

std::string GoTimeText(UnixNanos time) {
  if (time == 0) return "0001-01-01 00:00:00 +0000 UTC";
  return LocalTime(time, "%Y-%m-%d %H:%M:%S %z %Z");
}

std::string LocalRfc3339(UnixNanos time) {
  if (time == 0) return TimeText(0);
  std::string text = LocalTime(time, "%Y-%m-%dT%H:%M:%S%z");
  if (text.ends_with("+0000")) return text.substr(0, text.size() - 5) + "Z";
  return text.insert(text.size() - 2, ":");
}

std::string Ellipsis(const std::string& text, size_t most) {
  const auto begins = [](char c) { return (c & 0xc0) != 0x80; };
  size_t characters = 0;
  size_t cut = text.size();  // where the last character that may stay ends
  for (size_t i = 0; i < text.size(); ++i) {
    if (!begins(text[i])) continue;
    if (characters == most - 1) cut = i;
    ++characters;
  }
  return characters <= most ? text : text.substr(0, cut) + "…";
}

}  // namespace ocirun::ctl
