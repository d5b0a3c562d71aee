// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "manager/registry/challenge.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string header(reinterpret_cast<const char*>(data), size);
  (void)ocirun::registry::ChooseChallenge({header, "Basic realm=x"});
  return 0;
}
