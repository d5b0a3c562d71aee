// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/time.h"
#include "base/unique_fd.h"

namespace ocirun::shim {

enum class Stream { kStdout = 0, kStderr = 1 };

// Docker's json-file log: one object a line, pieces of at most 16 KiB, the pieces of a long line
// with the time of the first.
//
//   {"log":"text\n","stream":"stdout","time":"2026-01-02T15:04:05.999999999Z"}
//
// When a file has reached max_size it becomes PATH.1, that one PATH.2, ...; max_file are kept.
class JsonLog {
 public:
  // Appends to `path` (mode 0640).
  static StatusOr<std::unique_ptr<JsonLog>> Open(std::string path, uint64_t max_size,
                                                 unsigned max_file);

  // Takes output as it comes; writes whole lines and full pieces, keeps the rest, in a write(2)
  // for each 128 KiB of them.
  Status Append(Stream stream, std::string_view data, UnixNanos now);
  // Writes what is left of both streams: at the end of the output.
  Status Finish(UnixNanos now);

 private:
  struct Partial {
    std::string text;
    UnixNanos first = 0;  // time of the line's first piece
  };
  JsonLog(std::string path, uint64_t max_size, unsigned max_file, UniqueFd file, uint64_t size);
  Status Write(std::string_view lines);
  Status Rotate();

  std::string path_;
  uint64_t max_size_;
  unsigned max_file_;
  UniqueFd file_;
  uint64_t size_;
  Partial partial_[2];
};

// One line of the log. Bytes that are not UTF-8 become U+FFFD, each. Pure.
void AppendLogLine(Stream stream, std::string_view text, UnixNanos time, std::string* out);

}  // namespace ocirun::shim
