// SPDX-License-Identifier: Apache-2.0
#include "base/sys/socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "base/path.h"
#include "base/sys/file.h"

namespace ocirun::sys {
namespace {

// Fills `address`; `folder` holds the descriptor that a long path is reached through.
Status Address(const std::string& path, sockaddr_un* address, UniqueFd* folder) {
  std::string name = path;
  if (name.size() >= sizeof address->sun_path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return SysError(ENAMETOOLONG, "socket", path);
    ASSIGN_OR_RETURN(*folder, Open(path.substr(0, slash + 1), O_PATH | O_DIRECTORY));
    name = ProcFdPath(*folder) + path.substr(slash);
    if (name.size() >= sizeof address->sun_path) return SysError(ENAMETOOLONG, "socket", path);
  }
  std::memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  std::memcpy(address->sun_path, name.c_str(), name.size() + 1);
  return OkStatus();
}

StatusOr<UniqueFd> NewSocket(int type) {
  const int fd = ::socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return SysError(errno, "socket");
  return UniqueFd(fd);
}

}  // namespace

StatusOr<std::pair<UniqueFd, UniqueFd>> SocketPair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
    return SysError(errno, "socketpair");
  return std::pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}

StatusOr<UniqueFd> BindUnix(const std::string& path, int type) {
  ASSIGN_OR_RETURN(UniqueFd fd, NewSocket(type));
  sockaddr_un address;
  UniqueFd folder;
  RETURN_IF_ERROR(Address(path, &address, &folder));
  // The mode of the file is that of the socket before bind: it is never open to others.
  if (::fchmod(fd.get(), 0600) < 0) return SysError(errno, "fchmod", path);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
    return SysError(errno, "bind", path);
  return fd;
}

StatusOr<UniqueFd> ListenUnix(const std::string& path, int type) {
  ASSIGN_OR_RETURN(UniqueFd fd, BindUnix(path, type));
  if (::listen(fd.get(), 128) < 0) return SysError(errno, "listen", path);
  return fd;
}

StatusOr<UniqueFd> ConnectUnix(const std::string& path, int type) {
  ASSIGN_OR_RETURN(UniqueFd fd, NewSocket(type));
  sockaddr_un address;
  UniqueFd folder;
  RETURN_IF_ERROR(Address(path, &address, &folder));
  const auto connect = [&] {
    return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  };
  if (RetryEintr(connect) < 0) return SysError(errno, "connect", path);
  return fd;
}

StatusOr<UniqueFd> Accept(const UniqueFd& listener) {
  const int fd =
      RetryEintr([&] { return ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC); });
  if (fd < 0) return SysError(errno, "accept");
  return UniqueFd(fd);
}

StatusOr<std::string> Receive(const UniqueFd& socket, size_t limit) {
  std::string message(limit, '\0');
  const ssize_t n =
      RetryEintr([&] { return ::recv(socket.get(), message.data(), message.size(), MSG_TRUNC); });
  if (n < 0) return SysError(errno, "recv");
  if (static_cast<size_t>(n) > limit)
    return Error(StatusCode::kResourceExhausted, "message of {} bytes", n);
  message.resize(static_cast<size_t>(n));
  return message;
}

Status Send(const UniqueFd& socket, std::string_view message) {
  const ssize_t n = RetryEintr(
      [&] { return ::send(socket.get(), message.data(), message.size(), MSG_NOSIGNAL); });
  if (n < 0) return SysError(errno, "send");
  return OkStatus();
}

Status SendFd(const UniqueFd& socket, const UniqueFd& fd, std::string_view text) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec data{const_cast<char*>(text.data()), text.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int raw = fd.get();
  std::memcpy(CMSG_DATA(header), &raw, sizeof raw);
  if (RetryEintr([&] { return ::sendmsg(socket.get(), &message, MSG_NOSIGNAL); }) < 0)
    return SysError(errno, "sendmsg");
  return OkStatus();
}

void CloseLater(UniqueFd fd) {
  const auto sockets = SocketPair();
  if (!sockets.ok()) return;
  const auto& [from, to] = *sockets;
  for (const UniqueFd* each : std::initializer_list<const UniqueFd*>{&fd, &to})
    if (!SendFd(from, *each, "x").ok()) return;
}

StatusOr<std::string> ReceiveWithFd(const UniqueFd& socket, size_t limit, UniqueFd* fd) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  std::string text(limit, '\0');
  iovec data{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = RetryEintr([&] { return ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC); });
  if (n < 0) return SysError(errno, "recvmsg");
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len == CMSG_LEN(sizeof(int))) {
    int raw = -1;
    std::memcpy(&raw, CMSG_DATA(header), sizeof raw);
    *fd = UniqueFd(raw);
  }
  if ((message.msg_flags & MSG_TRUNC) != 0)
    return Error(StatusCode::kResourceExhausted, "a message of more than {} bytes", limit);
  text.resize(static_cast<size_t>(n));
  return text;
}

StatusOr<UniqueFd> ReceiveFd(const UniqueFd& socket) {
  UniqueFd fd;
  RETURN_IF_ERROR(ReceiveWithFd(socket, 4096, &fd).status());
  if (!fd.valid()) return FailedPrecondition("the message carries no descriptor");
  return fd;
}

StatusOr<ucred> PeerCredentials(const UniqueFd& socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
    return SysError(errno, "getsockopt SO_PEERCRED");
  return peer;
}

StatusOr<unsigned> PeerUid(const UniqueFd& socket) {
  ASSIGN_OR_RETURN(const ucred peer, PeerCredentials(socket));
  return peer.uid;
}

}  // namespace ocirun::sys
