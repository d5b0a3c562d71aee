// SPDX-License-Identifier: Apache-2.0
#include "ocirun/spec/fields.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace ocirun::oci {

Status RefuseUnsupported(const JsonView& view, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    ASSIGN_OR_RETURN(const JsonView field, view.Get(key));
    if (!field.present()) continue;
    const Json& value = *field.raw();
    const bool asks_nothing = (value.is_string() && value.get_ref<const std::string&>().empty()) ||
                              (value.is_structured() && value.empty()) ||
                              (value.is_number() && value == 0) || value == false;
    if (!asks_nothing) return Unsupported("{}: not supported", field.path());
  }
  return OkStatus();
}

namespace {

bool HoldsNul(const std::string& text) { return text.find('\0') != std::string::npos; }

// The path of the first string or key below `value` that holds a NUL byte, put together on the way
// back: "[3].env.mounts" in reverse.
bool FindNul(const Json& value, std::string* path) {
  if (value.is_string()) return HoldsNul(value.get_ref<const std::string&>());
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      if (!FindNul(value[i], path)) continue;
      *path = fmt::format("[{}]{}", i, *path);
      return true;
    }
  }
  if (!value.is_object()) return false;
  for (const auto& [key, member] : value.items()) {
    if (!HoldsNul(key) && !FindNul(member, path)) continue;
    *path = fmt::format(".{}{}", HoldsNul(key) ? fmt::format("{:?}", key) : key, *path);
    return true;
  }
  return false;
}

}  // namespace

Status CheckNoNul(const Json& document) {
  std::string path;
  if (!FindNul(document, &path)) return OkStatus();
  return InvalidArgument("{}: holds a NUL byte", path.empty() ? "document" : path.substr(1));
}

Status ReadStringMap(const JsonView& parent, std::string_view key,
                     std::map<std::string, std::string>* out) {
  ASSIGN_OR_RETURN(const JsonView object, parent.Get(key));
  ASSIGN_OR_RETURN(const auto members, object.Members());
  for (const auto& [name, value] : members) {
    ASSIGN_OR_RETURN(std::string text, value.String());
    out->emplace(name, std::move(text));
  }
  return OkStatus();
}

StatusOr<uint16_t> UInt16(const JsonView& view) {
  ASSIGN_OR_RETURN(const uint32_t wide, view.UInt32());
  if (wide > std::numeric_limits<uint16_t>::max()) return view.Bad("number out of range");
  return static_cast<uint16_t>(wide);
}

StatusOr<std::vector<unsigned>> ParseNumberList(std::string_view text) {
  constexpr unsigned kMax = 1u << 16;
  // A set and not a list: "0-65535" a hundred thousand times is still this many numbers.
  std::vector<bool> named;
  const auto bad = [&] {
    return InvalidArgument("{:?} is not a list like 0-3,7", text.substr(0, 100));
  };
  const char* at = text.data();
  const char* end = at + text.size();
  while (at != end && (end[-1] == '\n' || end[-1] == ' ')) --end;
  while (at != end) {
    while (at != end && *at == ' ') ++at;
    unsigned first = 0;
    auto parsed = std::from_chars(at, end, first);
    if (parsed.ec != std::errc()) return bad();
    unsigned last = first;
    if (parsed.ptr != end && *parsed.ptr == '-') {
      parsed = std::from_chars(parsed.ptr + 1, end, last);
      if (parsed.ec != std::errc()) return bad();
    }
    if (last < first || last >= kMax) return bad();
    if (named.size() <= last) named.resize(last + 1);
    std::fill(named.begin() + first, named.begin() + last + 1, true);
    at = parsed.ptr;
    if (at == end) break;
    if (*at != ',' || ++at == end) return bad();
  }
  std::vector<unsigned> out;
  for (unsigned number = 0; number < named.size(); ++number)
    if (named[number]) out.push_back(number);
  return out;
}

}  // namespace ocirun::oci
