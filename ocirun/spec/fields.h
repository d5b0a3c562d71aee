// SPDX-License-Identifier: Apache-2.0
//
// Between the parse_*.cc files: reading fields of JSON objects into the model. Not for others.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "ocirun/spec/spec.h"

namespace ocirun::oci {

// Refuses fields that the specification knows and that this runtime does not do. A zero value
// (empty string, empty array, 0, false) asks for nothing and is let through, as Go's encoders write
// it.
Status RefuseUnsupported(const JsonView& view, std::initializer_list<std::string_view> keys);

// Refuses a document with a NUL byte in a string or a key: what takes it in the end is the kernel,
// which would take another, shorter word.
Status CheckNoNul(const Json& document);
StatusOr<uint16_t> UInt16(const JsonView& view);
Status ReadStringMap(const JsonView& parent, std::string_view key,
                     std::map<std::string, std::string>* out);

// One member read by `parse` into `*out`, left alone when it is absent.
template <typename T, typename Parse>
Status ReadInto(const JsonView& parent, std::string_view key, T* out, Parse parse) {
  ASSIGN_OR_RETURN(const JsonView view, parent.Get(key));
  if (!view.present()) return OkStatus();
  ASSIGN_OR_RETURN(auto value, parse(view));
  *out = std::move(value);
  return OkStatus();
}

// The elements of an array, each read by `parse`.
template <typename T, typename Parse>
Status ReadList(const JsonView& parent, std::string_view key, std::vector<T>* out, Parse parse) {
  ASSIGN_OR_RETURN(const JsonView array, parent.Get(key));
  ASSIGN_OR_RETURN(const std::vector<JsonView> elements, array.Elements());
  out->reserve(elements.size());
  for (const JsonView& element : elements) {
    ASSIGN_OR_RETURN(T value, parse(element));
    out->push_back(std::move(value));
  }
  return OkStatus();
}

// The members of an object, each read by `parse`.
template <typename T, typename Parse>
Status ReadMap(const JsonView& parent, std::string_view key, std::map<std::string, T>* out,
               Parse parse) {
  ASSIGN_OR_RETURN(const JsonView object, parent.Get(key));
  ASSIGN_OR_RETURN(const auto members, object.Members());
  for (const auto& [name, view] : members) {
    ASSIGN_OR_RETURN(T value, parse(view));
    out->emplace(name, std::move(value));
  }
  return OkStatus();
}

// A word of config.json and the kernel's number for it.
struct NamedNumber {
  std::string_view name;
  uint64_t number;
};

// The number of the word that `view` holds; InvalidArgument `unknown <what> "..."`.
template <size_t N>
StatusOr<uint64_t> NumberOf(const JsonView& view, const NamedNumber (&table)[N],
                            std::string_view what) {
  ASSIGN_OR_RETURN(const std::string word, view.String());
  for (const NamedNumber& entry : table)
    if (entry.name == word) return entry.number;
  return view.Bad(fmt::format("unknown {} {:?}", what, word));
}

// The numbers of an array's words, or'ed.
template <size_t N>
StatusOr<uint64_t> FlagsOf(const JsonView& parent, std::string_view key,
                           const NamedNumber (&table)[N], std::string_view what) {
  std::vector<uint64_t> each;
  RETURN_IF_ERROR(ReadList(parent, key, &each,
                           [&](const JsonView& view) { return NumberOf(view, table, what); }));
  uint64_t all = 0;
  for (const uint64_t flag : each) all |= flag;
  return all;
}

StatusOr<Process> ParseProcessView(const JsonView& view, std::vector<std::string>* warnings);
StatusOr<IdMapping> ParseIdMapping(const JsonView& view);
StatusOr<Linux> ParseLinux(const JsonView& view);
StatusOr<Resources> ParseResourcesView(const JsonView& view);
StatusOr<Seccomp> ParseSeccomp(const JsonView& view);

}  // namespace ocirun::oci
