// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace ocirun {

// Of the build; every commit changes one source file.
extern const char* const kVersion;
extern const char* const kCommit;  // its first 12 letters, or nothing

}  // namespace ocirun
