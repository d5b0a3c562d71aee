// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cgroup/device_rules.h"

namespace ocirun::cgroup {
namespace {

constexpr struct {
  char type;
  int64_t major, minor;  // -1: all
  const char* access;
} kDefaults[] = {
    {'c', -1, -1, "m"},    {'b', -1, -1, "m"}, {'c', 1, 3, "rwm"}, {'c', 1, 8, "rwm"},
    {'c', 1, 7, "rwm"},    {'c', 5, 0, "rwm"}, {'c', 1, 5, "rwm"}, {'c', 1, 9, "rwm"},
    {'c', 136, -1, "rwm"}, {'c', 5, 2, "rwm"},
};

std::optional<int64_t> Number(int64_t value) {
  return value < 0 ? std::nullopt : std::optional(value);
}

std::string Text(const std::optional<int64_t>& number) {
  return number.has_value() ? std::to_string(*number) : "*";
}

}  // namespace

std::vector<oci::DeviceRule> WithDefaults(const std::vector<oci::DeviceRule>& rules) {
  std::vector<oci::DeviceRule> all = rules;
  for (const auto& rule : kDefaults)
    all.push_back({true, rule.type, Number(rule.major), Number(rule.minor), rule.access});
  return all;
}

std::string FormatRule(const oci::DeviceRule& rule) {
  return fmt::format("{} {}:{} {}", rule.type, Text(rule.major), Text(rule.minor), rule.access);
}

}  // namespace ocirun::cgroup
