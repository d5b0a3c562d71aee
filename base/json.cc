// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <limits>

#include "base/text.h"

namespace ocirun {
namespace {

constexpr int kMaxDepth = 64;

std::string Position(std::string_view text, size_t offset) {
  size_t line = 1, column = 1;
  for (size_t i = 0; i + 1 < offset && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  return fmt::format("line {}, column {}", line, column);
}

}  // namespace

StatusOr<Json> ParseJson(std::string_view text, size_t limit) {
  if (text.size() > limit)
    return Error(StatusCode::kResourceExhausted, "JSON of more than {} bytes", limit);
  bool too_deep = false;
  const Json::parser_callback_t watch = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) too_deep = true;
    return !too_deep;
  };
  try {
    Json value = Json::parse(text.begin(), text.end(), watch, /*allow_exceptions=*/true);
    if (too_deep) return InvalidArgument("JSON nested deeper than {} levels", kMaxDepth);
    return value;
  } catch (const Json::parse_error& e) {
    if (too_deep) return InvalidArgument("JSON nested deeper than {} levels", kMaxDepth);
    return InvalidArgument("{}: not valid JSON", Position(text, e.byte));
  } catch (const std::exception& e) {
    return InvalidArgument("not valid JSON: {}", e.what());
  }
}

StatusOr<JsonView> JsonView::Get(std::string_view key) const {
  std::string path = path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
  if (!present()) return JsonView(nullptr, std::move(path));
  if (!value_->is_object()) return WrongType("an object");
  auto it = value_->find(key);
  // Go's encoding/json, with which most of these files are written and read, takes a name that
  // differs in its case.
  for (auto other = value_->begin(); it == value_->end() && other != value_->end(); ++other)
    if (EqualsIgnoringCase(other.key(), key)) it = other;
  return JsonView(it == value_->end() ? nullptr : &*it, std::move(path));
}

StatusOr<std::vector<JsonView>> JsonView::Elements() const {
  std::vector<JsonView> out;
  if (!present()) return out;
  if (!value_->is_array()) return WrongType("an array");
  out.reserve(value_->size());
  for (size_t i = 0; i < value_->size(); ++i)
    out.push_back(JsonView(&(*value_)[i], fmt::format("{}[{}]", path_, i)));
  return out;
}

StatusOr<std::vector<std::pair<std::string, JsonView>>> JsonView::Members() const {
  std::vector<std::pair<std::string, JsonView>> out;
  if (!present()) return out;
  if (!value_->is_object()) return WrongType("an object");
  for (const auto& [key, value] : value_->items())
    out.emplace_back(key, JsonView(&value, path_.empty() ? key : fmt::format("{}.{}", path_, key)));
  return out;
}

StatusOr<std::string> JsonView::String() const {
  if (!present() || !value_->is_string()) return WrongType("a string");
  return value_->get<std::string>();
}

StatusOr<bool> JsonView::Bool() const {
  if (!present() || !value_->is_boolean()) return WrongType("true or false");
  return value_->get<bool>();
}

StatusOr<int64_t> JsonView::Int64() const {
  if (!present() || !value_->is_number_integer()) return WrongType("an integer");
  if (value_->is_number_unsigned() &&
      value_->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    return Bad("number out of range");
  return value_->get<int64_t>();
}

StatusOr<uint64_t> JsonView::UInt64() const {
  if (!present() || !value_->is_number_integer()) return WrongType("an integer");
  if (!value_->is_number_unsigned() && value_->get<int64_t>() < 0)
    return Bad("must not be negative");
  return value_->get<uint64_t>();
}

StatusOr<uint32_t> JsonView::UInt32() const {
  ASSIGN_OR_RETURN(const uint64_t wide, UInt64());
  if (wide > std::numeric_limits<uint32_t>::max()) return Bad("number out of range");
  return static_cast<uint32_t>(wide);
}

StatusOr<std::vector<std::string>> JsonView::Strings() const {
  ASSIGN_OR_RETURN(const std::vector<JsonView> elements, Elements());
  std::vector<std::string> out;
  out.reserve(elements.size());
  for (const JsonView& element : elements) {
    ASSIGN_OR_RETURN(std::string text, element.String());
    out.push_back(std::move(text));
  }
  return out;
}

Status JsonView::Bad(std::string_view text) const {
  return InvalidArgument("{}: {}", path_.empty() ? "document" : path_, text);
}

Status JsonView::WrongType(std::string_view wanted) const {
  if (!present()) return Bad(fmt::format("is missing, must be {}", wanted));
  return Bad(fmt::format("must be {}, not {}", wanted, value_->type_name()));
}

StatusOr<std::string> StringOr(const JsonView& view, std::string_view key, std::string fallback) {
  ASSIGN_OR_RETURN(const JsonView field, view.Get(key));
  if (!field.present()) return fallback;
  return field.String();
}

StatusOr<bool> BoolOr(const JsonView& view, std::string_view key, bool fallback) {
  ASSIGN_OR_RETURN(const JsonView field, view.Get(key));
  if (!field.present()) return fallback;
  return field.Bool();
}

namespace {
template <typename T>
StatusOr<std::optional<T>> Optional(const JsonView& view, std::string_view key,
                                    StatusOr<T> (JsonView::*read)() const) {
  ASSIGN_OR_RETURN(const JsonView field, view.Get(key));
  if (!field.present()) return std::optional<T>();
  ASSIGN_OR_RETURN(T value, (field.*read)());
  return std::optional<T>(std::move(value));
}
}  // namespace

StatusOr<std::optional<int64_t>> OptionalInt64(const JsonView& view, std::string_view key) {
  return Optional<int64_t>(view, key, &JsonView::Int64);
}
StatusOr<std::optional<uint64_t>> OptionalUInt64(const JsonView& view, std::string_view key) {
  return Optional<uint64_t>(view, key, &JsonView::UInt64);
}
StatusOr<std::optional<uint32_t>> OptionalUInt32(const JsonView& view, std::string_view key) {
  return Optional<uint32_t>(view, key, &JsonView::UInt32);
}

StatusOr<std::vector<std::string>> StringsOf(const JsonView& view, std::string_view key) {
  ASSIGN_OR_RETURN(const JsonView field, view.Get(key));
  return field.Strings();
}

}  // namespace ocirun
