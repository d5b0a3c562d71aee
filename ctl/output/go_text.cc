// SPDX-License-Identifier: Apache-2.0
#include "ctl/output/go_text.h"

#include <fmt/format.h>

#include <cctype>
#include <map>

namespace ocirun::ctl {
namespace {

// One %-directive: flags, width, precision, verb.
struct Directive {
  bool minus = false, plus = false, zero = false, space = false, sharp = false;
  size_t width = 0;
  int precision = -1;
  char verb = 0;
};

std::string Mismatch(char verb, const OrderedJson& value) {
  if (value.is_null()) return fmt::format("%!{}(<nil>)", verb);
  return fmt::format("%!{}({}={})", verb, TypeName(value), TextOf(value));
}

std::string Hex(const std::string& bytes, bool upper) {
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += upper ? fmt::format("{:02X}", byte) : fmt::format("{:02x}", byte);
  }
  return text;
}

std::string Integer(const Directive& d, const OrderedJson& value) {
  const bool negative = value < 0;
  const uint64_t magnitude = value.is_number_unsigned() ? value.get<uint64_t>()
                             : negative ? 0 - static_cast<uint64_t>(value.get<int64_t>())
                                        : static_cast<uint64_t>(value.get<int64_t>());
  std::string digits;
  if (d.verb == 'x') digits = fmt::format("{}{:x}", d.sharp ? "0x" : "", magnitude);
  if (d.verb == 'X') digits = fmt::format("{}{:X}", d.sharp ? "0X" : "", magnitude);
  if (d.verb == 'o') digits = fmt::format("{}{:o}", d.sharp ? "0" : "", magnitude);
  if (d.verb == 'b') digits = fmt::format("{:b}", magnitude);
  if (d.verb == 'U') return fmt::format("U+{:04X}", magnitude);
  if (d.verb == 'c') return std::string(1, static_cast<char>(magnitude));
  if (digits.empty()) digits = std::to_string(magnitude);
  const std::string sign = negative ? "-" : d.plus ? "+" : d.space ? " " : "";
  if (d.zero && !d.minus && digits.size() + sign.size() < d.width) {
    digits.insert(0, d.width - digits.size() - sign.size(), '0');
  }
  return sign + digits;
}

std::string Float(const Directive& d, double value) {
  const std::string sign = d.plus ? "+" : d.space ? " " : "";
  const int precision = d.precision >= 0 ? d.precision : 6;
  std::string text;
  if (d.verb == 'f') text = fmt::format("{:.{}f}", value, precision);
  if (d.verb == 'e') text = fmt::format("{:.{}e}", value, precision);
  if (text.empty()) {
    text = d.precision >= 0 ? fmt::format("{:.{}g}", value, d.precision) : fmt::format("{}", value);
  }
  return (value < 0 ? "" : sign) + text;
}

std::string One(const Directive& d, const OrderedJson& value) {
  const std::string integers = "dxXobcU";
  const std::string floats = "feg";
  const bool is_int = value.is_number() && !value.is_number_float();
  if (d.verb == 'v') {
    if (is_int) return Integer(d, value);
    if (value.is_number_float()) return Float(d, value.get<double>());
    return value.is_null() ? "<nil>" : TextOf(value);
  }
  if (d.verb == 't') return value.is_boolean() ? TextOf(value) : Mismatch('t', value);
  if (value.is_string()) {
    const auto text = value.get<std::string>();
    if (d.verb == 's') {
      return d.precision >= 0 ? text.substr(0, static_cast<size_t>(d.precision)) : text;
    }
    if (d.verb == 'q') return Quote(text);
    if (d.verb == 'x' || d.verb == 'X') return Hex(text, d.verb == 'X');
    return Mismatch(d.verb, value);
  }
  if (is_int && integers.find(d.verb) != std::string::npos) return Integer(d, value);
  if (value.is_number_float() && floats.find(d.verb) != std::string::npos) {
    return Float(d, value.get<double>());
  }
  if (!value.is_structured()) return Mismatch(d.verb, value);
  // A verb goes on to what a list or map holds.
  std::string text;
  for (const auto& [key, element] : value.items()) {
    text += (text.empty() ? "" : " ") + (value.is_object() ? key + ":" : "") + One(d, element);
  }
  return (value.is_object() ? "map[" : "[") + text + "]";
}

}  // namespace

