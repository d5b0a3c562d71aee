// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

struct Terminal {
  UniqueFd master, slave;
  std::string slave_name;  // "/dev/pts/0", inside the container
};

// A new terminal of the devpts instance of the container, whose root is `root`: the host's own
// would show a name that does not exist inside.
StatusOr<Terminal> OpenTerminal(const UniqueFd& root, std::optional<oci::ConsoleSize> size);

// Makes the terminal the controlling one of a new session and the three standard descriptors.
Status UseTerminal(const UniqueFd& slave, const oci::User& user);

// Binds the slave on /dev/console below `root` (config-linux.md#default-devices).
Status MakeConsole(const UniqueFd& root, const UniqueFd& slave);

}  // namespace ocirun::linux_
