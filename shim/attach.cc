// SPDX-License-Identifier: Apache-2.0
#include "shim/attach.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/sys/file.h"
#include "base/sys/socket.h"

namespace ocirun::shim {
namespace {

constexpr size_t kHeaderSize = 8;
constexpr size_t kMaxInput = 64 * 1024;      // of one frame from a client
constexpr size_t kMaxOutgoing = 256 * 1024;  // kept for a client before the process has to wait
constexpr size_t kMaxClients = 256;

std::string Header(Stream stream, size_t length) {
  std::string header(kHeaderSize, '\0');
  header[0] = stream == Stream::kStdout ? 1 : 2;
  for (int i = 0; i < 4; ++i) header[4 + i] = static_cast<char>(length >> (24 - 8 * i) & 0xff);
  return header;
}

size_t Length(std::string_view header) {
  size_t length = 0;
  for (int i = 4; i < 8; ++i) length = length << 8 | static_cast<unsigned char>(header[i]);
  return length;
}

}  // namespace

StatusOr<std::unique_ptr<AttachServer>> AttachServer::Listen(Loop* loop, std::string path,
                                                             Callbacks callbacks) {
  ASSIGN_OR_RETURN(UniqueFd listener, sys::ListenUnix(path, SOCK_STREAM | SOCK_NONBLOCK));
  std::unique_ptr<AttachServer> server(
      new AttachServer(loop, std::move(path), std::move(listener), std::move(callbacks)));
  AttachServer* raw = server.get();
  RETURN_IF_ERROR(loop->Watch(server->listener_, EPOLLIN, [raw](uint32_t) { raw->Accept(); }));
  return server;
}

AttachServer::AttachServer(Loop* loop, std::string path, UniqueFd listener, Callbacks callbacks)
    : loop_(loop),
      path_(std::move(path)),
      listener_(std::move(listener)),
      callbacks_(std::move(callbacks)) {}

AttachServer::~AttachServer() {
  for (const Client& client : clients_) loop_->Forget(client.socket);
  loop_->Forget(listener_);
  IgnoreError(sys::Unlink(path_), "somebody removed the socket before us");
}

void AttachServer::Accept() {
  auto socket = sys::Accept(listener_);
  if (!socket.ok() || clients_.size() >= kMaxClients || finished_) return;
  const auto uid = sys::PeerUid(*socket);
  if (!uid.ok() || *uid != ::geteuid()) return;
  ::fcntl(socket->get(), F_SETFL, O_NONBLOCK);
  const auto client = clients_.insert(clients_.end(), {std::move(*socket), "", ""});
  const Status watched = loop_->Watch(client->socket, EPOLLIN,
                                      [this, client](uint32_t events) { Serve(client, events); });
  if (!watched.ok()) clients_.erase(client);
}

void AttachServer::Send(Stream stream, std::string_view data) {
  for (auto client = clients_.begin(); client != clients_.end();) {
    const auto next = std::next(client);
    client->outgoing += Header(stream, data.size());
    client->outgoing += data;
    if (!Flush(&*client)) Drop(client);
    client = next;
  }
}

bool AttachServer::IsBehind() const {
  return std::any_of(clients_.begin(), clients_.end(),
                     [](const Client& client) { return client.outgoing.size() > kMaxOutgoing; });
}

void AttachServer::Finish() {
  finished_ = true;
  for (auto client = clients_.begin(); client != clients_.end();) {
    const auto next = std::next(client);
    if (client->outgoing.empty()) Drop(client);
    client = next;
  }
}

void AttachServer::Serve(ClientList::iterator client, uint32_t events) {
  const bool was_behind = IsBehind();
  bool alive = (events & EPOLLERR) == 0;
  if (alive && (events & EPOLLOUT) != 0) alive = Flush(&*client);
  if (alive && (events & EPOLLIN) != 0) alive = Read(&*client);
  if (alive && (events & (EPOLLIN | EPOLLOUT)) == 0) alive = false;  // EPOLLHUP alone
  if (!alive || (finished_ && client->outgoing.empty())) Drop(client);
  if (was_behind && !IsBehind()) callbacks_.drained();
}

// False: the client is gone, or breaks the protocol.
bool AttachServer::Read(Client* client) {
  std::array<char, 16384> buffer;
  const ssize_t n =
      sys::RetryEintr([&] { return ::read(client->socket.get(), buffer.data(), buffer.size()); });
  if (n < 0) return errno == EAGAIN;
  if (n == 0) return false;
  client->incoming.append(buffer.data(), static_cast<size_t>(n));
  while (client->incoming.size() >= kHeaderSize) {
    const size_t length = Length(client->incoming);
    if (client->incoming[0] != 0 || length > kMaxInput) return false;
    if (client->incoming.size() < kHeaderSize + length) return true;
    if (length == 0) {
      callbacks_.input_ended();
    } else {
      callbacks_.input(std::string_view(client->incoming).substr(kHeaderSize, length));
    }
    client->incoming.erase(0, kHeaderSize + length);
  }
  return true;
}

// Sends what the socket takes. False: the client is gone.
bool AttachServer::Flush(Client* client) {
  while (!client->outgoing.empty()) {
    const ssize_t n = sys::RetryEintr([&] {
      return ::send(client->socket.get(), client->outgoing.data(), client->outgoing.size(),
                    MSG_NOSIGNAL);
    });
    if (n < 0 && errno != EAGAIN) return false;
    if (n < 0) break;
    client->outgoing.erase(0, static_cast<size_t>(n));
  }
  loop_->Change(client->socket, client->outgoing.empty() ? EPOLLIN : uint32_t{EPOLLIN} | EPOLLOUT);
  return true;
}

void AttachServer::Drop(ClientList::iterator client) {
  loop_->Forget(client->socket);
  clients_.erase(client);
}

}  // namespace ocirun::shim
