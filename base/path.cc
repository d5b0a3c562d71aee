// SPDX-License-Identifier: Apache-2.0
#include "base/path.h"

#include <atomic>

#include "base/sys/file.h"
#include "base/walk.h"

namespace ocirun {
namespace {

constexpr uint64_t kInRoot = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

StatusOr<UniqueFd> MakeDirs(const UniqueFd& root, std::string_view path, mode_t mode, int links);

// Makes folder `name` in `parent`, a path below the root that exists. A link with that name which
// leads nowhere yet is followed, inside the root, and what it points to is made.
Status MakeOneDir(const UniqueFd& root, const std::string& parent, const std::string& name,
                  mode_t mode, int links) {
  // The parent is opened first, so that the name that mkdirat sees is a single component.
  ASSIGN_OR_RETURN(const UniqueFd dir, OpenInRoot(root, parent, O_PATH | O_DIRECTORY));
  const Status made = sys::MakeDirAt(dir, name, mode);
  if (ErrnoOf(made) != EEXIST) return made;
  const auto to = sys::ReadLinkAt(dir, name);
  if (ErrnoOf(to.status()) == EINVAL) return OkStatus();  // it is no link
  RETURN_IF_ERROR(to.status());
  if (links == 0) return SysError(ELOOP, "mkdir", name);
  return MakeDirs(root, to->starts_with('/') ? *to : parent + *to, mode, links - 1).status();
}

StatusOr<UniqueFd> MakeDirs(const UniqueFd& root, std::string_view path, mode_t mode, int links) {
  std::string done = "/";
  for (const std::string& name : PathComponents(path)) {
    const std::string next = done + name;
    auto existing = OpenInRoot(root, next, O_PATH | O_DIRECTORY);
    if (!existing.ok()) {
      if (ErrnoOf(existing.status()) != ENOENT) return existing.status();
      RETURN_IF_ERROR(MakeOneDir(root, done, name, mode, links));
    }
    done = next + "/";
  }
  return OpenInRoot(root, done, O_PATH | O_DIRECTORY);
}

// EPERM may be said of the file and not of the call; nobody refuses the root.
bool HasOpenat2() { return sys::OpenAt2(UniqueFd(), "/", O_PATH, 0).ok(); }

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

StatusOr<UniqueFd> OpenBelow(const UniqueFd& dir, std::string_view path, int flags,
                             uint64_t resolve, mode_t mode) {
  static std::atomic<bool> missing = false;
  if (!missing) {
    auto fd = sys::OpenAt2(dir, std::string(path), static_cast<uint64_t>(flags), resolve, mode);
    if (!sys::MayBeMissing(ErrnoOf(fd.status())) || HasOpenat2()) return fd;
    missing = true;
  }
  return Walk(dir, path, flags, resolve, mode);
}

StatusOr<UniqueFd> OpenInRoot(const UniqueFd& root, std::string_view path, int flags, mode_t mode) {
  return OpenBelow(root, path.empty() ? "." : path, flags, kInRoot, mode);
}

StatusOr<UniqueFd> MakeDirsInRoot(const UniqueFd& root, std::string_view path, mode_t mode) {
  auto existing = OpenInRoot(root, path, O_PATH | O_DIRECTORY);
  if (existing.ok()) return existing;
  return MakeDirs(root, path, mode, kMaxLinks);
}

std::string ProcFdPath(const UniqueFd& fd) { return fmt::format("/proc/self/fd/{}", fd.get()); }

}  // namespace ocirun
