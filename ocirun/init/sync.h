// SPDX-License-Identifier: Apache-2.0
//
// The conversation between the runtime (parent) and the container's first process (init), over a
// SOCK_SEQPACKET pair: one message, one packet. A message out of phase ends the start.
//
//   create                                         start
//   parent                init                     `ocirun start`       init
//     |------ kGo --------->|  cgroups, namespaces,   |--- connect ------->|  start.sock
//     |<-- kRunHooks -------|  mounts                 |                    |  startContainer hooks,
//     |------ kGo --------->|  createContainer hooks, |                    |  user, seccomp, exec
//     |<--- kReady ---------|  root; waits for start  |<-- end of stream --|  the command runs
//     |<--- kFailed{} ------|  instead, any time      |<-- kFailed{} ------|  instead
#pragma once

#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::init {

enum class Message : char { kGo = 'g', kRunHooks = 'h', kReady = 'r', kFailed = 'f' };

Status SendMessage(const UniqueFd& socket, Message message);
// Sends the error with its code, errno and text.
Status SendFailure(const UniqueFd& socket, const Status& failure);

// Waits for `expected`. A kFailed from the other side becomes its Status; the end of the stream
// or another message is an Internal error.
Status Expect(const UniqueFd& socket, Message expected);
// Waits for the end of the stream, which means success, or for a failure.
Status ExpectEnd(const UniqueFd& socket);

}  // namespace ocirun::init
