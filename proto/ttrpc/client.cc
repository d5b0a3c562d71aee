// SPDX-License-Identifier: Apache-2.0
#include "proto/ttrpc/client.h"

#include <sys/socket.h>

#include <array>

#include "base/sys/file.h"
#include "base/sys/socket.h"
#include "proto/ttrpc/frame.h"
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

}  // namespace

StatusOr<std::unique_ptr<Client>> Client::Connect(const std::string& address) {
  constexpr std::string_view kScheme = "unix://";
  const std::string path =
      address.rfind(kScheme, 0) == 0 ? address.substr(kScheme.size()) : address;
  ASSIGN_OR_RETURN(UniqueFd socket, sys::ConnectUnix(path, SOCK_STREAM));
  return std::unique_ptr<Client>(new Client(std::move(socket)));
}

Client::Client(UniqueFd socket) : socket_(std::move(socket)) {
  reader_ = std::thread([this] { ReadAnswers(); });
}

Client::~Client() {
  Close();
  reader_.join();
}

void Client::Close() { ::shutdown(socket_.get(), SHUT_RDWR); }

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
  Pending pending;
  uint32_t stream = 0;
  {
    // Stream ids must reach the server in rising order, so numbering and writing are one step.
    const std::lock_guard write_lock(write_mutex_);
    {
      const std::lock_guard lock(mutex_);
      RETURN_IF_ERROR(broken_);
      stream = next_stream_;
      next_stream_ += 2;
      pending_[stream] = &pending;
    }
    const Status sent = SendWhole(socket_, EncodeFrame(stream, FrameType::kRequest, data));
    if (!sent.ok()) Close();  // the reader ends this call with all others
  }
  std::unique_lock lock(mutex_);
  const auto is_done = [&] { return pending.done; };
  if (timeout.count() == 0) {
    answered_.wait(lock, is_done);
  } else if (!answered_.wait_for(lock, timeout, is_done)) {
    pending_.erase(stream);  // a late answer is ignored
    return Error(StatusCode::kDeadlineExceeded, "{}: no answer in time", method);
  }
  RETURN_IF_ERROR(pending.status);
  if (response != nullptr && !response->ParseFromString(pending.payload))
    return Internal("{}: unreadable answer", method);
  return OkStatus();
}

Status Client::ReadFrames() {
  Decoder decoder;
  std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t n =
        sys::RetryEintr([&] { return ::read(socket_.get(), buffer.data(), buffer.size()); });
    if (n <= 0) return Error(StatusCode::kUnavailable, "the connection to the shim is lost");
    decoder.Append({buffer.data(), static_cast<size_t>(n)});
    while (const auto frame = decoder.Next()) {
      if (frame->type != static_cast<uint8_t>(FrameType::kResponse)) continue;
      ::ttrpc::Response response;
      const bool readable = response.ParseFromString(frame->data);
      const std::lock_guard lock(mutex_);
      const auto it = pending_.find(frame->stream);
      if (it == pending_.end()) continue;
      Pending* pending = it->second;
      pending_.erase(it);
      pending->done = true;
      if (frame->IsTooLong()) {
        pending->status = TooLong(frame->length);
      } else if (!readable) {
        pending->status = Internal("unreadable answer");
      } else if (response.status().code() != 0) {
        pending->status = FromWire(response.status().code(), response.status().message());
      } else {
        pending->payload = response.payload();
      }
      answered_.notify_all();
    }
  }
}

void Client::ReadAnswers() {
  const Status why = ReadFrames();
  const std::lock_guard lock(mutex_);
  broken_ = Error(StatusCode::kUnavailable, "{}", MessageOf(why));
  for (auto& [stream, pending] : pending_) {
    pending->done = true;
    pending->status = broken_;
  }
  pending_.clear();
  answered_.notify_all();
}

}  // namespace ocirun::ttrpc
