// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <dirent.h>
#include <sys/stat.h>

#include <memory>
#include <vector>

#include "base/sys/file.h"

namespace ocirun {
namespace {

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

}  // namespace

StatusOr<std::vector<std::string>> ListFolder(const UniqueFd& dir) {
  ASSIGN_OR_RETURN(UniqueFd copy, sys::OpenAt(dir, ".", O_RDONLY | O_DIRECTORY));
  std::unique_ptr<DIR, DirCloser> stream(::fdopendir(copy.get()));
  if (!stream) return SysError(errno, "fdopendir");
  (void)copy.Release();  // closedir closes it
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return SysError(errno, "readdir");
  return names;
}

namespace {

Status RemoveEntryAt(const UniqueFd& parent, const std::string& name, dev_t device) {
  if (::unlinkat(parent.get(), name.c_str(), 0) == 0 || errno == ENOENT) return OkStatus();
  if (errno != EISDIR && errno != EPERM) return SysError(errno, "unlink", name);
  auto dir = sys::OpenAt(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir.ok()) return dir.status();
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(*dir));
  if (st.st_dev != device) return SysError(EBUSY, "remove", name);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(*dir));
  for (const std::string& child : names) RETURN_IF_ERROR(RemoveEntryAt(*dir, child, device));
  return sys::UnlinkAt(parent, name, AT_REMOVEDIR);
}

Status Replace(const std::string& path, std::string_view data, mode_t mode, bool sync) {
  std::string temporary = path + ".XXXXXX";
  const int raw = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (raw < 0) return SysError(errno, "mkostemp", temporary);
  const UniqueFd fd(raw);
  Undo remove([&] { ::unlink(temporary.c_str()); });
  if (::fchmod(fd.get(), mode) < 0) return SysError(errno, "fchmod", temporary);
  RETURN_IF_ERROR(Annotate(sys::WriteAll(fd, data), temporary));
  if (sync) RETURN_IF_ERROR(sys::Fsync(fd));
  RETURN_IF_ERROR(sys::Rename(temporary, path));
  remove.Release();
  return OkStatus();
}

}  // namespace

StatusOr<std::vector<std::string>> ListFolder(const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd dir, sys::Open(path, O_RDONLY | O_DIRECTORY));
  return ListFolder(dir);
}

StatusOr<std::string> ReadFile(const std::string& path, size_t limit) {
  ASSIGN_OR_RETURN(const UniqueFd fd, sys::Open(path, O_RDONLY));
  auto data = sys::ReadAll(fd, limit);
  if (!data.ok()) return Annotate(data.status(), path);
  return data;
}

Status WriteFile(const std::string& path, std::string_view data, mode_t mode) {
  ASSIGN_OR_RETURN(const UniqueFd fd, sys::Open(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
  return Annotate(sys::WriteAll(fd, data), path);
}

Status WriteFileAtomic(const std::string& path, std::string_view data, mode_t mode) {
  return Replace(path, data, mode, false);
}

Status WriteFileDurable(const std::string& path, std::string_view data, mode_t mode) {
  return Replace(path, data, mode, true);
}

bool PathExists(const std::string& path) {
  struct stat st;
  return ::lstat(path.c_str(), &st) == 0;
}

Status MakeDirs(const std::string& path, mode_t mode) {
  struct stat there;
  if (::stat(path.c_str(), &there) == 0 && S_ISDIR(there.st_mode)) return OkStatus();
  for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    if (::mkdir(path.substr(0, at).c_str(), mode) < 0 && errno != EEXIST)
      return SysError(errno, "mkdir", path.substr(0, at));
  }
  if (::mkdir(path.c_str(), mode) < 0) {
    if (errno != EEXIST) return SysError(errno, "mkdir", path);
    ASSIGN_OR_RETURN(const struct stat st, sys::StatPath(path));
    if (!S_ISDIR(st.st_mode)) return SysError(ENOTDIR, "mkdir", path);
  }
  return OkStatus();
}

Status RemoveTree(const std::string& path) {
  const size_t slash = path.find_last_not_of('/');
  if (slash == std::string::npos) return InvalidArgument("will not remove {:?}", path);
  const std::string clean = path.substr(0, slash + 1);
  const size_t cut = clean.rfind('/');
  const std::string parent_path =
      cut == std::string::npos ? "." : (cut == 0 ? "/" : clean.substr(0, cut));
  const std::string name = cut == std::string::npos ? clean : clean.substr(cut + 1);
  auto parent = sys::Open(parent_path, O_PATH | O_DIRECTORY);
  if (!parent.ok()) return ErrnoOf(parent.status()) == ENOENT ? OkStatus() : parent.status();
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(*parent));
  return Annotate(RemoveEntryAt(*parent, name, st.st_dev), clean);
}

}  // namespace ocirun
