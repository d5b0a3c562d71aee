// SPDX-License-Identifier: Apache-2.0
#include "manager/container/log_options.h"

#include <charconv>

#include "base/text.h"

namespace ocirun::container {
namespace {

// "10m", "1.5g", "10 MB": Docker's units of 1000 (formats.md 4.3).
StatusOr<uint64_t> ParseSize(std::string_view text) {
  constexpr std::string_view kUnits = "kmgtp";
  constexpr double kMost = 1e18;
  double number = 0;
  const auto parsed =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  std::string unit(Trim({parsed.ptr, static_cast<size_t>(text.data() + text.size() - parsed.ptr)}));
  for (char& c : unit) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c;
  if (unit.ends_with('b')) unit.pop_back();
  if (unit.size() == 2 && unit.ends_with('i')) unit.pop_back();
  const size_t power = unit.empty() ? 0 : kUnits.find(unit) + 1;
  if (parsed.ec != std::errc() || text.starts_with('-') || unit.size() > 1 ||
      (!unit.empty() && power == 0))
    return InvalidArgument("invalid size: '{}'", text);
  for (size_t i = 0; i < power; ++i) number *= 1000;
  if (number < 1 || number > kMost) return InvalidArgument("max-size must be a positive number");
  return static_cast<uint64_t>(number);
}

Status ParseOption(const std::string& name, const std::string& value, LogOptions* out) {
  if (name == "max-size") {
    ASSIGN_OR_RETURN(out->max_size, ParseSize(value));
    return OkStatus();
  }
  if (name == "max-file") {
    const char* end = value.data() + value.size();
    const auto parsed = std::from_chars(value.data(), end, out->max_file);
    if (parsed.ec != std::errc() || parsed.ptr != end)
      return InvalidArgument("max-file: invalid number '{}'", value);
    return out->max_file == 0 ? InvalidArgument("max-file cannot be less than 1") : OkStatus();
  }
  if (name == "compress") {
    if (value != "true" && value != "false")
      return InvalidArgument("compress: '{}' is neither true nor false", value);
    out->compress = value == "true";
    return OkStatus();
  }
  return InvalidArgument("unknown log opt '{}' for json-file log driver", name);
}

}  // namespace

StatusOr<LogOptions> ParseLogConfig(const ocid::v1::LogConfig& config) {
  LogOptions out;
  out.kept = config.type() != "none";
  if (out.kept && !config.type().empty() && config.type() != "json-file")
    return Unsupported("--log-driver {} is not supported yet", config.type());
  for (const auto& [name, value] : config.options()) {
    if (!out.kept) return InvalidArgument("unknown log opt '{}' for none log driver", name);
    RETURN_IF_ERROR(ParseOption(name, value, &out));
  }
  if (out.compress && (out.max_file < 2 || out.max_size == 0))
    return InvalidArgument(
        "compress cannot be true when max-file is less than 2 or max-size is not set");
  return out;
}

}  // namespace ocirun::container
