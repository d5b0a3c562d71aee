// SPDX-License-Identifier: Apache-2.0
//
// The files of one log as the shim leaves them (shim/log_file.h): PATH is written, PATH.1 and
// PATH.1.gz, PATH.2 ... are full, the higher the older. They may be renamed, compressed and removed
// at any moment; whoever has them open reads on.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "base/unique_fd.h"

namespace ocirun::container {

// One file, open.
struct LogPart {
  UniqueFd file;
  bool packed = false;      // gzip
  uint64_t inode = 0;       // of what was written: of a packed one, before that; 0: not known
  UnixNanos last_time = 0;  // nothing in it is younger; 0: not known
};

// All of them as they are at one moment, oldest first; empty when there is no log. `known`: the
// inode of a part that the caller has open, from which on they are wanted; it comes first then. If
// it is not there any more, all are given. An inode is given away when nobody has it any more, so
// what was packed may have had the same one long ago: the newest is meant.
StatusOr<std::vector<LogPart>> OpenLog(const std::string& path, uint64_t known = 0);

// Gives whole lines of a part from where it starts, as far as it is written.
class LineReader {
 public:
  // `offset`: where a line starts; of a packed part, 0. What is written behind `end` is not read.
  LineReader(LogPart part, uint64_t offset, uint64_t end = std::numeric_limits<uint64_t>::max());

  // Calls `line` until it says false (then so does this), or all that is there was given. Lines
  // that are longer than anything the shim writes are left out.
  StatusOr<bool> ReadOn(const std::function<bool(std::string_view)>& line);

  [[nodiscard]] uint64_t inode() const { return inode_; }

 private:
  using ByteSource = std::function<StatusOr<std::string_view>()>;
  uint64_t inode_;
  ByteSource source_;
  std::string rest_;
  bool too_long_ = false;  // the line that rest_ ended was
};

// A line of the log is at most this long: a piece of 16 KiB, each byte escaped, and its time.
inline constexpr size_t kMaxLogLine = 1u << 17;

// Calls `line` for whole lines of a plain file from its end back to the one that starts at `begin`,
// with the offset where each starts, until it says false.
Status ReadBackwards(const UniqueFd& file, uint64_t begin,
                     const std::function<bool(uint64_t offset, std::string_view line)>& line);

// Where in a plain file lines may begin whose time is `since` or later: a line's start. Times
// ascend but for lines whose first piece came long before their end, so several are looked at each
// time. `time_of`: of a line, 0 when it has none.
StatusOr<uint64_t> FindTime(const UniqueFd& file, UnixNanos since,
                            const std::function<UnixNanos(std::string_view line)>& time_of);

}  // namespace ocirun::container
