// SPDX-License-Identifier: Apache-2.0
//
// What the runtime asks of ocirun-systemd, on a SOCK_SEQPACKET pair (fd 3), one message a packet:
//
//   {"call":"start","bus":"","unit":"a.scope","properties":[["Slice","'b.slice'"], ...],
//    "optional":["AllowedCPUs"]}          the helper itself becomes the scope's first process
//     -> {"cgroup":"0::/b.slice/a.scope\n","left_out":["AllowedCPUs"]}   /proc/self/cgroup by now
//   {"call":"set", ... as above}          limits of a unit that exists      -> {"left_out":[]}
//   {"call":"attach","bus":"","unit":"a.scope","below":"/","pid":7}         -> {}
//   {"call":"stop","bus":"","unit":"a.scope"}                               -> {}
//   any                                                                     -> {"error":"..."}
//
// `bus` is an address, or empty for the system's. The values of properties are GVariant's text. The
// helper ends with the stream.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "ocirun/systemd/variant.h"

namespace ocirun::systemd {

struct Property {
  std::string name;
  Variant value;
  bool optional = false;  // left out when this systemd does not know it
};

struct Request {
  std::string call, bus, unit, below;
  uint32_t pid = 0;
  std::vector<Property> properties;
};

// InvalidArgument names the property. Pure.
StatusOr<Request> ParseRequest(const std::string& message);

// The interface on the bus has times in microseconds where unit files have seconds:
// "TimeoutStopSec" with a number becomes "TimeoutStopUSec", as runc does. Others stay as they are.
Status ConvertSeconds(Property* property);

// Takes the first optional property out that an error message of systemd's names ("Cannot set
// property AllowedCPUs, or unknown property."); its name, or empty: none.
std::string LeaveOut(std::string_view error, std::vector<Property>* properties);

}  // namespace ocirun::systemd
