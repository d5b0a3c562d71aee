// SPDX-License-Identifier: Apache-2.0
#include "shim/log_writer.h"

#include <algorithm>

namespace ocirun::shim {
namespace {

constexpr size_t kBatch = 128 * 1024;  // of lines for one write(2)

}  // namespace

StatusOr<std::unique_ptr<LogWriter>> LogWriter::Open(const LogFormat& format, Loop* loop,
                                                     LogFile::Options options) {
  ASSIGN_OR_RETURN(std::unique_ptr<LogFile> file, LogFile::Open(loop, std::move(options)));
  return std::unique_ptr<LogWriter>(new LogWriter(format, std::move(file)));
}

Status LogWriter::Append(Stream stream, std::string_view data, UnixNanos now) {
  Partial& partial = partial_[static_cast<int>(stream)];
  // A format that does not count the newline sees one byte more before it knows that a line is
  // too long.
  const size_t most = format_.max_piece + (format_.counts_newline ? 0 : 1);
  const std::string now_text = FormatRfc3339Nano(now);
  // One buffer for all logs of the process, so that the batches of a busy one cost no new memory.
  static std::string lines;
  lines.clear();
  Status status;
  while (!data.empty()) {
    const std::string_view next = data.substr(0, most - partial.text.size());
    const size_t newline = next.find('\n');
    const bool whole = newline != std::string_view::npos;
    const std::string_view piece = whole ? next.substr(0, newline + 1) : next;
    data.remove_prefix(piece.size());
    if (partial.first == 0 && whole) {
      format_.append({stream, piece, now_text}, &lines);
    } else {
      if (partial.first == 0) partial.first = now;
      partial.text += piece;
      if (!whole && partial.text.size() < most) break;
      const std::string_view text = partial.text;
      const size_t length = whole ? text.size() : format_.max_piece;
      format_.append({stream, text.substr(0, length), FormatRfc3339Nano(partial.first)}, &lines);
      partial.text.erase(0, length);
      if (whole) partial.first = 0;
    }
    if (lines.size() < std::min<uint64_t>(kBatch, file_->Room())) continue;
    status.Update(file_->Write(lines));
    lines.clear();
  }
  status.Update(file_->Write(lines));
  return status;
}

Status LogWriter::Finish(UnixNanos now) {
  std::string lines;
  for (const Stream stream : {Stream::kStdout, Stream::kStderr}) {
    Partial& partial = partial_[static_cast<int>(stream)];
    const UnixNanos time = partial.first == 0 ? now : partial.first;
    if (!partial.text.empty())
      format_.append({stream, partial.text, FormatRfc3339Nano(time)}, &lines);
    partial = Partial();
  }
  return file_->Write(lines);
}

}  // namespace ocirun::shim
