// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::shim {

// Compresses `from`, from where it stands to its end, into `to`: one gzip member, with `extra` as
// the header's extra field, on disk when it returns. Takes its time: for a process of its own.
Status CompressFile(const UniqueFd& from, const UniqueFd& to, std::string_view extra);

}  // namespace ocirun::shim
