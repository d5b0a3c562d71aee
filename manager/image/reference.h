// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace ocirun::image {

// The name of an image: [domain[:port]/]path[:tag][@digest], normalised as Docker does: the domain
// docker.io and its namespace library are filled in, a missing tag is latest, a tag beside a digest
// is dropped.
struct Reference {
  std::string domain;  // docker.io, localhost:5000
  std::string path;    // library/busybox
  std::string tag;     // empty with a digest
  std::string digest;  // sha256:..., or empty

  // docker.io/library/busybox:latest
  [[nodiscard]] std::string Canonical() const;
  // busybox:latest
  [[nodiscard]] std::string Familiar() const;
  // docker.io/library/busybox, busybox
  [[nodiscard]] std::string Repository() const { return domain + "/" + path; }
  [[nodiscard]] std::string FamiliarRepository() const;
};

// InvalidArgument with Docker's words: "invalid reference format", "... repository name (X) must be
// lowercase", "unsupported digest algorithm", ....
StatusOr<Reference> ParseReference(std::string_view text);

// Whether `text` is "sha256:" and 64 lower-case hexadecimal digits.
bool IsSha256Digest(std::string_view text);

}  // namespace ocirun::image
