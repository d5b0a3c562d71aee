// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/unique_fd.h"
#include "shim/loop.h"

namespace ocirun::shim {

// Where containerd wants the output of one stream: a fifo that it reads, a file, the pipe of a
// logger. What the other end does not take yet is kept, at most what is given while IsBehind() is
// false.
class Sink {
 public:
  // `drained` is called when all that was kept has been taken.
  using Drained = std::function<void()>;

  // A fifo is kept open for reading, too: a reader that goes and comes again finds what was written
  // meanwhile, and no reader is no error. Anything else must exist and is appended to.
  static StatusOr<std::unique_ptr<Sink>> Open(Loop* loop, const std::string& path, Drained drained);
  // A file that is made, with its folders, and appended to.
  static StatusOr<std::unique_ptr<Sink>> OpenFile(Loop* loop, const std::string& path,
                                                  Drained drained);
  Sink(Loop* loop, UniqueFd to, Drained drained);
  ~Sink();
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  // Never waits for a fifo or pipe. What an end that is broken can't take is lost.
  void Write(std::string_view data);
  // Something is kept: give no more.
  [[nodiscard]] bool IsBehind() const { return !kept_.empty(); }
  // Nothing more comes: the other end learns of it when it has taken all.
  void Finish();

 private:
  void WriteKept();
  void Close();

  Loop* loop_;
  UniqueFd to_, reader_;
  std::string kept_;
  bool watched_ = false, finished_ = false;
  Drained drained_;
};

}  // namespace ocirun::shim
