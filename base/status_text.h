// SPDX-License-Identifier: Apache-2.0
//
// A Status as text, to cross from one process to another with its code and errno.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace ocirun {

// "<code> <errno> <message>"
std::string StatusText(const Status& status);
// Never OK: Internal when the text is none of the above.
Status StatusFromText(std::string_view text);

}  // namespace ocirun
