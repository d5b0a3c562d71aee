// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace ocirun {

// `bytes` bytes from getrandom(2), as lower-case hexadecimal (two digits a byte).
std::string RandomHex(size_t bytes);

}  // namespace ocirun
