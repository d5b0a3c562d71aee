// SPDX-License-Identifier: Apache-2.0
//
// The conversation between the runtime (parent) and the container's first process (init), over a
// SOCK_SEQPACKET pair: one message, one packet. A message out of phase ends the start.
//
//   create                                         start
//   parent                init                     `ocirun start`       init
//     |------ kGo --------->|  cgroups, namespaces,   |--- connect ------->|  start.sock
//     |<-- kSource index ---|  mounts: each source    |                    |  user, seccomp,
//     |-- kSource + fd ---->|  that only the runtime  |                    |  startContainer hooks,
//     |<-- kRunHooks -------|  may open               |                    |  exec
//     |------ kGo --------->|  createContainer hooks, |                    |
//     |<--- kReady ---------|  root                   |<-- end of stream --|  the command runs
//     |------ kGo --------->|  waits for start        |                    |
//     |<--- kFailed{} ------|  instead, any time      |<-- kFailed{} ------|  instead
//
// With a seccomp rule that notifies, whoever waits for the end of the stream (`start`, or `exec`
// for its process) is sent the listener's descriptor before it, and answers when the agent has it:
//
//     start                 init
//     |<-- kListener + fd --|  the filter is in force
//     |------ kGo --------->|  exec
// After a startContainer hook that failed the container is to go, other than after a command that
// can't be executed (runtime.md#lifecycle, step 7): kFailed then has the code kHookFailed.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::init {

enum class Message : char {
  kGo = 'g',
  kSource = 's',
  kRunHooks = 'h',
  kReady = 'r',
  kListener = 'l',
  kFailed = 'f'
};

// Of the Status that a failed startContainer hook is told with, and of no other there.
inline constexpr StatusCode kHookFailed = StatusCode::kAborted;

Status SendMessage(const UniqueFd& socket, Message message);
// The packet that tells an error with its code, errno and text, and how it is sent.
std::string FailurePacket(const Status& failure);
Status SendFailure(const UniqueFd& socket, const Status& failure);

// The Status in a packet of kFailed; Internal for any other packet.
Status FailureOf(const std::string& packet);

// Waits for `expected`. A kFailed from the other side becomes its Status; the end of the stream
// or another message is an Internal error.
Status Expect(const UniqueFd& socket, Message expected);
// Waits for the end of the stream, which means success, or for a failure. A listener that comes
// before is given to `on_listener` and answered.
Status ExpectEnd(const UniqueFd& socket, const std::function<Status(UniqueFd)>& on_listener);

// Init's side: asks for the source of a mount, and receives it.
Status RequestSource(const UniqueFd& socket, size_t index);
StatusOr<UniqueFd> ReceiveSource(const UniqueFd& socket);
// The runtime's side: waits for `expected`, and answers what init asks for before it with what
// `open_source` gives, or its failure.
Status ExpectServing(const UniqueFd& socket, Message expected,
                     const std::function<StatusOr<UniqueFd>(size_t)>& open_source);

// Sends kListener with the descriptor.
Status SendListener(const UniqueFd& socket, const UniqueFd& listener);

}  // namespace ocirun::init
