// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/status.h"
#include "ocirun/container/checkpoint.h"
#include "ocirun/container/lifecycle.h"

namespace ocirun::cli {

// Creates and starts the container, forwards signals to it and, when it has a terminal and nobody
// else takes the master, connects it to ours. Returns the exit status of its command; the
// container is deleted unless `keep`.
StatusOr<int> RunInForeground(const container::Store& store, container::CreateOptions options,
                              bool keep);

// The same with a container that is restored.
StatusOr<int> RestoreInForeground(const container::Store& store, container::CreateOptions options,
                                  const container::CriuOptions& criu, bool keep);

// The same for one more process in a container.
StatusOr<int> ExecInForeground(const container::Store& store, container::ExecTarget target,
                               container::ExecOptions options);

}  // namespace ocirun::cli
