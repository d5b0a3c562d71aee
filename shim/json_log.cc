// SPDX-License-Identifier: Apache-2.0
#include "shim/json_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "base/sys/file.h"

namespace ocirun::shim {
namespace {

constexpr size_t kMaxPiece = 16 * 1024;
constexpr size_t kBatch = 128 * 1024;  // of lines for one write(2)

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

void AppendLine(Stream stream, std::string_view text, std::string_view time, std::string* out) {
  *out += R"({"log":")";
  AppendEscaped(text, out);
  *out += stream == Stream::kStdout ? R"(","stream":"stdout","time":")"
                                    : R"(","stream":"stderr","time":")";
  *out += time;
  *out += "\"}\n";
}

}  // namespace

void AppendLogLine(Stream stream, std::string_view text, UnixNanos time, std::string* out) {
  AppendLine(stream, text, FormatRfc3339Nano(time), out);
}

StatusOr<std::unique_ptr<JsonLog>> JsonLog::Open(std::string path, uint64_t max_size,
                                                 unsigned max_file) {
  ASSIGN_OR_RETURN(UniqueFd file, sys::Open(path, O_WRONLY | O_APPEND | O_CREAT, 0640));
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(file));
  return std::unique_ptr<JsonLog>(new JsonLog(std::move(path), max_size, max_file, std::move(file),
                                              static_cast<uint64_t>(st.st_size)));
}

JsonLog::JsonLog(std::string path, uint64_t max_size, unsigned max_file, UniqueFd file,
                 uint64_t size)
    : path_(std::move(path)),
      max_size_(max_size),
      max_file_(max_file),
      file_(std::move(file)),
      size_(size) {}

Status JsonLog::Append(Stream stream, std::string_view data, UnixNanos now) {
  Partial& partial = partial_[static_cast<int>(stream)];
  const std::string now_text = FormatRfc3339Nano(now);
  // One buffer for all logs of the process, so that the batches of a busy one cost no new memory.
  static std::string lines;
  lines.clear();
  Status status;
  while (!data.empty()) {
    const size_t newline = data.find('\n');
    const size_t room = kMaxPiece - partial.text.size();
    const size_t take =
        std::min({newline == std::string_view::npos ? data.size() : newline + 1, room});
    const std::string_view piece = data.substr(0, take);
    data.remove_prefix(take);
    const bool whole = piece.back() == '\n';
    if (partial.first == 0 && whole) {
      AppendLine(stream, piece, now_text, &lines);
    } else {
      if (partial.first == 0) partial.first = now;
      partial.text += piece;
      if (!whole && partial.text.size() < kMaxPiece) break;
      AppendLogLine(stream, partial.text, partial.first, &lines);
      partial.text.clear();
      if (whole) partial.first = 0;
    }
    if (lines.size() < kBatch) continue;
    status.Update(Write(lines));
    lines.clear();
  }
  status.Update(Write(lines));
  return status;
}

Status JsonLog::Finish(UnixNanos now) {
  std::string lines;
  for (const Stream stream : {Stream::kStdout, Stream::kStderr}) {
    Partial& partial = partial_[static_cast<int>(stream)];
    if (partial.text.empty()) continue;
    AppendLogLine(stream, partial.text, partial.first == 0 ? now : partial.first, &lines);
    partial = Partial();
  }
  return Write(lines);
}

// A file is never cut inside a line; it may pass max_size by what one call brought.
Status JsonLog::Write(std::string_view lines) {
  if (lines.empty()) return OkStatus();
  if (max_size_ != 0 && size_ >= max_size_) RETURN_IF_ERROR(Rotate());
  RETURN_IF_ERROR(Annotate(sys::WriteAll(file_, lines), path_));
  size_ += lines.size();
  return OkStatus();
}

Status JsonLog::Rotate() {
  if (max_file_ == 1) {
    RETURN_IF_ERROR(sys::Unlink(path_));
  } else {
    for (unsigned number = max_file_ - 1; number > 1; --number) {
      const Status moved =
          sys::Rename(fmt::format("{}.{}", path_, number - 1), fmt::format("{}.{}", path_, number));
      if (!moved.ok() && ErrnoOf(moved) != ENOENT) return moved;
    }
    RETURN_IF_ERROR(sys::Rename(path_, path_ + ".1"));
  }
  ASSIGN_OR_RETURN(file_, sys::Open(path_, O_WRONLY | O_APPEND | O_CREAT | O_EXCL, 0640));
  size_ = 0;
  return OkStatus();
}

}  // namespace ocirun::shim
