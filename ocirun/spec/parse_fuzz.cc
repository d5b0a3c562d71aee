// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "ocirun/spec/spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  ocirun::IgnoreError(ocirun::oci::Parse(text, "/bundle").status(), "only crashes count");
  return 0;
}
