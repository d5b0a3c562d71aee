// SPDX-License-Identifier: Apache-2.0
#include "shim/attach.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "base/sys/file.h"
#include "base/sys/socket.h"

namespace ocirun::shim {
namespace {

constexpr size_t kHeaderSize = 8;
constexpr size_t kMaxInput = 64 * 1024;        // of one frame from a client
constexpr size_t kMaxOutgoing = 256 * 1024;    // kept for a client before the process has to wait
constexpr size_t kMaxUnwaited = 1 << 20;       // ... for one that is dropped rather
constexpr std::chrono::seconds kLastWord{10};  // for it to read what is kept
constexpr char kStdinFrame = 0, kDroppedFrame = 3, kDropMeFrame = 3;
constexpr size_t kMaxClients = 256;

std::string Header(char type, size_t length) {
  std::string header(kHeaderSize, '\0');
  header[0] = type;
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
  ASSIGN_OR_RETURN(UniqueFd listener, sys::ListenUnix(path, SOCK_STREAM));
  Undo remove([path] { IgnoreError(sys::Unlink(path), "the first error is the one to tell"); });
  std::unique_ptr<AttachServer> server(
      new AttachServer(loop, std::move(path), std::move(callbacks)));
  const auto connect = [raw = server.get()](UniqueFd socket) { raw->Connect(std::move(socket)); };
  ASSIGN_OR_RETURN(server->acceptor_, Acceptor::Create(loop, std::move(listener), connect));
  remove.Release();
  return server;
}

AttachServer::AttachServer(Loop* loop, std::string path, Callbacks callbacks)
    : loop_(loop), path_(std::move(path)), callbacks_(std::move(callbacks)) {}

AttachServer::~AttachServer() {
  for (const Client& client : clients_) loop_->Forget(client.socket);
  StopListening();
}

void AttachServer::StopListening() {
  if (!acceptor_) return;
  acceptor_.reset();
  IgnoreError(sys::Unlink(path_), "somebody removed the socket before us");
}

void AttachServer::Connect(UniqueFd socket) {
  if (clients_.size() >= kMaxClients || finished_) return;
  const auto uid = sys::PeerUid(socket);
  if (!uid.ok() || *uid != ::geteuid()) return;
  const auto client = clients_.insert(
      clients_.end(), Client{.number = ++last_number_, .socket = std::move(socket)});
  if (!WatchClient(client).ok()) clients_.erase(client);
}

Status AttachServer::WatchClient(ClientList::iterator client) {
  return loop_->Watch(client->socket, hold_input_ ? 0 : uint32_t{EPOLLIN},
                      [this, client](uint32_t events) { Serve(client, events); });
}

void AttachServer::Change(const Client& client) {
  if (client.parked) return;
  loop_->Change(client.socket, (hold_input_ ? 0 : uint32_t{EPOLLIN}) |
                                   (client.outgoing.empty() ? 0 : uint32_t{EPOLLOUT}));
}

void AttachServer::HoldInput(bool hold) {
  if (hold == hold_input_) return;
  hold_input_ = hold;
  for (auto client = clients_.begin(); client != clients_.end(); ++client) {
    if (client->parked && !hold && WatchClient(client).ok()) client->parked = false;
    Change(*client);
  }
}

void AttachServer::Send(Stream stream, std::string_view data) {
  const std::string header = Header(stream == Stream::kStdout ? 1 : 2, data.size());
  for (Client& client : clients_) {
    if (client.gone) continue;
    if (!client.waits && !client.dropped && client.Unsent() + data.size() > kMaxUnwaited)
      DropSlow(&client);
    if (client.dropped) {
      drops_.bytes[static_cast<int>(stream)] += data.size();
      continue;
    }
    if (!client.outgoing.empty()) {
      client.outgoing += header;
      client.outgoing += data;
      Flush(&client);
      continue;
    }
    // The common case: the socket takes all of it, and nothing is copied.
    const size_t sent = SendSome(&client, header, data);
    if (client.gone || sent == header.size() + data.size()) continue;
    client.outgoing = header.substr(std::min(sent, header.size()));
    client.outgoing += data.substr(sent - std::min(sent, header.size()));
    Change(client);
  }
}

// Where a frame of output ends: what is kept before it stays whole.
void AttachServer::DropSlow(Client* client) {
  client->dropped = true;
  ++drops_.clients;
  const std::string why = fmt::format(
      "dropped: {} bytes of output were not read in time, and the container does not wait",
      client->Unsent());
  client->outgoing += Header(kDroppedFrame, why.size()) + why;
  Change(*client);
  DropLater(client->number);
}

void AttachServer::DropLater(uint64_t number) {
  loop_->After(kLastWord, [this, number, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    const auto client = std::find_if(clients_.begin(), clients_.end(),
                                     [&](const Client& c) { return c.number == number; });
    if (client != clients_.end()) Drop(client);
  });
}

bool AttachServer::IsBehind() const {
  return std::any_of(clients_.begin(), clients_.end(), [](const Client& client) {
    return client.waits && client.Unsent() > kMaxOutgoing;
  });
}

void AttachServer::Finish() {
  finished_ = true;
  for (auto client = clients_.begin(); client != clients_.end();) {
    const auto next = std::next(client);
    if (client->outgoing.empty()) {
      Drop(client);
    } else if (!client->waits && !client->dropped) {
      DropLater(client->number);
    }
    client = next;
  }
}

void AttachServer::Serve(ClientList::iterator client, uint32_t events) {
  const bool was_behind = IsBehind();
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) client->gone = true;
  Flush(&*client);
  // What a client sent before it left still counts; its end is told by the read.
  const bool alive = hold_input_ || Read(&*client);
  if (!alive || ((finished_ || client->dropped) && client->outgoing.empty())) {
    Drop(client);
  } else if (hold_input_ && client->gone) {
    // Epoll tells a hang-up again and again, whatever one asks for.
    loop_->Forget(client->socket);
    client->parked = true;
  }
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
    const char type = client->incoming[0];
    if ((type != kStdinFrame && type != kDropMeFrame) || length > kMaxInput) return false;
    if (client->incoming.size() < kHeaderSize + length) return true;
    HandleFrame(client, type, std::string_view(client->incoming).substr(kHeaderSize, length));
    client->incoming.erase(0, kHeaderSize + length);
  }
  return true;
}

