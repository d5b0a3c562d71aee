// SPDX-License-Identifier: Apache-2.0
#include "base/walk.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/statfs.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <string>
#include <vector>

#include "base/path.h"
#include "base/sys/file.h"

namespace ocirun {
namespace {

bool IsProcfs(const UniqueFd& fd) {
  struct statfs fs;
  return ::fstatfs(fd.get(), &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

StatusOr<bool> IsLink(const UniqueFd& fd) {
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(fd));
  return S_ISLNK(st.st_mode);
}

// The links in the root of a procfs ("self", "net") are text, those of its processes ("exe",
// "fd/3") are not what they read as.
StatusOr<bool> IsMagic(const UniqueFd& folder, const UniqueFd& link) {
  if (!IsProcfs(link)) return false;
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(folder));
  constexpr ino_t kProcRootInode = 1;  // linux/proc_fs.h, PROC_ROOT_INO
  return !IsProcfs(folder) || st.st_ino != kProcRootInode;
}

// "mnt_id:\t25" of proc(5), for a kernel whose statx(2) tells no mounts (before 5.8). A procfs is
// asked about itself: what stands on /proc may be a container's.
StatusOr<uint64_t> MountIdByFdinfo(const UniqueFd& root, const UniqueFd& fd) {
  const std::string name =
      fmt::format("{}self/fdinfo/{}", IsProcfs(root) ? "" : "/proc/", fd.get());
  ASSIGN_OR_RETURN(const UniqueFd file, sys::OpenAt(root, name, O_RDONLY));
  ASSIGN_OR_RETURN(const std::string text, sys::ReadAll(file, 4096));
  constexpr std::string_view kKey = "mnt_id:\t";
  const size_t at = text.find(kKey);
  if (at == std::string::npos || !IsProcfs(file)) return Internal("unreadable {}", name);
  uint64_t id = 0;
  std::from_chars(text.data() + at + kKey.size(), text.data() + text.size(), id);
  return id;
}

StatusOr<uint64_t> MountId(const UniqueFd& root, const UniqueFd& fd) {
  struct statx st;
  if (::statx(fd.get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &st) == 0 &&
      (st.stx_mask & STATX_MNT_ID) != 0)
    return st.stx_mnt_id;
  return MountIdByFdinfo(root, fd);
}

class Walker {
 public:
  Walker(const UniqueFd& root, int flags, uint64_t resolve, mode_t mode)
      : root_(root), flags_(flags), resolve_(resolve), mode_(mode) {}

  StatusOr<UniqueFd> Go(std::string_view path) {
    RETURN_IF_ERROR(Add(path));
    while (!left_.empty()) {
      const std::string name = std::move(left_.front());
      left_.pop_front();
      if (name == "..") {
        RETURN_IF_ERROR(Up());
      } else if (!left_.empty()) {
        RETURN_IF_ERROR(Down(name));
      } else {
        ASSIGN_OR_RETURN(UniqueFd reached, Last(name));
        if (reached.valid()) return reached;
      }
    }
    // The path ended with ".." or had no name at all.
    return Finish(".");
  }

 private:
  // The components of a path, or of a link's text, before what is left.
  Status Add(std::string_view path) {
    if (path.empty()) return SysError(ENOENT, "open", path);
    if (path.front() == '/') {
      if ((resolve_ & RESOLVE_BENEATH) != 0) return SysError(EXDEV, "open", path);
      folders_.clear();
    }
    // "a/" and "a/." are folders, also where a link would be enough.
    if (left_.empty() && (path.back() == '/' || path.ends_with("/.") || path == "."))
      flags_ = (flags_ | O_DIRECTORY) & ~O_NOFOLLOW;
    const std::vector<std::string> names = PathComponents(path);
    left_.insert(left_.begin(), names.begin(), names.end());
    return OkStatus();
  }

  [[nodiscard]] const UniqueFd& Here() const { return folders_.empty() ? root_ : folders_.back(); }

  Status Up() {
    if (!folders_.empty())
      folders_.pop_back();
    else if ((resolve_ & RESOLVE_BENEATH) != 0)
      return SysError(EXDEV, "open", "..");
    return OkStatus();
  }

  Status CheckMount(const UniqueFd& fd) const {
    if ((resolve_ & RESOLVE_NO_XDEV) == 0) return OkStatus();
    ASSIGN_OR_RETURN(const uint64_t own, MountId(root_, root_));
    ASSIGN_OR_RETURN(const uint64_t its, MountId(root_, fd));
    return own == its ? OkStatus() : SysError(EXDEV, "open");
  }

