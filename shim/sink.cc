// SPDX-License-Identifier: Apache-2.0
#include "shim/sink.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sys/file.h"

namespace ocirun::shim {

StatusOr<std::unique_ptr<Sink>> Sink::Open(Loop* loop, const std::string& path, Drained drained) {
  ASSIGN_OR_RETURN(const struct stat kind, sys::StatPath(path));
  if (!S_ISFIFO(kind.st_mode)) {
    ASSIGN_OR_RETURN(UniqueFd file, sys::Open(path, O_WRONLY | O_APPEND | O_NOCTTY));
    return std::make_unique<Sink>(loop, std::move(file), std::move(drained));
  }
  // The reader first: without one a fifo can't be opened for writing, but by waiting.
  ASSIGN_OR_RETURN(UniqueFd reader, sys::Open(path, O_RDONLY | O_NONBLOCK));
  ASSIGN_OR_RETURN(UniqueFd writer, sys::Open(path, O_WRONLY | O_NONBLOCK));
  auto sink = std::make_unique<Sink>(loop, std::move(writer), std::move(drained));
  sink->reader_ = std::move(reader);
  return sink;
}

StatusOr<std::unique_ptr<Sink>> Sink::OpenFile(Loop* loop, const std::string& path,
                                               Drained drained) {
  RETURN_IF_ERROR(MakeDirs(path.substr(0, path.rfind('/') + 1), 0755));
  ASSIGN_OR_RETURN(UniqueFd file, sys::Open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY, 0644));
  return std::make_unique<Sink>(loop, std::move(file), std::move(drained));
}

Sink::Sink(Loop* loop, UniqueFd to, Drained drained)
    : loop_(loop), to_(std::move(to)), drained_(std::move(drained)) {
  ::fcntl(to_.get(), F_SETFL, ::fcntl(to_.get(), F_GETFL) | O_NONBLOCK);
}

Sink::~Sink() { Close(); }

void Sink::Close() {
  if (watched_) loop_->Forget(to_);
  watched_ = false;
  to_.Reset();
  reader_.Reset();
}

void Sink::Write(std::string_view data) {
  if (!to_) return;
  const bool idle = kept_.empty();
  kept_ += data;
  if (idle) WriteKept();
}

void Sink::WriteKept() {
  size_t written = 0;
  while (written < kept_.size()) {
    const ssize_t n = sys::RetryEintr(
        [&] { return ::write(to_.get(), kept_.data() + written, kept_.size() - written); });
    // A reader that is gone for good, a full disk: the container goes on.
    if (n < 0 && errno != EAGAIN) written = kept_.size();
    if (n < 0) break;
    written += static_cast<size_t>(n);
  }
  kept_.erase(0, written);
  if (kept_.empty()) kept_.shrink_to_fit();
  const bool wanted = !kept_.empty();
  if (wanted && !watched_) {
    watched_ = loop_->Watch(to_, EPOLLOUT, [this](uint32_t) { WriteKept(); }).ok();
  } else if (!wanted && watched_) {
    loop_->Forget(to_);
    watched_ = false;
    if (finished_) Close();
    drained_();
  }
}

void Sink::Finish() {
  finished_ = true;
  if (kept_.empty()) Close();
}

}  // namespace ocirun::shim
