// SPDX-License-Identifier: Apache-2.0
//
// CRIU's messages as JSON, name by name as in proto/criu/rpc.proto. The runtime decides everything
// and speaks JSON; ocirun-criu knows the wire, and nothing else:
//
//   ocirun <-- JSON, fd 3 --> ocirun-criu <-- protobuf, fd 4 --> criu swrk
//
// Both are SOCK_SEQPACKET, one message a packet; a descriptor that comes with a message goes on
// with it.
#pragma once

#include <string>

#include "base/status.h"

namespace ocirun::criu_rpc {

// A packet for CRIU. InvalidArgument for a name or a value that it has no field for.
StatusOr<std::string> RequestFromJson(const std::string& json);

// What CRIU said, as JSON:
// {"type":"NOTIFY","success":true,"notify":{"script":"post-dump","pid":7}}.
StatusOr<std::string> ResponseToJson(const std::string& packet);

}  // namespace ocirun::criu_rpc
