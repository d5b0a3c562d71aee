// SPDX-License-Identifier: Apache-2.0
//
// The file of a log and what it leaves behind as it grows, by Docker's names:
//
//   PATH        is written                          X-json.log
//   PATH.1      the newest that is full             X-json.log.1
//   PATH.N.gz   an older one, compressed            X-json.log.2.gz
//
// With `compress`, a full file is compressed by a child of ours, so that the loop goes on. It
// writes PATH.gz-new, which becomes PATH.N.gz when it is whole and on disk, N being the number that
// the file has got by then; only then PATH.N goes. A crash at any moment leaves PATH.N, or both of
// them, or PATH.N.gz; the next Open takes away what is left over, and goes on. A log that grows
// faster than it is compressed has files that stay plain, and keeps no more of them for that.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/unique_fd.h"
#include "shim/loop.h"

namespace ocirun::shim {

class LogFile {
 public:
  struct Options {
    std::string path;
    uint64_t max_size = 0;  // bytes; 0: no limit
    unsigned max_file = 1;  // that are kept
    bool compress = false;
  };

  // Appends to `options.path` (mode 0640). `loop` is borrowed, and used for `compress` alone.
  static StatusOr<std::unique_ptr<LogFile>> Open(Loop* loop, Options options);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // Whole lines; a file that is full is rotated first. What the disk does not take is not there in
  // part either.
  Status Write(std::string_view lines);
  // How many bytes the file takes until it is full, 0: the next line belongs to another one.
  [[nodiscard]] uint64_t Room() const;
  // Goes on in the file that has the path now, or in a new one: somebody has renamed ours. When it
  // fails, the old one is written on.
  Status Reopen();

 private:
  // The child that compresses PATH.`number`.
  struct Job {
    pid_t pid = 0;
    unsigned number = 0;  // 0: the file is gone meanwhile
  };

  LogFile(Loop* loop, Options options) : loop_(loop), options_(std::move(options)) {}
  Status OpenFile(int flags);
  Status Rotate();
  Status Shift();
  [[nodiscard]] std::set<unsigned> OldNumbers() const;
  void TidyUp();
  void EndTornLine();
  void CompressNext();
  Status StartCompressing(unsigned number);
  void Compressed(int wait_status);
  [[nodiscard]] std::string Plain(unsigned number) const;
  [[nodiscard]] std::string Packed(unsigned number) const { return Plain(number) + ".gz"; }
  [[nodiscard]] std::string Half() const { return options_.path + ".gz-new"; }

  Loop* loop_;
  Options options_;
  UniqueFd file_;
  uint64_t size_ = 0;
  unsigned old_files_ = 0;  // numbers that are taken, from 1 on
  Job job_;
  std::shared_ptr<int> alive_ = std::make_shared<int>();  // the child's end looks here
};

}  // namespace ocirun::shim
