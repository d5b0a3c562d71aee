// SPDX-License-Identifier: Apache-2.0
#include "proto/attach/connection.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "base/sys/file.h"
#include "base/sys/socket.h"

namespace ocirun::attach {
namespace {

constexpr size_t kMaxFrame = 1u << 20;
constexpr size_t kFirstBuffer = 16 * 1024, kMaxBuffer = 256 * 1024;
constexpr int kPollCancelMillis = 100;
constexpr int kDropped = 3;                                 // the type of the frame that says so
constexpr std::string_view kDropMe("\3\0\0\0\0\0\0\0", 8);  // a frame

}  // namespace

StatusOr<std::unique_ptr<Connection>> Connection::Connect(const std::string& socket,
                                                          WhenSlow slow) {
  ASSIGN_OR_RETURN(UniqueFd fd, sys::ConnectUnix(socket, SOCK_STREAM));
  if (slow == WhenSlow::kDrop) RETURN_IF_ERROR(sys::WriteAll(fd, kDropMe));
  return std::unique_ptr<Connection>(new Connection(std::move(fd)));
}

// 0: the end of the stream, or, with MSG_DONTWAIT, nothing there now. ECONNRESET, told after all
// output was read, is an end, too: the shim closed without reading all input.
StatusOr<size_t> Connection::Receive(char* to, size_t size, int flags) {
  const ssize_t n = sys::RetryEintr([&] { return recv(socket_.get(), to, size, flags); });
  if (n < 0 && (errno == EAGAIN || errno == ECONNRESET)) return 0;
  if (n < 0) return SysError(errno, "recv", "attach");
  return static_cast<size_t>(n);
}

// False: no whole header, as Receive says.
StatusOr<bool> Connection::NextHeader(int flags) {
  while (header_size_ < header_.size()) {
    ASSIGN_OR_RETURN(const size_t n,
                     Receive(header_.data() + header_size_, header_.size() - header_size_, flags));
    if (n == 0) return false;
    header_size_ += n;
  }
  uint32_t size = 0;
  std::memcpy(&size, header_.data() + 4, sizeof(size));
  left_ = ntohl(size);
  if (left_ > kMaxFrame) return Internal("the shim sent a frame of {} bytes", left_);
  return true;
}

StatusOr<Connection::Output> Connection::Read() {
  if (buffer_.empty()) buffer_.resize(kFirstBuffer);
  size_t have = 0;
  while (have < buffer_.size()) {
    const int flags = have == 0 ? 0 : MSG_DONTWAIT;
    if (header_size_ < header_.size() && left_ == 0) {
      ASSIGN_OR_RETURN(const bool whole, NextHeader(flags));
      if (!whole) break;
    }
    if (header_size_ == header_.size()) {
      if (have != 0 && header_[0] != stream_) break;
      stream_ = header_[0];
      header_size_ = 0;
      continue;
    }
    ASSIGN_OR_RETURN(const size_t n,
                     Receive(buffer_.data() + have, std::min(left_, buffer_.size() - have), flags));
    if (n == 0) break;
    have += n;
    left_ -= n;
  }
  if (have == 0) return Output{};
  if (stream_ == kDropped)
    return Error(StatusCode::kResourceExhausted, "{}", buffer_.substr(0, have));
  const bool full = have == buffer_.size() && have < kMaxBuffer;
  if (full) buffer_.resize(buffer_.size() * 4);  // from the next call on
  return Output{.stream = stream_, .data = std::string_view(buffer_).substr(0, have)};
}

Status Connection::WriteInput(std::string_view data, const std::function<bool()>& cancelled) {
  std::string frame(8, '\0');
  const uint32_t size = htonl(static_cast<uint32_t>(data.size()));
  std::memcpy(frame.data() + 4, &size, sizeof(size));
  frame += data;
  std::string_view rest = frame;
  while (!rest.empty()) {
    const ssize_t n = sys::RetryEintr(
        [&] { return send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT); });
    if (n < 0 && errno == EAGAIN) {
      if (cancelled()) return Error(StatusCode::kCancelled, "context canceled");
      pollfd writable{socket_.get(), POLLOUT, 0};
      poll(&writable, 1, kPollCancelMillis);
      continue;
    }
    if (n < 0) return SysError(errno, "send", "attach");
    rest.remove_prefix(static_cast<size_t>(n));
  }
  return OkStatus();
}

void Connection::EndInput() { shutdown(socket_.get(), SHUT_WR); }

void Connection::Shutdown() { shutdown(socket_.get(), SHUT_RDWR); }

}  // namespace ocirun::attach
