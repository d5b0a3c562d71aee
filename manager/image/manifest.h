// SPDX-License-Identifier: Apache-2.0
//
// Reading what describes an image: index, manifest, configuration (image-spec; Docker's schema 2
// has the same fields under other media types). All of it is a stranger's text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "ocid/v1/image.pb.h"

namespace ocirun::image {

struct Descriptor {
  std::string media_type;
  std::string digest;  // a valid sha256 digest
  uint64_t size = 0;
};

struct Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;  // base first
};

struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;
};

Platform HostPlatform();
// "linux/arm64/v8", "linux/amd64", "arm64"; InvalidArgument otherwise.
StatusOr<Platform> ParsePlatform(std::string_view text);
std::string PlatformText(const Platform& platform);

// Whether the document is an index (or Docker's manifest list), by media type or, when that says
// nothing, by its fields.
StatusOr<bool> IsIndex(const Json& document, const std::string& media_type);
// The first manifest of an index for `platform`; amd64 and arm64 take their lower variants.
// NotFound "no matching manifest for linux/arm64 in the manifest list entries".
StatusOr<Descriptor> ChooseManifest(const Json& index, const Platform& platform);
StatusOr<Manifest> ParseManifest(const Json& document);

// The configuration's fields as the API shows them; `layer_sizes` are those of diff_ids.
StatusOr<ocid::v1::Image> ParseImageConfig(const std::string& text,
                                           const std::vector<uint64_t>& layer_sizes);

// Chain ids of all layers, base first (image-spec, config.md, "Layer ChainID").
std::vector<std::string> ChainIds(const std::vector<std::string>& diff_ids);

}  // namespace ocirun::image
