// SPDX-License-Identifier: Apache-2.0
#include "ocirun/systemd/property.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace ocirun::systemd {

Status ConvertSeconds(Property* property) {
  constexpr std::string_view kSuffix = "Sec";
  std::string& name = property->name;
  if (name.size() <= kSuffix.size() || !name.ends_with(kSuffix)) return OkStatus();
  const char before = name[name.size() - kSuffix.size() - 1];
  if (before < 'a' || before > 'z') return OkStatus();  // "USec"
  double seconds = 0;
  const std::string& text = property->value.text;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seconds);
  constexpr double kMicroseconds = 1e6, kMax = 1.8e13;
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || text.empty() ||
      seconds < 0 || seconds > kMax)
    return InvalidArgument("{}: must be a number of seconds", name);
  name.insert(name.size() - kSuffix.size(), "U");
  property->value = {"t", std::to_string(static_cast<uint64_t>(seconds * kMicroseconds)), {}};
  return OkStatus();
}

StatusOr<Request> ParseRequest(const std::string& message) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(message));
  const JsonView view(json);
  Request out;
  ASSIGN_OR_RETURN(out.call, StringOr(view, "call", ""));
  ASSIGN_OR_RETURN(out.bus, StringOr(view, "bus", ""));
  ASSIGN_OR_RETURN(out.unit, StringOr(view, "unit", ""));
  ASSIGN_OR_RETURN(out.below, StringOr(view, "below", "/"));
  ASSIGN_OR_RETURN(const auto pid, OptionalUInt32(view, "pid"));
  out.pid = pid.value_or(0);
  ASSIGN_OR_RETURN(const std::vector<std::string> optional, StringsOf(view, "optional"));
  ASSIGN_OR_RETURN(const JsonView properties, view.Get("properties"));
  ASSIGN_OR_RETURN(const auto elements, properties.Elements());
  for (const JsonView& element : elements) {
    ASSIGN_OR_RETURN(const std::vector<std::string> pair, element.Strings());
    if (pair.size() != 2) return element.Bad("must be a name and a value");
    auto value = ParseVariant(pair[1]);
    if (!value.ok()) return Annotate(value.status(), pair[0]);
    Property property{pair[0], std::move(*value),
                      std::find(optional.begin(), optional.end(), pair[0]) != optional.end()};
    RETURN_IF_ERROR(ConvertSeconds(&property));
    out.properties.push_back(std::move(property));
  }
  return out;
}

std::string LeaveOut(std::string_view error, std::vector<Property>* properties) {
  const std::vector<std::string_view> words = SplitWords(error, " ,.'\"=");
  const auto named = std::find_if(properties->begin(), properties->end(), [&](const Property& p) {
    return p.optional && std::find(words.begin(), words.end(), p.name) != words.end();
  });
  if (named == properties->end()) return {};
  std::string name = named->name;
  properties->erase(named);
  return name;
}

}  // namespace ocirun::systemd
