// SPDX-License-Identifier: Apache-2.0
//
// A container's log. Output comes in pieces of any size, of two streams; the log has lines. Both
// formats cut a long line into pieces of 16 KiB, and both give all pieces the time of the first.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/time.h"
#include "shim/log_file.h"

namespace ocirun::shim {

enum class Stream { kStdout = 0, kStderr = 1 };

// A piece of output as it becomes a line of the log.
struct LogPiece {
  Stream stream = Stream::kStdout;
  std::string_view text;  // with its newline, if it is the end of a line
  std::string_view time;  // RFC 3339
};

// What makes the one format and the other.
struct LogFormat {
  size_t max_piece;  // bytes of text
  bool counts_newline;
  void (*append)(const LogPiece& piece, std::string* out);
};

// {"log":"text\n","stream":"stdout","time":"2026-01-02T15:04:05.999999999Z"}
//
// Docker's json-file (formats.md 4.3): a piece that is not the end of its line has no newline.
// Bytes that are not UTF-8 become U+FFFD, each.
extern const LogFormat kJsonFormat;

// 2026-01-02T15:04:05.999999999Z stdout F text
//
// CRI's (cri-behaviour.md 4): P is a piece with more of its line to come, F the end of a line. The
// bytes stay as they are, but for a carriage return before the newline.
extern const LogFormat kCriFormat;

class LogWriter {
 public:
  // `loop` is borrowed, and used to compress alone.
  static StatusOr<std::unique_ptr<LogWriter>> Open(const LogFormat& format, Loop* loop,
                                                   LogFile::Options options);

  // Takes output as it comes; writes whole lines and full pieces, keeps the rest, in a write(2)
  // for each 128 KiB of them. A file is never cut inside a line, and passes its size by the line
  // that fills it.
  Status Append(Stream stream, std::string_view data, UnixNanos now);
  // Writes what is left of both streams: at the end of the output.
  Status Finish(UnixNanos now);
  // Everything that is appended from now on is in the file that has the log's path then, made if
  // need be: whoever keeps the logs has renamed the old one.
  Status Reopen() { return file_->Reopen(); }

 private:
  struct Partial {
    std::string text;
    UnixNanos first = 0;  // time of the line's first piece
  };
  LogWriter(const LogFormat& format, std::unique_ptr<LogFile> file)
      : format_(format), file_(std::move(file)) {}

  const LogFormat& format_;
  std::unique_ptr<LogFile> file_;
  Partial partial_[2];
};

}  // namespace ocirun::shim
