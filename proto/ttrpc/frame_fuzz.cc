// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "proto/ttrpc/frame.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ocirun::ttrpc::Decoder decoder;
  // In two pieces, so that a header that is cut is met, too.
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const std::string_view part : {bytes.substr(0, size / 2), bytes.substr(size / 2)}) {
    decoder.Append(part);
    while (const auto frame = decoder.Next())
      if (frame->data.size() != (frame->IsTooLong() ? 0 : frame->length)) __builtin_trap();
  }
  return 0;
}
