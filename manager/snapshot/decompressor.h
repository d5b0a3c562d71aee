// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace ocirun::snapshot {

// Gives the next piece of a stream; empty at its end. The view holds until the next call.
using ByteSource = std::function<StatusOr<std::string_view>()>;

// The plain bytes of a stream that is gzip, zstd or plain: known by its first bytes, since Docker's
// media types do not always tell the truth (formats.md, "Magic"). DataLoss for a damaged or
// truncated stream, Unimplemented for bzip2 and xz.
ByteSource Decompress(ByteSource source);

}  // namespace ocirun::snapshot