  // Goes on with the text of a link.
  Status Follow(const UniqueFd& link, const std::string& name) {
    ASSIGN_OR_RETURN(const bool magic, IsMagic(Here(), link));
    if (magic || (resolve_ & RESOLVE_NO_SYMLINKS) != 0 || ++links_ > kMaxLinks)
      return SysError(ELOOP, "open", name);
    ASSIGN_OR_RETURN(const std::string text, sys::ReadLinkAt(link, ""));
    return Add(text);
  }

  Status Down(const std::string& name) {
    ASSIGN_OR_RETURN(UniqueFd next, sys::OpenAt(Here(), name, O_PATH | O_NOFOLLOW));
    RETURN_IF_ERROR(CheckMount(next));
    ASSIGN_OR_RETURN(const struct stat st, sys::Stat(next));
    if (S_ISLNK(st.st_mode)) return Follow(next, name);
    if (!S_ISDIR(st.st_mode)) return SysError(ENOTDIR, "open", name);
    folders_.push_back(std::move(next));
    return OkStatus();
  }

  // The last component; an invalid descriptor when it was a link, which is walked now.
  StatusOr<UniqueFd> Last(const std::string& name) {
    if ((flags_ & O_NOFOLLOW) != 0) return Finish(name);
    const auto there = sys::OpenAt(Here(), name, O_PATH | O_NOFOLLOW);
    if (ErrnoOf(there.status()) == ENOENT) return Finish(name);  // it may be made
    RETURN_IF_ERROR(there.status());
    ASSIGN_OR_RETURN(const bool is_link, IsLink(*there));
    if (!is_link) return Finish(name);
    RETURN_IF_ERROR(Follow(*there, name));
    return UniqueFd();
  }

  StatusOr<UniqueFd> Finish(const std::string& name) {
    // Before it is opened, which may do something, and after.
    RETURN_IF_ERROR(CheckBelow(Here()));
    if ((resolve_ & RESOLVE_NO_XDEV) != 0) {
      const auto there = sys::OpenAt(Here(), name, O_PATH | O_NOFOLLOW);
      if (there.ok()) RETURN_IF_ERROR(CheckMount(*there));
    }
    auto fd = sys::OpenAt(Here(), name, flags_ | O_NOFOLLOW, mode_);
    const bool may_be_link = (flags_ & O_NOFOLLOW) != 0;
    // It was none when it was looked at.
    if (!may_be_link && ErrnoOf(fd.status()) == ELOOP) return SysError(EAGAIN, "open", name);
    RETURN_IF_ERROR(fd.status());
    ASSIGN_OR_RETURN(const bool is_link, IsLink(*fd));
    if (!may_be_link && is_link) return SysError(EAGAIN, "open", name);
    RETURN_IF_ERROR(CheckMount(*fd));
    RETURN_IF_ERROR(CheckBelow(*fd));
    return fd;
  }

  // What was reached by names in folders that were held is outside all the same when such a folder
  // was moved there.
  [[nodiscard]] Status CheckBelow(const UniqueFd& fd) const {
    // Nothing moves in a procfs, and no procfs may be there to ask.
    if ((resolve_ & RESOLVE_NO_XDEV) != 0 && IsProcfs(root_)) return OkStatus();
    ASSIGN_OR_RETURN(std::string root, sys::ReadLink(ProcFdPath(root_)));
    ASSIGN_OR_RETURN(const std::string reached, sys::ReadLink(ProcFdPath(fd)));
    if (root == reached) return OkStatus();
    if (root.back() != '/') root += '/';
    return reached.starts_with(root) ? OkStatus() : SysError(EAGAIN, "open", reached);
  }

  const UniqueFd& root_;
  int flags_;
  const uint64_t resolve_;
  const mode_t mode_;
  std::deque<std::string> left_;
  std::vector<UniqueFd> folders_;  // from below the root to where the walk is
  int links_ = 0;
};

}  // namespace

StatusOr<UniqueFd> Walk(const UniqueFd& root, std::string_view path, int flags, uint64_t resolve,
                        mode_t mode) {
  constexpr int kRaces = 128;  // as sys::OpenAt2()
  for (int attempt = 0;; ++attempt) {
    auto reached = Walker(root, flags, resolve, mode).Go(path);
    const int err = ErrnoOf(reached.status());
    if (err == EAGAIN && attempt < kRaces) continue;
    return err == 0 ? std::move(reached) : SysError(err, "open", path);
  }
}

}  // namespace ocirun