const char* TypeName(const OrderedJson& value) {
  if (value.is_string()) return "string";
  if (value.is_boolean()) return "bool";
  if (value.is_number_float()) return "float64";
  if (value.is_number()) return "int";
  if (value.is_array()) return "[]interface {}";
  return value.is_null() ? "<nil>" : "map[string]interface {}";
}

std::string Quote(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
      case '\\':
        quoted += std::string("\\") + c;
        break;
      case '\n':
        quoted += "\\n";
        break;
      case '\t':
        quoted += "\\t";
        break;
      case '\r':
        quoted += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        } else {
          quoted += c;
        }
    }
  }
  return quoted + '"';
}

std::string TextOf(const OrderedJson& value) {
  if (value.is_null()) return "<no value>";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) {
    std::string text = "[";
    for (const auto& element : value) text += (text.size() > 1 ? " " : "") + TextOf(element);
    return text + "]";
  }
  if (value.is_object()) {
    std::string text = "map[";
    std::map<std::string, OrderedJson> sorted;
    for (const auto& [key, element] : value.items()) sorted[key] = element;
    for (const auto& [key, element] : sorted) {
      text += (text.size() > 4 ? " " : "") + key + ":" + TextOf(element);
    }
    return text + "]";
  }
  if (value.is_number_float()) return fmt::format("{}", value.get<double>());
  return value.dump();
}

std::string GoPrintf(const std::string& format, const std::vector<OrderedJson>& arguments) {
  std::string out;
  size_t next = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    Directive d;
    for (++i; i < format.size(); ++i) {
      const char c = format[i];
      bool* const flag = c == '-'   ? &d.minus
                         : c == '+' ? &d.plus
                         : c == '0' ? &d.zero
                         : c == ' ' ? &d.space
                         : c == '#' ? &d.sharp
                                    : nullptr;
      if (flag == nullptr) break;
      *flag = true;
    }
    const auto digit = [&] { return i < format.size() && std::isdigit(format[i]) != 0; };
    constexpr size_t kWidest = 10'000;  // what follows is no width, but an attack on memory
    for (; digit(); ++i) {
      d.width = std::min(kWidest, d.width * 10 + static_cast<size_t>(format[i] - '0'));
    }
    if (i < format.size() && format[i] == '.') {
      d.precision = 0;
      for (++i; digit(); ++i) {
        d.precision = std::min(static_cast<int>(kWidest), d.precision * 10 + (format[i] - '0'));
      }
    }
    if (i >= format.size()) return out + "%!(NOVERB)";
    d.verb = format[i];
    if (d.verb == '%') {
      out += '%';
      continue;
    }
    if (next >= arguments.size()) {
      out += fmt::format("%!{}(MISSING)", d.verb);
      continue;
    }
    const std::string text = One(d, arguments[next++]);
    out += d.minus ? fmt::format("{:<{}}", text, d.width) : fmt::format("{:>{}}", text, d.width);
  }
  if (next < arguments.size()) {
    out += "%!(EXTRA ";
    for (size_t i = next; i < arguments.size(); ++i) {
      out += fmt::format("{}{}={}", i > next ? ", " : "", TypeName(arguments[i]),
                         TextOf(arguments[i]));
    }
    out += ')';
  }
  return out;
}

std::string HtmlEscape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string JsEscape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '\'' || c == '"') {
      out += std::string("\\") + c;
    } else if (std::string_view("<>&=").find(c) != std::string_view::npos ||
               static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out;
}

std::string QueryEscape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string_view("-_.~").find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += c == ' ' ? "+" : fmt::format("%{:02X}", byte);
    }
  }
  return out;
}

}  // namespace ocirun::ctl
