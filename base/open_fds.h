// SPDX-License-Identifier: Apache-2.0
//
// All descriptors of this process at once: by close_range(2), and one after the other where there
// is none (before 5.9).
#pragma once

#include <functional>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun {

// Closes every descriptor that is not in `keep`, whoever opened it. Where there is no close_range,
// /proc is looked at: to be called before anything of a container can stand there.
Status CloseAllBut(std::vector<int> keep);

// All from `first` on close at exec. `open_folder` opens /proc/self/fd for reading, and is asked
// only by a kernel that can't be told all at once (before 5.11).
Status CloseAtExec(int first, const std::function<StatusOr<UniqueFd>()>& open_folder);

}  // namespace ocirun
