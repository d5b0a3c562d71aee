// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::sys {

// A connected pair of SOCK_SEQPACKET sockets: messages keep their borders.
StatusOr<std::pair<UniqueFd, UniqueFd>> SocketPair();
// Unix sockets of `type` (SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM). A path longer than sockaddr_un
// takes is reached through a descriptor of its folder. The socket file gets mode 0600.
StatusOr<UniqueFd> BindUnix(const std::string& path, int type);
StatusOr<UniqueFd> ListenUnix(const std::string& path, int type);
StatusOr<UniqueFd> ConnectUnix(const std::string& path, int type);
StatusOr<UniqueFd> Accept(const UniqueFd& listener);
// One message of a SEQPACKET socket; empty at its end.
StatusOr<std::string> Receive(const UniqueFd& socket, size_t limit);
Status Send(const UniqueFd& socket, std::string_view message);
// Sends `fd` (SCM_RIGHTS) with `text` as the message, as runc does with a console's master.
Status SendFd(const UniqueFd& socket, const UniqueFd& fd, std::string_view text);
// Has the kernel close `fd` a moment later, in a thread of its own: for one whose last close waits.
// It is sent into a socket that is sent into itself, so that the collector of such sockets finds it
// (net/unix/garbage.c). Before Linux 6.9 that runs in the caller, who waits as for close(2); what
// can't be sent is closed at once.
void CloseLater(UniqueFd fd);
// One message, and the descriptor that came with it: `*fd` is left alone when there was none.
StatusOr<std::string> ReceiveWithFd(const UniqueFd& socket, size_t limit, UniqueFd* fd);
// Receives one descriptor with its message, which is dropped.
StatusOr<UniqueFd> ReceiveFd(const UniqueFd& socket);
// Who the peer is (SO_PEERCRED): as it was when it connected, or listened.
StatusOr<ucred> PeerCredentials(const UniqueFd& socket);
// The peer's user id.
StatusOr<unsigned> PeerUid(const UniqueFd& socket);

}  // namespace ocirun::sys
