// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string_view>

#include "ocirun/systemd/variant.h"

// What parses has the type that it says, all the way down.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto value = ocirun::systemd::ParseVariant(text);
  if (!value.ok()) return 0;
  if (value->type.empty()) __builtin_trap();
  if (value->type[0] == 'a')
    for (const auto& child : value->children)
      if ("a" + child.type != value->type) __builtin_trap();
  if (value->type[0] == '(') {
    std::string members;
    for (const auto& child : value->children) members += child.type;
    if ("(" + members + ")" != value->type) __builtin_trap();
  }
  return 0;
}
