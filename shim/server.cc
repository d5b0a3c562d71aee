// SPDX-License-Identifier: Apache-2.0
#include "shim/server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/sys/file.h"
#include "base/sys/socket.h"
#include "ttrpc/ttrpc.pb.h"

namespace ocirun::shim {

StatusOr<std::unique_ptr<Server>> Server::Create(Loop* loop, UniqueFd listener, Handler handler) {
  ::fcntl(listener.get(), F_SETFL, O_NONBLOCK);
  std::unique_ptr<Server> server(new Server(loop, std::move(listener), std::move(handler)));
  Server* raw = server.get();
  RETURN_IF_ERROR(loop->Watch(server->listener_, EPOLLIN, [raw](uint32_t) { raw->Accept(); }));
  return server;
}

Server::Server(Loop* loop, UniqueFd listener, Handler handler)
    : loop_(loop), listener_(std::move(listener)), handler_(std::move(handler)) {}

Server::~Server() {
  for (const ConnectionPtr& connection : connections_) loop_->Forget(connection->socket);
  StopListening();
}

void Server::StopListening() {
  if (!listener_) return;
  loop_->Forget(listener_);
  listener_.Reset();
}

void Server::Accept() {
  auto socket = sys::Accept(listener_);
  if (!socket.ok()) return;
  const auto peer = sys::PeerCredentials(*socket);
  if (!peer.ok() || peer->uid != ::geteuid() || peer->gid != ::getegid()) return;
  ::fcntl(socket->get(), F_SETFL, O_NONBLOCK);
  auto connection = std::make_shared<Connection>();
  connection->socket = std::move(*socket);
  const Status watched = loop_->Watch(connection->socket, EPOLLIN,
                                      [this, weak = std::weak_ptr(connection)](uint32_t events) {
                                        if (const ConnectionPtr strong = weak.lock())
                                          Serve(strong, events);
                                      });
  if (watched.ok()) connections_.push_back(std::move(connection));
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
  if (frame.IsTooLong())
    return SendAnswer(connection, frame.stream, ttrpc::TooLong(frame.length), nullptr);
  if (frame.type == static_cast<uint8_t>(ttrpc::FrameType::kData))
    return SendAnswer(connection, frame.stream, InvalidArgument("data on an unknown stream"),
                      nullptr);
  if (frame.type != static_cast<uint8_t>(ttrpc::FrameType::kRequest)) return;
  if (frame.stream % 2 == 0 || frame.stream <= connection->last_stream)
    return SendAnswer(connection, frame.stream, InvalidArgument("bad stream id"), nullptr);
  connection->last_stream = frame.stream;
  ::ttrpc::Request request;
  if (!request.ParseFromString(frame.data))
    return SendAnswer(connection, frame.stream, InvalidArgument("unreadable request"), nullptr);
  handler_(request.service(), request.method(), request.payload(),
           [this, weak = std::weak_ptr(connection), stream = frame.stream](
               const Status& status, const google::protobuf::MessageLite* message) {
             if (const ConnectionPtr strong = weak.lock())
               SendAnswer(strong, stream, status, message);
           });
}

void Server::SendAnswer(const ConnectionPtr& connection, uint32_t stream, const Status& status,
                        const google::protobuf::MessageLite* message) {
  ::ttrpc::Response response;
  if (!status.ok()) {
    response.mutable_status()->set_code(static_cast<int>(status.code()));
    response.mutable_status()->set_message(MessageOf(status));
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
  loop_->Change(connection->socket,
                connection->outgoing.empty() ? EPOLLIN : uint32_t{EPOLLIN} | EPOLLOUT);
  if (when_flushed_ && connection->outgoing.empty()) WhenFlushed(std::move(when_flushed_));
  return alive;
}

void Server::Drop(const ConnectionPtr& connection) {
  loop_->Forget(connection->socket);
  connections_.remove(connection);
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
