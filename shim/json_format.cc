// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "shim/log_writer.h"

namespace ocirun::shim {
namespace {

// Length of the valid UTF-8 sequence at the start of `text`; 0 when there is none.
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  size_t length = 0;
  unsigned char low = 0x80, high = 0xbf;  // of the second byte: no overlong forms, no surrogates
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  }
  if (length == 0 || text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i)
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  return length;
}

void AppendEscape(unsigned code, std::string* out) {
  constexpr char kHex[] = "0123456789abcdef";
  *out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) *out += kHex[code >> shift & 15];
}

// What stands for itself in a JSON string as Go's encoder writes it.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (int c = 0x20; c < 0x80; ++c)
    plain[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
  return plain;
}();

// The first character of `text`, which is not plain; its length.
size_t AppendSpecial(std::string_view text, std::string* out) {
  const char c = text[0];
  const size_t length = Utf8Length(text);
  if (length == 0) {
    *out += "\\ufffd";
    return 1;
  }
  if (length > 1) {
    const std::string_view character = text.substr(0, length);
    if (character == "\xe2\x80\xa8" || character == "\xe2\x80\xa9") {
      AppendEscape(text[2] == '\xa8' ? 0x2028 : 0x2029, out);
    } else {
      *out += character;
    }
    return length;
  }
  if (c == '"' || c == '\\') {
    *out += '\\';
    *out += c;
  } else if (c == '\n') {
    *out += "\\n";
  } else if (c == '\r') {
    *out += "\\r";
  } else {
    AppendEscape(static_cast<unsigned char>(c), out);
  }
  return 1;
}

// As Go's encoder writes strings: HTML's special characters and the two line separators escaped.
void AppendEscaped(std::string_view text, std::string* out) {
  while (!text.empty()) {
    size_t run = 0;
    while (run < text.size() && kPlain[static_cast<unsigned char>(text[run])]) ++run;
    out->append(text.substr(0, run));
    text.remove_prefix(run);
    if (!text.empty()) text.remove_prefix(AppendSpecial(text, out));
  }
}

void AppendJsonLine(const LogPiece& piece, std::string* out) {
  *out += R"({"log":")";
  AppendEscaped(piece.text, out);
  *out += piece.stream == Stream::kStdout ? R"(","stream":"stdout","time":")"
                                          : R"(","stream":"stderr","time":")";
  *out += piece.time;
  *out += "\"}\n";
}

}  // namespace

const LogFormat kJsonFormat = {
    .max_piece = 16 * 1024, .counts_newline = true, .append = AppendJsonLine};

}  // namespace ocirun::shim
