// SPDX-License-Identifier: Apache-2.0
//
// Reading JSON that strangers wrote, with the JSON path in every error:
//   process.capabilities.bounding[2]: must be a string, not a number
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ocirun {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

// Parses text of at most `limit` bytes and at most 64 levels deep. Does not throw.
// InvalidArgument "line L, column C: ..." when it is not JSON.
StatusOr<Json> ParseJson(std::string_view text, size_t limit = 16u << 20);

// A borrowed value and the path that leads to it. The Json must outlive it. A null value counts as
// absent, as Go's encoders write it.
class JsonView {
 public:
  explicit JsonView(const Json& root) : value_(&root) {}

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const Json* raw() const { return value_; }  // nullptr when absent
  [[nodiscard]] bool present() const { return value_ != nullptr && !value_->is_null(); }

  // Absent when this is absent or has no such key; InvalidArgument when this is not an object.
  StatusOr<JsonView> Get(std::string_view key) const;
  // The elements of an array; empty when absent.
  StatusOr<std::vector<JsonView>> Elements() const;
  // The members of an object, in key order; empty when absent.
  StatusOr<std::vector<std::pair<std::string, JsonView>>> Members() const;

  // Each is InvalidArgument with the path when absent, of another type or out of range.
  StatusOr<std::string> String() const;
  StatusOr<bool> Bool() const;
  StatusOr<int64_t> Int64() const;
  StatusOr<uint64_t> UInt64() const;
  StatusOr<uint32_t> UInt32() const;
  StatusOr<std::vector<std::string>> Strings() const;  // empty when absent

  // InvalidArgument "<path>: <text>".
  Status Bad(std::string_view text) const;

 private:
  JsonView(const Json* value, std::string path) : value_(value), path_(std::move(path)) {}
  Status WrongType(std::string_view wanted) const;

  const Json* value_ = nullptr;
  std::string path_;
};

// `view.Get(key)` and then its value; `fallback` when absent.
StatusOr<std::string> StringOr(const JsonView& view, std::string_view key, std::string fallback);
StatusOr<bool> BoolOr(const JsonView& view, std::string_view key, bool fallback);
StatusOr<std::optional<int64_t>> OptionalInt64(const JsonView& view, std::string_view key);
StatusOr<std::optional<uint64_t>> OptionalUInt64(const JsonView& view, std::string_view key);
StatusOr<std::optional<uint32_t>> OptionalUInt32(const JsonView& view, std::string_view key);
StatusOr<std::vector<std::string>> StringsOf(const JsonView& view, std::string_view key);

}  // namespace ocirun
