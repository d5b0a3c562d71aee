// SPDX-License-Identifier: Apache-2.0
#include "proto/ttrpc/client.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "base/sys/file.h"
#include "base/sys/socket.h"
#include "ttrpc/ttrpc.pb.h"

namespace ocirun::ttrpc {
namespace {

Status SendWhole(const UniqueFd& socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = sys::RetryEintr(
        [&] { return ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); });
    if (n < 0) return SysError(errno, "send");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return OkStatus();
}

// For poll(2); -1: as long as it takes.
int PollTimeout(std::chrono::steady_clock::time_point deadline) {
  using namespace std::chrono;
  if (deadline == steady_clock::time_point::max()) return -1;
  constexpr milliseconds kLongest = hours(1);  // it is asked again
  const auto left = ceil<milliseconds>(deadline - steady_clock::now());
  return static_cast<int>(std::clamp(left, milliseconds(0), kLongest).count());
}

}  // namespace

StatusOr<std::unique_ptr<Client>> Client::Connect(const std::string& address) {
  constexpr std::string_view kScheme = "unix://";
  const std::string path =
      address.rfind(kScheme, 0) == 0 ? address.substr(kScheme.size()) : address;
  ASSIGN_OR_RETURN(UniqueFd socket, sys::ConnectUnix(path, SOCK_STREAM));
  return std::unique_ptr<Client>(new Client(std::move(socket)));
}

Client::~Client() { Close(); }

void Client::Close() { ::shutdown(socket_.get(), SHUT_RDWR); }

// Stream ids must reach the server in rising order, so numbering and writing are one step.
StatusOr<uint32_t> Client::Send(const std::string& data, Pending* pending) {
  const std::lock_guard write_lock(write_mutex_);
  uint32_t stream = 0;
  {
    const std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(broken_);
    stream = next_stream_;
    next_stream_ += 2;
    pending_[stream] = pending;
  }
  const Status sent = SendWhole(socket_, EncodeFrame(stream, FrameType::kRequest, data));
  if (!sent.ok()) Close();  // whoever reads ends this call with all others
  return stream;
}

Status Client::Call(const std::string& service, const std::string& method,
                    const google::protobuf::MessageLite& request,
                    google::protobuf::MessageLite* response, std::chrono::nanoseconds timeout) {
  ::ttrpc::Request envelope;
  envelope.set_service(service);
  envelope.set_method(method);
  envelope.set_timeout_nano(timeout.count());
  envelope.set_payload(request.SerializeAsString());
  const std::string data = envelope.SerializeAsString();
  if (data.size() > kMaxData) return TooLong(data.size());
  const Deadline deadline =
      timeout.count() == 0 ? Deadline::max() : std::chrono::steady_clock::now() + timeout;
  Pending pending;
  ASSIGN_OR_RETURN(const uint32_t stream, Send(data, &pending));
  std::unique_lock lock(mutex_);
  if (!Await(pending, deadline, &lock)) {
    pending_.erase(stream);  // a late answer is ignored
    return Error(StatusCode::kDeadlineExceeded, "{}: no answer in time", method);
  }
  RETURN_IF_ERROR(pending.status);
  if (response != nullptr && !response->ParseFromString(pending.payload))
    return Internal("{}: unreadable answer", method);
  return OkStatus();
}

// False when the time is over. `lock` holds mutex_, but not while this waits.
bool Client::Await(const Pending& pending, Deadline deadline, std::unique_lock<std::mutex>* lock) {
  while (!pending.done) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    if (reading_) {
      // Until an answer has come, or nobody reads any more. wait_until() overflows at max().
      if (deadline == Deadline::max()) {
        changed_.wait(*lock);
      } else {
        changed_.wait_until(*lock, deadline);
      }
      continue;
    }
    reading_ = true;
    lock->unlock();
    const Status read = ReadSome(deadline);
    lock->lock();
    reading_ = false;
    if (!read.ok()) Break(read);
    changed_.notify_all();
  }
  return true;
}

// What has come, or comes first, until the time is over.
Status Client::ReadSome(Deadline deadline) {
  const int timeout_ms = PollTimeout(deadline);
  pollfd readable = {socket_.get(), POLLIN, 0};
  const int polled = sys::RetryEintr([&] { return ::poll(&readable, 1, timeout_ms); });
  if (polled == 0) return OkStatus();
  std::array<char, 16384> buffer;
  const ssize_t n =
      sys::RetryEintr([&] { return ::read(socket_.get(), buffer.data(), buffer.size()); });
  if (n <= 0) return Error(StatusCode::kUnavailable, "the connection to the shim is lost");
  decoder_.Append({buffer.data(), static_cast<size_t>(n)});
  while (const auto frame = decoder_.Next())
    if (frame->type == static_cast<uint8_t>(FrameType::kResponse)) Answer(*frame);
  return OkStatus();
}

void Client::Answer(const Frame& frame) {
  ::ttrpc::Response response;
  const bool readable = response.ParseFromString(frame.data);
  const std::lock_guard lock(mutex_);
  const auto it = pending_.find(frame.stream);
  if (it == pending_.end()) return;
  Pending* pending = it->second;
  pending_.erase(it);
  pending->done = true;
  if (frame.IsTooLong()) {
    pending->status = TooLong(frame.length);
  } else if (!readable) {
    pending->status = Internal("unreadable answer");
  } else if (response.status().code() != 0) {
    pending->status = FromWire(response.status().code(), response.status().message());
  } else {
    pending->payload = response.payload();
  }
}

// mutex_ is held.
void Client::Break(const Status& why) {
  broken_ = why;
  for (auto& [stream, pending] : pending_) {
    pending->done = true;
    pending->status = broken_;
  }
  pending_.clear();
}

}  // namespace ocirun::ttrpc
