// SPDX-License-Identifier: Apache-2.0
//
// Values of D-Bus as text, in GVariant's notation, which is also what runc's annotations
// "org.systemd.property.*" are written in:
//
//   true   5   uint64 5   byte 0x2a   'text'   ['a', 'b']   [('/dev/null', 'rw')]   @as []
//
// A number without a type is an int32, or a double when it has a fraction; an array takes the type
// of its first element. Dictionaries, maybe types and nested variants are refused: no property of a
// unit has them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ocirun::systemd {

struct Variant {
  std::string type;               // a D-Bus signature of one complete type: "t", "as", "a(ss)"
  std::string text;               // of a basic type: "true", "-5", "text" without quotes
  std::vector<Variant> children;  // of an array or a tuple

  bool operator==(const Variant&) const = default;
};

// InvalidArgument names what is wrong and where. Pure.
StatusOr<Variant> ParseVariant(std::string_view text);

}  // namespace ocirun::systemd
