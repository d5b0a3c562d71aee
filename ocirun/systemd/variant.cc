// SPDX-License-Identifier: Apache-2.0
#include "ocirun/systemd/variant.h"

#include <cctype>
#include <charconv>
#include <limits>
#include <type_traits>

namespace ocirun::systemd {
namespace {

constexpr int kMaxDepth = 16;
constexpr size_t kMaxSignature = 255;  // of D-Bus

constexpr struct {
  std::string_view name, type;
} kTypeNames[] = {{"boolean", "b"},  {"byte", "y"},   {"int16", "n"},  {"uint16", "q"},
                  {"int32", "i"},    {"handle", "h"}, {"uint32", "u"}, {"int64", "x"},
                  {"uint64", "t"},   {"double", "d"}, {"string", "s"}, {"objectpath", "o"},
                  {"signature", "g"}};

bool IsNumber(std::string_view type) {
  return type.size() == 1 && std::string_view("ynqiuxthd").find(type[0]) != std::string_view::npos;
}
bool IsString(std::string_view type) { return type == "s" || type == "o" || type == "g"; }

// The length of the first complete type of a signature; 0 when it begins with none.
size_t TypeLength(std::string_view signature) {
  if (signature.empty()) return 0;
  if (IsNumber(signature.substr(0, 1)) || IsString(signature.substr(0, 1)) || signature[0] == 'b')
    return 1;
  if (signature[0] == 'a') {
    const size_t element = TypeLength(signature.substr(1));
    return element == 0 ? 0 : element + 1;
  }
  if (signature[0] != '(') return 0;
  size_t at = 1;
  while (at < signature.size() && signature[at] != ')') {
    const size_t member = TypeLength(signature.substr(at));
    if (member == 0) return 0;
    at += member;
  }
  return at > 1 && at < signature.size() ? at + 1 : 0;
}

template <typename Number>
bool Fits(std::string_view digits, bool negative, int base) {
  uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, value, base);
  if (parsed.ec != std::errc() || parsed.ptr != end) return false;
  const auto max = static_cast<uint64_t>(std::numeric_limits<Number>::max());
  if (!negative) return value <= max;
  return std::is_signed_v<Number> ? value <= max + 1 : value == 0;
}

bool FitsType(char type, std::string_view digits, bool negative, int base) {
  switch (type) {
    case 'y':
      return Fits<uint8_t>(digits, negative, base);
    case 'n':
      return Fits<int16_t>(digits, negative, base);
    case 'q':
      return Fits<uint16_t>(digits, negative, base);
    case 'u':
      return Fits<uint32_t>(digits, negative, base);
    case 'x':
      return Fits<int64_t>(digits, negative, base);
    case 't':
      return Fits<uint64_t>(digits, negative, base);
    default:
      return Fits<int32_t>(digits, negative, base);
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  StatusOr<Variant> All() {
    ASSIGN_OR_RETURN(Variant value, Value("", 0));
    SkipSpace();
    if (at_ != text_.size()) return Bad("unexpected text");
    return value;
  }

 private:
  Status Bad(std::string_view what) const {
    return InvalidArgument("{:?}: {} at character {}", text_, what, at_ + 1);
  }
  void SkipSpace() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n'))
      ++at_;
  }
  bool Take(char c) {
    SkipSpace();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string_view Word() {
    const size_t begin = at_;
    while (at_ < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
            std::string_view("+-.").find(text_[at_]) != std::string_view::npos))
      ++at_;
    return text_.substr(begin, at_ - begin);
  }

  // `wanted` is the type that the value must have; empty: its own.
  StatusOr<Variant> Value(std::string wanted, int depth) {
    if (depth > kMaxDepth) return Bad("too deeply nested");
    SkipSpace();
    if (at_ == text_.size()) return Bad("a value is missing");
    const char c = text_[at_];
    if (c == '@') return Typed(wanted, depth);
    if (c == '[') return Array(std::move(wanted), depth);
    if (c == '(') return Tuple(wanted, depth);
    if (c == '\'' || c == '"') return String(std::move(wanted));
    const size_t begin = at_;
    const std::string_view word = Word();
    if (word.empty()) return Bad("a value is missing");
    for (const auto& known : kTypeNames) {
      if (word != known.name) continue;
      if (!wanted.empty() && wanted != known.type) return Bad("a value of another type");
      return Value(std::string(known.type), depth + 1);
    }
    if (word == "true" || word == "false") {
      if (!wanted.empty() && wanted != "b") return Bad("a boolean where there must be none");
      return Variant{"b", std::string(word), {}};
    }
    at_ = begin;
    return Number(std::move(wanted));
  }

  StatusOr<Variant> Typed(const std::string& wanted, int depth) {
    ++at_;
    const size_t length = TypeLength(text_.substr(at_, kMaxSignature));
    if (length == 0) return Bad("a type is missing");
    std::string type(text_.substr(at_, length));
    if (!wanted.empty() && wanted != type) return Bad("a value of another type");
    at_ += length;
    return Value(std::move(type), depth + 1);
  }

  StatusOr<Variant> Array(std::string wanted, int depth) {
    if (!wanted.empty() && wanted[0] != 'a') return Bad("an array where there must be none");
    ++at_;
    Variant out{std::move(wanted), {}, {}};
    if (Take(']')) {
      if (out.type.empty()) return Bad("an empty array without a type");
      return out;
    }
    do {
      ASSIGN_OR_RETURN(Variant element,
                       Value(out.type.empty() ? "" : out.type.substr(1), depth + 1));
      if (out.type.empty()) out.type = "a" + element.type;
      out.children.push_back(std::move(element));
    } while (Take(','));
    if (!Take(']')) return Bad("] is missing");
    return out;
  }

  StatusOr<Variant> Tuple(const std::string& wanted, int depth) {
    if (!wanted.empty() && wanted[0] != '(') return Bad("a tuple where there must be none");
    ++at_;
    std::string_view left =
        wanted.empty() ? std::string_view() : std::string_view(wanted).substr(1);
    Variant out{"(", {}, {}};
    do {
      const size_t length = TypeLength(left);
      if (!wanted.empty() && length == 0) return Bad("too many members");
      ASSIGN_OR_RETURN(Variant member, Value(std::string(left.substr(0, length)), depth + 1));
      left.remove_prefix(length);
      out.type += member.type;
      out.children.push_back(std::move(member));
    } while (Take(','));
    if (!Take(')')) return Bad(") is missing");
    out.type += ')';
    if (!wanted.empty() && out.type != wanted) return Bad("too few members");
    return out;
  }

  StatusOr<Variant> String(std::string wanted) {
    if (!wanted.empty() && !IsString(wanted)) return Bad("a string where there must be none");
    Variant out{wanted.empty() ? "s" : std::move(wanted), {}, {}};
    const char quote = text_[at_++];
    for (; at_ < text_.size() && text_[at_] != quote; ++at_) {
      char c = text_[at_];
      if (c == '\\' && at_ + 1 < text_.size()) {
        c = text_[++at_];
        c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
      }
      out.text += c;
    }
    if (at_ == text_.size()) return Bad("the end of a string is missing");
    ++at_;
    return out;
  }

  StatusOr<Variant> Number(std::string wanted) {
    if (!wanted.empty() && !IsNumber(wanted)) return Bad("a value of another type");
    std::string_view word = Word();
    Variant out{std::move(wanted), std::string(word), {}};
    const bool negative = word[0] == '-';
    if (negative || word[0] == '+') word.remove_prefix(1);
    const int base = word.size() > 2 && word[0] == '0' && (word[1] | 0x20) == 'x' ? 16 : 10;
    if (base == 16) word.remove_prefix(2);
    if (out.type.empty())
      out.type = base == 10 && word.find_first_of(".eE") != std::string_view::npos ? "d" : "i";
    if (out.type == "d") {
      double value = 0;
      const char* end = word.data() + word.size();
      const auto parsed = std::from_chars(word.data(), end, value);
      if (parsed.ec != std::errc() || parsed.ptr != end) return Bad("no number");
      if (negative) value = -value;
      out.text = fmt::format("{}", value);
      return out;
    }
    if (!FitsType(out.type[0], word, negative, base)) return Bad("no number of its type");
    uint64_t value = 0;
    std::from_chars(word.data(), word.data() + word.size(), value, base);
    out.text = fmt::format("{}{}", negative && value != 0 ? "-" : "", value);
    return out;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

StatusOr<Variant> ParseVariant(std::string_view text) { return Parser(text).All(); }

}  // namespace ocirun::systemd
