// SPDX-License-Identifier: Apache-2.0
//
// The schema, as the steps that made it. A step that has been released is never changed: a new one
// is added behind it.
//
//   images ─┬─ image_layers ──► layers      an image's layers in order; one row a chain id
//           └─ image_references             names: docker.io/library/busybox:latest, ...@sha256:...
//   containers ── container_layers ──► layers
//   networks                            IPAM
#pragma once

#include <vector>

namespace ocirun::store {

struct Migration {
  int number;
  const char* name;
  std::vector<const char*> statements;
};

const std::vector<Migration>& Migrations();

}  // namespace ocirun::store
