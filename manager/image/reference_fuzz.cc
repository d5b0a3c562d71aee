// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "manager/image/reference.h"

// A name that is accepted is still the same one when it is read again: policy and fetch must not
// see different ones.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocirun;  // NOLINT: this file is one function
  const auto first = image::ParseReference({reinterpret_cast<const char*>(data), size});
  if (!first.ok()) return 0;
  for (const std::string& text : {first->Canonical(), first->Familiar()}) {
    const auto again = image::ParseReference(text);
    if (!again.ok() || again->Canonical() != first->Canonical()) std::abort();
  }
  return 0;
}
