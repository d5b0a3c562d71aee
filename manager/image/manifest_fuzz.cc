// SPDX-License-Identifier: Apache-2.0
//
// What a registry serves as a manifest, an index or an image's configuration.
#include <cstddef>
#include <cstdint>

#include "manager/image/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocirun;  // NOLINT: this file is one function
  const std::string text(reinterpret_cast<const char*>(data), size);
  IgnoreError(image::ParseImageConfig(text, {1, 2, 3}).status(), "only crashes count");
  const auto document = ParseJson(text);
  if (!document.ok()) return 0;
  for (const char* type : {"", "application/vnd.oci.image.index.v1+json",
                           "application/vnd.oci.image.manifest.v1+json"})
    IgnoreError(image::IsIndex(*document, type).status(), "only crashes count");
  if (!document->is_object()) return 0;
  IgnoreError(image::ChooseManifest(*document, image::HostPlatform()).status(),
              "only crashes count");
  IgnoreError(image::ParseManifest(*document).status(), "only crashes count");
  return 0;
}
