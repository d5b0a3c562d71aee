// SPDX-License-Identifier: Apache-2.0
#include "shim/publisher.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>

#include "base/sys/file.h"
#include "base/sys/socket.h"
#include "base/time.h"
#include "containerd/events_ttrpc.pb.h"
#include "shim/report.h"
#include "ttrpc/ttrpc.pb.h"

namespace ocirun::shim {
namespace {

constexpr size_t kMaxQueue = 2048;
constexpr int kMaxFailures = 5;
constexpr std::chrono::seconds kAnswerTime{5};
constexpr std::string_view kScheme = "unix://";

}  // namespace

Publisher::Publisher(Loop* loop, std::string address, std::string name_space)
    : loop_(loop), address_(std::move(address)), name_space_(std::move(name_space)) {
  if (address_.starts_with(kScheme)) address_.erase(0, kScheme.size());
}

Publisher::~Publisher() { Disconnect(); }

void Publisher::Publish(std::string_view topic, std::string_view type,
                        const google::protobuf::MessageLite& event) {
  if (!enabled()) return;
  if (queue_.size() >= kMaxQueue) {
    Report("error", fmt::format("event {} is dropped: too many wait", topic));
    return;
  }
  containerd::services::events::ttrpc::v1::ForwardRequest request;
  containerd::types::Envelope* envelope = request.mutable_envelope();
  const UnixNanos now = NowUnixNanos();
  constexpr int64_t kNanos = 1'000'000'000;
  envelope->mutable_timestamp()->set_seconds(now / kNanos);
  envelope->mutable_timestamp()->set_nanos(static_cast<int32_t>(now % kNanos));
  envelope->set_namespace_(name_space_);
  envelope->set_topic(std::string(topic));
  envelope->mutable_event()->set_type_url(std::string(type));
  envelope->mutable_event()->set_value(event.SerializeAsString());
  queue_.push_back({std::string(topic), request.SerializeAsString()});
  SendFirst();
}

void Publisher::WhenIdle(std::chrono::milliseconds limit, std::function<void()> done) {
  if (queue_.empty()) return done();
  when_idle_ = std::move(done);
  loop_->After(limit, [this] {
    if (when_idle_) std::exchange(when_idle_, nullptr)();
  });
}

Status Publisher::Connect() {
  if (socket_) return OkStatus();
  const SpareFds::Loan loan = loop_->LendSpareFds();  // events tell what has happened
  ASSIGN_OR_RETURN(socket_, sys::ConnectUnix(address_, SOCK_STREAM | SOCK_NONBLOCK));
  decoder_ = ttrpc::Decoder();
  outgoing_.clear();
  stream_ = 0;
  fresh_ = true;
  const Status watched = loop_->Watch(socket_, EPOLLIN, [this](uint32_t events) { Serve(events); });
  if (!watched.ok()) socket_.Reset();
  return watched;
}

void Publisher::SendFirst() {
  if (in_flight_ || waiting_ || queue_.empty()) return;
  const Status connected = Connect();
  if (!connected.ok()) return Failed(connected);
  ::ttrpc::Request envelope;
  envelope.set_service("containerd.services.events.ttrpc.v1.Events");
  envelope.set_method("Forward");
  envelope.set_payload(queue_.front().request);
  envelope.set_timeout_nano(std::chrono::nanoseconds(kAnswerTime).count());
  auto* metadata = envelope.add_metadata();
  metadata->set_key("containerd-namespace-ttrpc");
  metadata->set_value(name_space_);
  stream_ = stream_ == 0 ? 1 : stream_ + 2;
  outgoing_ +=
      ttrpc::EncodeFrame(stream_, ttrpc::FrameType::kRequest, envelope.SerializeAsString());
  in_flight_ = true;
  loop_->After(kAnswerTime, [this, turn = ++turn_] {
    if (turn != turn_ || !in_flight_) return;
    // What comes on this connection later is of no interest.
    Disconnect();
    Failed(Error(StatusCode::kDeadlineExceeded, "no answer in time"));
  });
  if (!Flush()) LostConnection(SysError(errno, "send"));
}

bool Publisher::Flush() {
  while (!outgoing_.empty()) {
    const ssize_t n = sys::RetryEintr(
        [&] { return ::send(socket_.get(), outgoing_.data(), outgoing_.size(), MSG_NOSIGNAL); });
    if (n < 0 && errno != EAGAIN) return false;
    if (n < 0) break;
    outgoing_.erase(0, static_cast<size_t>(n));
  }
  loop_->Change(socket_, outgoing_.empty() ? EPOLLIN : uint32_t{EPOLLIN} | EPOLLOUT);
  return true;
}

void Publisher::Serve(uint32_t events) {
  if ((events & EPOLLOUT) != 0 && !Flush()) return LostConnection(SysError(errno, "send"));
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !Read())
    LostConnection(Error(StatusCode::kUnavailable, "the connection is lost"));
}

// False when the connection is of no more use.
bool Publisher::Read() {
  std::array<char, 4096> buffer;
  const ssize_t n =
      sys::RetryEintr([&] { return ::read(socket_.get(), buffer.data(), buffer.size()); });
  if (n < 0) return errno == EAGAIN;
  if (n == 0) return false;
  decoder_.Append({buffer.data(), static_cast<size_t>(n)});
  while (const auto frame = decoder_.Next()) {
    if (frame->type != static_cast<uint8_t>(ttrpc::FrameType::kResponse) ||
        frame->stream != stream_ || !in_flight_)
      continue;
    ::ttrpc::Response response;
    if (frame->IsTooLong() || !response.ParseFromString(frame->data)) return false;
    const bool taken = response.status().code() == 0;
    Answered(taken ? OkStatus()
                   : ttrpc::FromWire(response.status().code(), response.status().message()));
    if (!socket_) break;
  }
  return true;
}

void Publisher::Answered(const Status& status) {
  fresh_ = false;
  if (!status.ok()) return Failed(status);
  Next();
}

void Publisher::Disconnect() {
  if (socket_) loop_->Forget(socket_);
  socket_.Reset();
}

// containerd was restarted, most likely: the event in flight is told to the new one.
void Publisher::LostConnection(const Status& why) {
  const bool was_fresh = fresh_;
  Disconnect();
  if (!in_flight_) return;
  if (was_fresh) return Failed(why);
  in_flight_ = false;
  SendFirst();
}

void Publisher::Failed(const Status& why) {
  in_flight_ = false;
  Event& event = queue_.front();
  if (++event.failures > kMaxFailures) {
    Report("error", fmt::format("event {} is dropped: {}", event.topic, why.message()));
    return Next();
  }
  waiting_ = true;
  loop_->After(std::chrono::seconds(event.failures), [this] {
    waiting_ = false;
    SendFirst();
  });
}

void Publisher::Next() {
  in_flight_ = false;
  queue_.pop_front();
  if (!queue_.empty()) return SendFirst();
  if (when_idle_) std::exchange(when_idle_, nullptr)();
}

}  // namespace ocirun::shim
