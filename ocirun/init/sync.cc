// SPDX-License-Identifier: Apache-2.0
#include "ocirun/init/sync.h"

#include <cerrno>
#include <charconv>

#include "base/status_text.h"
#include "base/sys/socket.h"

namespace ocirun::init {
namespace {

constexpr size_t kMaxMessage = 16 * 1024;

// Empty when the other side has ended. That it had not read all of ours is told first, and once;
// its last words, or none, come after that.
StatusOr<std::string> NextPacket(const UniqueFd& socket) {
  auto packet = sys::Receive(socket, kMaxMessage);
  if (ErrnoOf(packet.status()) == ECONNRESET) return sys::Receive(socket, kMaxMessage);
  return packet;
}

// The same, and the descriptor that came along. Who ended without having read, or without having
// taken our connection, did not exec: that is no end to be empty for.
StatusOr<std::string> NextPacketWithFd(const UniqueFd& socket, UniqueFd* fd) {
  auto packet = sys::ReceiveWithFd(socket, kMaxMessage, fd);
  if (ErrnoOf(packet.status()) != ECONNRESET) return packet;
  packet = sys::ReceiveWithFd(socket, kMaxMessage, fd);
  if (packet.ok() && packet->empty()) return FailureOf(*packet);
  return packet;
}

}  // namespace

Status FailureOf(const std::string& packet) {
  if (packet.empty()) return Internal("the other side ended unexpectedly");
  if (packet[0] == static_cast<char>(Message::kFailed)) return StatusFromText(packet.substr(1));
  return Internal("message out of phase");
}

Status SendMessage(const UniqueFd& socket, Message message) {
  const char letter = static_cast<char>(message);
  const Status sent = sys::Send(socket, {&letter, 1});
  if (ErrnoOf(sent) != EPIPE) return sent;
  // The other side has ended, and its last words are still to be read.
  ASSIGN_OR_RETURN(const std::string packet, NextPacket(socket));
  return FailureOf(packet);
}

std::string FailurePacket(const Status& failure) {
  std::string packet = static_cast<char>(Message::kFailed) + StatusText(failure);
  if (packet.size() > kMaxMessage) packet.resize(kMaxMessage);
  return packet;
}

Status SendFailure(const UniqueFd& socket, const Status& failure) {
  return sys::Send(socket, FailurePacket(failure));
}

Status Expect(const UniqueFd& socket, Message expected) {
  ASSIGN_OR_RETURN(const std::string packet, NextPacket(socket));
  if (packet.size() == 1 && packet[0] == static_cast<char>(expected)) return OkStatus();
  return FailureOf(packet);
}

Status ExpectEnd(const UniqueFd& socket, const std::function<Status(UniqueFd)>& on_listener) {
  for (;;) {
    UniqueFd fd;
    ASSIGN_OR_RETURN(const std::string packet, NextPacketWithFd(socket, &fd));
    if (packet.empty()) return OkStatus();
    if (packet[0] != static_cast<char>(Message::kListener) || !fd.valid()) return FailureOf(packet);
    RETURN_IF_ERROR(on_listener(std::move(fd)));
    RETURN_IF_ERROR(SendMessage(socket, Message::kGo));
  }
}

Status SendListener(const UniqueFd& socket, const UniqueFd& listener) {
  const char letter = static_cast<char>(Message::kListener);
  return sys::SendFd(socket, listener, {&letter, 1});
}

Status RequestSource(const UniqueFd& socket, size_t index) {
  return sys::Send(socket, fmt::format("{}{}", static_cast<char>(Message::kSource), index));
}

StatusOr<UniqueFd> ReceiveSource(const UniqueFd& socket) {
  UniqueFd fd;
  ASSIGN_OR_RETURN(const std::string packet, NextPacketWithFd(socket, &fd));
  if (packet.size() != 1 || packet[0] != static_cast<char>(Message::kSource) || !fd.valid())
    return FailureOf(packet);
  return fd;
}

Status ExpectServing(const UniqueFd& socket, Message expected,
                     const std::function<StatusOr<UniqueFd>(size_t)>& open_source) {
  for (;;) {
    ASSIGN_OR_RETURN(const std::string packet, NextPacket(socket));
    if (packet.size() == 1 && packet[0] == static_cast<char>(expected)) return OkStatus();
    if (packet.size() < 2 || packet[0] != static_cast<char>(Message::kSource))
      return FailureOf(packet);
    size_t index = 0;
    std::from_chars(packet.data() + 1, packet.data() + packet.size(), index);
    const auto source = open_source(index);
    const char letter = static_cast<char>(Message::kSource);
    RETURN_IF_ERROR(source.ok() ? sys::SendFd(socket, *source, {&letter, 1})
                                : SendFailure(socket, source.status()));
  }
}

}  // namespace ocirun::init
