// SPDX-License-Identifier: Apache-2.0
#include "base/path.h"

#include "base/sys/file.h"

namespace ocirun {
namespace {

constexpr uint64_t kInRoot = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

// mkdir of `path` below `root` whose parent exists. The parent is opened safely first, so that the
// name that mkdirat sees is a single component.
Status MakeOneDir(const UniqueFd& root, const std::string& parent, const std::string& name,
                  mode_t mode) {
  ASSIGN_OR_RETURN(const UniqueFd dir, OpenInRoot(root, parent, O_PATH | O_DIRECTORY));
  const Status made = sys::MakeDirAt(dir, name, mode);
  return ErrnoOf(made) == EEXIST ? absl::OkStatus() : made;
}

}  // namespace

std::vector<std::string> PathComponents(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (!part.empty() && part != ".") out.emplace_back(part);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  }
  return out;
}

StatusOr<UniqueFd> OpenInRoot(const UniqueFd& root, std::string_view path, int flags, mode_t mode) {
  std::string relative(path);
  if (relative.empty()) relative = ".";
  return sys::OpenAt2(root, relative, static_cast<uint64_t>(flags), kInRoot, mode);
}

StatusOr<UniqueFd> MakeDirsInRoot(const UniqueFd& root, std::string_view path, mode_t mode) {
  std::string done = "/";
  for (const std::string& name : PathComponents(path)) {
    const std::string next = done + name;
    auto existing = OpenInRoot(root, next, O_PATH | O_DIRECTORY);
    if (!existing.ok()) {
      if (ErrnoOf(existing.status()) != ENOENT) return existing.status();
      RETURN_IF_ERROR(MakeOneDir(root, done, name, mode));
    }
    done = next + "/";
  }
  return OpenInRoot(root, done, O_PATH | O_DIRECTORY);
}

std::string ProcFdPath(const UniqueFd& fd) { return fmt::format("/proc/self/fd/{}", fd.get()); }

}  // namespace ocirun
