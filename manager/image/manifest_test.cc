// SPDX-License-Identifier: Apache-2.0
#include "manager/image/manifest.h"

#include <doctest/doctest.h>

namespace ocirun::image {
namespace {

constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";
constexpr const char* kImageType = "application/vnd.oci.image.manifest.v1+json";

StatusOr<bool> Is(const char* document, const char* type) {
  return IsIndex(*ParseJson(document), type);
}

}  // namespace

TEST_CASE("a document is an index or an image, not both (CVE-2021-41190)") {
  for (const char* type : {kIndexType, kImageType, "", "application/json"}) {
    CAPTURE(type);
    CHECK_FALSE(Is(R"({"manifests": [], "layers": []})", type).ok());
    CHECK_FALSE(Is(R"({"manifests": [], "config": {}})", type).ok());
  }
  CHECK_FALSE(Is(R"({"manifests": []})", kImageType).ok());
  CHECK_FALSE(Is(R"({"layers": [], "config": {}})", kIndexType).ok());
  CHECK_FALSE(
      Is(R"({"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []})", kImageType)
          .ok());
  CHECK(*Is(R"({"manifests": []})", kIndexType));
  CHECK(*Is(R"({"manifests": []})", "application/json"));
  CHECK_FALSE(*Is(R"({"layers": [], "config": {}})", kImageType));
  CHECK_FALSE(*Is(R"({"layers": [], "config": {}})", ""));
}

}  // namespace ocirun::image