void AttachServer::HandleFrame(Client* client, char type, std::string_view payload) {
  if (type == kDropMeFrame) {
    client->waits = false;
  } else if (payload.empty()) {
    callbacks_.input_ended();
  } else {
    callbacks_.input(payload);
  }
}

// Sends what the socket takes, and tells how much. A client that is gone is dropped when its input
// has been read.
size_t AttachServer::SendSome(Client* client, std::string_view first, std::string_view second) {
  std::array<iovec, 2> pieces = {{{const_cast<char*>(first.data()), first.size()},
                                  {const_cast<char*>(second.data()), second.size()}}};
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  const ssize_t n =
      sys::RetryEintr([&] { return ::sendmsg(client->socket.get(), &message, MSG_NOSIGNAL); });
  if (n >= 0) return static_cast<size_t>(n);
  if (errno != EAGAIN) client->gone = true;
  return 0;
}

void AttachServer::Flush(Client* client) {
  while (client->Unsent() != 0 && !client->gone) {
    const size_t sent =
        SendSome(client, std::string_view(client->outgoing).substr(client->sent), {});
    if (sent == 0) break;
    client->sent += sent;
  }
  if (client->Unsent() == 0 || client->gone) {
    client->outgoing.clear();
    client->sent = 0;
  } else if (client->sent > kMaxOutgoing) {
    // A client that is slow for good never gets to the end.
    client->outgoing.erase(0, client->sent);
    client->sent = 0;
  }
  Change(*client);
}

void AttachServer::Drop(ClientList::iterator client) {
  loop_->Forget(client->socket);
  clients_.erase(client);
  if (finished_ && clients_.empty()) callbacks_.left();
}

}  // namespace ocirun::shim
