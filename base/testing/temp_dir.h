// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdlib.h>

#include <string>

#include "base/file.h"

namespace ocirun::testing {

// A folder for one test, which goes with all that is in it.
struct TempDir {
  std::string path = "/tmp/ocirun-test.XXXXXX";
  TempDir() {
    if (::mkdtemp(path.data()) == nullptr) path.clear();  // whatever uses it fails
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    if (!path.empty()) IgnoreError(RemoveTree(path), "a test's folder");
  }
};

}  // namespace ocirun::testing
