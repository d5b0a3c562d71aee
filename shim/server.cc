// SPDX-License-Identifier: Apache-2.0
#include "shim/server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/sys/file.h"
#include "base/sys/socket.h"
#include "ttrpc/ttrpc.pb.h"

namespace ocirun::shim {
namespace {

// Longer than any client waits, and short enough for every clock.
constexpr std::chrono::hours kLongest{24 * 365};
// A manager has one, and a person who looks around one more.
constexpr size_t kMaxConnections = 256;
// Of answers to one client.
constexpr size_t kMaxUnsent = 1 << 20;

}  // namespace

struct Reply::Call {
  Server* server = nullptr;
  std::weak_ptr<Server::Connection> connection;
  uint32_t stream = 0;
  std::optional<Loop::Timer> timer = {};
  bool answered = false, late = false;
  std::function<void()> when_late = {};

  // Whoever held it has gone without a word: its client would wait for ever.
  ~Call() {
    if (answered) return;
    if (const auto strong = connection.lock())
      server->SendAnswer(strong, stream, NotFound("what was asked for is gone"), nullptr);
  }
};

void Reply::operator()(const Status& status, const google::protobuf::MessageLite* message) const {
  if (std::exchange(call_->answered, true)) return;
  if (call_->timer.has_value()) call_->server->loop_->Cancel(*call_->timer);
  call_->timer.reset();
  call_->when_late = nullptr;
  if (const auto connection = call_->connection.lock())
    call_->server->SendAnswer(connection, call_->stream, status, message);
}

bool Reply::IsAwaited() const { return !call_->answered && !call_->connection.expired(); }

bool Reply::IsLate() const { return call_->late; }

void Reply::Expire() const {
  call_->timer.reset();
  call_->late = true;
  const std::function<void()> late = std::move(call_->when_late);
  (*this)(Error(StatusCode::kDeadlineExceeded, "not done in the time that it was given"), nullptr);
  if (late) late();
}

void Reply::WhenLate(std::function<void()> late) const {
  if (!call_->answered) call_->when_late = std::move(late);
}

StatusOr<std::unique_ptr<Server>> Server::Create(Loop* loop, UniqueFd listener, Handler handler) {
  std::unique_ptr<Server> server(new Server(loop, std::move(handler)));
  const auto connect = [raw = server.get()](UniqueFd socket) { raw->Connect(std::move(socket)); };
  ASSIGN_OR_RETURN(server->acceptor_, Acceptor::Create(loop, std::move(listener), connect));
  return server;
}

Server::Server(Loop* loop, Handler handler) : loop_(loop), handler_(std::move(handler)) {}

Server::~Server() {
  for (const ConnectionPtr& connection : connections_) loop_->Forget(connection->socket);
}

void Server::StopListening() { acceptor_.reset(); }

void Server::Connect(UniqueFd socket) {
  const auto peer = sys::PeerCredentials(socket);
  if (!peer.ok() || peer->uid != ::geteuid() || peer->gid != ::getegid()) return;
  auto connection = std::make_shared<Connection>();
  connection->socket = std::move(socket);
  const Status watched = loop_->Watch(connection->socket, EPOLLIN,
                                      [this, weak = std::weak_ptr(connection)](uint32_t events) {
                                        if (const ConnectionPtr strong = weak.lock())
                                          Serve(strong, events);
                                      });
  if (watched.ok()) connections_.push_back(std::move(connection));
  TakeMoreOrNot();
}

void Server::TakeMoreOrNot() {
  if (acceptor_) acceptor_->TakeMore(connections_.size() < kMaxConnections);
}

void Server::Serve(const ConnectionPtr& connection, uint32_t events) {
  bool alive = (events & EPOLLERR) == 0;
  if (alive && (events & EPOLLOUT) != 0) alive = Flush(connection.get());
  if (alive && (events & (EPOLLIN | EPOLLHUP)) != 0) alive = Read(connection);
  if (!alive) Drop(connection);
}

bool Server::Read(const ConnectionPtr& connection) {
  std::array<char, 8192> buffer;
  const ssize_t n = sys::RetryEintr(
      [&] { return ::read(connection->socket.get(), buffer.data(), buffer.size()); });
  if (n < 0) return errno == EAGAIN;
  if (n == 0) return false;
  connection->decoder.Append({buffer.data(), static_cast<size_t>(n)});
  while (const auto frame = connection->decoder.Next()) HandleFrame(connection, *frame);
  return true;
}

void Server::HandleFrame(const ConnectionPtr& connection, const ttrpc::Frame& frame) {
  const auto refuse = [&](const Status& why) {
    SendAnswer(connection, frame.stream, why, nullptr);
  };
  if (frame.IsTooLong()) return refuse(ttrpc::TooLong(frame.length));
  if (frame.type == static_cast<uint8_t>(ttrpc::FrameType::kData))
    return refuse(InvalidArgument("data on an unknown stream"));
  if (frame.type != static_cast<uint8_t>(ttrpc::FrameType::kRequest)) return;
  if (frame.stream % 2 == 0 || frame.stream <= connection->last_stream)
    return refuse(InvalidArgument("bad stream id"));
  connection->last_stream = frame.stream;
  ::ttrpc::Request request;
  if (!request.ParseFromString(frame.data)) return refuse(InvalidArgument("unreadable request"));
  const std::chrono::nanoseconds limit(request.timeout_nano());
  const Reply reply = NewReply(connection, frame.stream, limit);
  if (limit.count() < 0)
    return reply(Error(StatusCode::kDeadlineExceeded, "its time had passed before it came"),
                 nullptr);
  handler_(request.service(), request.method(), request.payload(), reply);
}

// `limit` 0: as long as it takes.
Reply Server::NewReply(const ConnectionPtr& connection, uint32_t stream,
                       std::chrono::nanoseconds limit) {
  const auto call = std::make_shared<Reply::Call>();
  call->server = this;
  call->connection = connection;
  call->stream = stream;
  Reply reply(call);
  if (limit.count() <= 0) return reply;
  const auto delay = std::chrono::ceil<std::chrono::milliseconds>(
      std::min<std::chrono::nanoseconds>(limit, kLongest));
  reply.call_->timer = loop_->After(delay, [reply] { reply.Expire(); });
  return reply;
}

void Server::SendAnswer(const ConnectionPtr& connection, uint32_t stream, const Status& status,
                        const google::protobuf::MessageLite* message) {
  ::ttrpc::Response response;
  if (!status.ok()) {
    response.mutable_status()->set_code(static_cast<int>(status.code()));
    response.mutable_status()->set_message(ttrpc::WireMessage(status));
  } else if (message != nullptr) {
    response.set_payload(message->SerializeAsString());
  }
  const std::string data = response.SerializeAsString();
  if (data.size() > ttrpc::kMaxData)
    return SendAnswer(connection, stream, ttrpc::TooLong(data.size()), nullptr);
  connection->outgoing += ttrpc::EncodeFrame(stream, ttrpc::FrameType::kResponse, data);
  // A connection that fails here is dropped by its own event: we may be in the middle of reading
  // it.
  Flush(connection.get());
}

bool Server::Flush(Connection* connection) {
  bool alive = true;
  while (!connection->outgoing.empty()) {
    const ssize_t n = sys::RetryEintr([&] {
      return ::send(connection->socket.get(), connection->outgoing.data(),
                    connection->outgoing.size(), MSG_NOSIGNAL);
    });
    if (n < 0) {
      alive = errno == EAGAIN;
      break;
    }
    connection->outgoing.erase(0, static_cast<size_t>(n));
  }
  const size_t unsent = connection->outgoing.size();
  const uint32_t input = unsent < kMaxUnsent ? uint32_t{EPOLLIN} : 0;
  const uint32_t output = unsent == 0 ? 0 : uint32_t{EPOLLOUT};
  loop_->Change(connection->socket, input | output);
  if (when_flushed_ && connection->outgoing.empty()) WhenFlushed(std::move(when_flushed_));
  return alive;
}

void Server::Drop(const ConnectionPtr& connection) {
  loop_->Forget(connection->socket);
  connections_.remove(connection);
  TakeMoreOrNot();
  if (when_flushed_) WhenFlushed(std::move(when_flushed_));
}

void Server::WhenFlushed(std::function<void()> done) {
  const bool flushed = std::all_of(connections_.begin(), connections_.end(),
                                   [](const ConnectionPtr& c) { return c->outgoing.empty(); });
  when_flushed_ = nullptr;
  if (flushed) {
    done();
  } else {
    when_flushed_ = std::move(done);
  }
}

}  // namespace ocirun::shim
