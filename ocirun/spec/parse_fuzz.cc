// SPDX-License-Identifier: Apache-2.0
//
// The documents that the runtime takes: config.json, the process of `exec`, the resources of
// `update`, the list of `mounts add`; and lists of CPUs, which are options, too.
#include <cstddef>
#include <cstdint>

#include "ocirun/spec/spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocirun;  // NOLINT: this file is one function
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  IgnoreError(oci::Parse(text, "/bundle").status(), "only crashes count");
  IgnoreError(oci::ParseProcess(text).status(), "only crashes count");
  IgnoreError(oci::ParseResources(text).status(), "only crashes count");
  IgnoreError(oci::ParseMounts(text, "/folder").status(), "only crashes count");
  IgnoreError(oci::ParseNumberList(text).status(), "only crashes count");
  return 0;
}
