// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun {

// The most that a text file of ours or of a client may hold before it is refused.
inline constexpr size_t kMaxTextFile = 16u << 20;

StatusOr<std::string> ReadFile(const std::string& path, size_t limit = kMaxTextFile);
// Writes to an existing or new file, in place (cgroup and proc files want this).
Status WriteFile(const std::string& path, std::string_view data, mode_t mode = 0644);
// Temporary file in the same folder, rename: readers see the old or the new content, whole, also
// when we are killed. For what need not outlive the machine's next boot: state folders.
Status WriteFileAtomic(const std::string& path, std::string_view data, mode_t mode = 0644);
// The same with fsync before the rename: whole also after a loss of power.
Status WriteFileDurable(const std::string& path, std::string_view data, mode_t mode = 0644);

// The names in a folder, without "." and "..", in no order.
StatusOr<std::vector<std::string>> ListFolder(const UniqueFd& dir);
StatusOr<std::vector<std::string>> ListFolder(const std::string& path);
bool PathExists(const std::string& path);               // does not follow a last symbolic link
Status MakeDirs(const std::string& path, mode_t mode);  // like mkdir -p
// Removes a tree without following links and without crossing into what it does not own: a mount
// point inside is an error (EBUSY), never emptied. A path that does not exist is OK.
Status RemoveTree(const std::string& path);

}  // namespace ocirun
