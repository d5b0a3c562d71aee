// SPDX-License-Identifier: Apache-2.0
#include "manager/snapshot/extractor.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <array>
#include <set>
#include <vector>

#include "base/file.h"
#include "base/path.h"
#include "base/sys/file.h"
#include "manager/content/digest.h"

namespace ocirun::snapshot {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr const char* kOpaqueAttribute = "trusted.overlay.opaque";
constexpr mode_t kModeBits = 07777;

struct Times {
  std::array<timespec, 2> values{};
};

timespec ClampTime(int64_t seconds, long nanoseconds) {
  // Before 1970 or beyond what file systems hold: the epoch, as containerd and Docker do.
  if (seconds < 0 || seconds > 0x3ffffffffLL) return {};
  return {.tv_sec = seconds, .tv_nsec = nanoseconds};
}

Times TimesOf(archive_entry* entry) {
  Times times;
  const timespec mtime = ClampTime(archive_entry_mtime(entry), archive_entry_mtime_nsec(entry));
  timespec atime = mtime;
  if (archive_entry_atime_is_set(entry) != 0 && archive_entry_atime(entry) > mtime.tv_sec) {
    atime = ClampTime(archive_entry_atime(entry), archive_entry_atime_nsec(entry));
  }
  times.values = {atime, mtime};
  return times;
}

// "a/./b//c" -> {"a","b","c"}; a name that leaves the root is refused, not bent.
StatusOr<std::vector<std::string>> CleanName(const std::string& name) {
  std::vector<std::string> clean;
  for (std::string& part : PathComponents(name)) {
    if (part != "..") {
      clean.push_back(std::move(part));
    } else if (clean.empty()) {
      return InvalidArgument("layer entry \"{}\" climbs out of the root", name);
    } else {
      clean.pop_back();
    }
  }
  return clean;
}

std::string Join(const std::vector<std::string>& parts, size_t count) {
  std::string path;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) path += '/';
    path += parts[i];
  }
  return path;
}

// What an image may say about its files. Not trusted.* and user.overlay.*, which are overlayfs's
// own marks, and not what security modules keep (security.selinux, security.ima): that is the
// host's.
bool MaySet(std::string_view attribute) {
  if (attribute == "security.capability") return true;
  if (attribute.starts_with("system.posix_acl_")) return true;
  return attribute.starts_with("user.") && !attribute.starts_with("user.overlay.");
}

// Ids that do not fit would be others, root's among them: 2^32 is 0, and -1 means "as it is".
StatusOr<uint32_t> IdOf(la_int64_t id, const std::string& name) {
  if (id < 0 || id >= UINT32_MAX)
    return InvalidArgument("layer entry \"{}\" belongs to {}, which is no id", name, id);
  return static_cast<uint32_t>(id);
}

class Extractor {
 public:
  Extractor(archive* reader, const UniqueFd& root, ExtractResult* result)
      : reader_(reader), root_(root), result_(result) {}

  Status Add(archive_entry* entry) {
    const char* raw = archive_entry_pathname(entry);
    if (raw == nullptr) raw = archive_entry_pathname_utf8(entry);
    if (raw == nullptr) return InvalidArgument("layer entry with a name that cannot be read");
    name_ = raw;
    ASSIGN_OR_RETURN(const std::vector<std::string> parts, CleanName(name_));
    if (parts.empty()) return OkStatus();  // the root itself
    RETURN_IF_ERROR(EnterParent(Join(parts, parts.size() - 1)));
    leaf_ = parts.back();
    path_ = Join(parts, parts.size());
    if (leaf_.starts_with(kWhiteout)) return AddWhiteout(parts);
    ASSIGN_OR_RETURN(const bool made, Create(entry));
    return made ? Decorate(entry) : OkStatus();
  }

  // A folder's times last: whatever is put into it changes them.
  Status Finish() {
    for (const auto& [path, times] : folder_times_) {
      StatusOr<UniqueFd> folder = OpenInRoot(root_, path, O_PATH | O_NOFOLLOW | O_DIRECTORY);
      if (!folder.ok()) continue;  // replaced by a later entry
      if (utimensat(AT_FDCWD, ProcFdPath(*folder).c_str(), times.values.data(), 0) != 0) {
        return SysError(errno, "utimensat", path);
      }
    }
    return OkStatus();
  }

 private:
  Status Failed(int err, const char* call) const {
    return SysError(err, call, "layer entry \"" + name_ + "\"");
  }

  Status EnterParent(const std::string& path) {
    if (parent_.valid() && path == parent_path_) return OkStatus();
    parent_.Reset();
    StatusOr<UniqueFd> folder = MakeDirsInRoot(root_, path, 0755);
    if (!folder.ok()) return Annotate(folder.status(), "layer entry \"" + name_ + "\"");
    parent_ = *std::move(folder);
    parent_path_ = path;
    return OkStatus();
  }

  Status AddWhiteout(const std::vector<std::string>& parts) {
    if (leaf_ == kOpaque) return SetOpaque(parent_, parent_path_);
    if (leaf_.starts_with(".wh..wh.")) {
      // aufs's own files at the root of Docker's oldest images.
      if (parts.size() == 1) return OkStatus();
      return InvalidArgument("layer entry \"{}\" is not a whiteout that is known", name_);
    }
    const std::string hidden = leaf_.substr(kWhiteout.size());
    if (hidden.empty() || hidden == "." || hidden == "..") {
      return InvalidArgument("layer entry \"{}\" hides nothing", name_);
    }
    if (mknodat(parent_.get(), hidden.c_str(), S_IFCHR, makedev(0, 0)) == 0) {
      whiteouts_.insert(parent_path_ + "/" + hidden);
      return OkStatus();
    }
    if (errno != EEXIST) return Failed(errno, "mknod");
    // The layer has an entry of that name: the entry stays; as a folder it hides what is below.
    StatusOr<UniqueFd> folder = sys::OpenAt(parent_, hidden, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    return folder.ok() ? SetOpaque(*folder, hidden) : OkStatus();
  }

  Status SetOpaque(const UniqueFd& folder, const std::string& path) const {
    if (setxattr(ProcFdPath(folder).c_str(), kOpaqueAttribute, "y", 1, 0) != 0) {
      return SysError(errno, "setxattr", std::string(kOpaqueAttribute) + " on " + path);
    }
    return OkStatus();
  }

  // Makes the entry; false when nothing is left to decorate (a hard link).
  StatusOr<bool> Create(archive_entry* entry) {
    if (archive_entry_hardlink(entry) != nullptr) {
      RETURN_IF_ERROR(CreateHardLink(archive_entry_hardlink(entry)));
      return false;
    }
    switch (archive_entry_filetype(entry)) {
      case AE_IFDIR:
        RETURN_IF_ERROR(CreateFolder());
        break;
      case AE_IFREG:
        RETURN_IF_ERROR(CreateFile());
        break;
      case AE_IFLNK:
        RETURN_IF_ERROR(CreateSymlink(archive_entry_symlink(entry)));
        break;
      case AE_IFCHR:
        RETURN_IF_ERROR(CreateNode(S_IFCHR, archive_entry_rdev(entry)));
        break;
      case AE_IFBLK:
        RETURN_IF_ERROR(CreateNode(S_IFBLK, archive_entry_rdev(entry)));
        break;
      case AE_IFIFO:
        RETURN_IF_ERROR(CreateNode(S_IFIFO, 0));
        break;
      default:
        return InvalidArgument("layer entry \"{}\" has an unknown type", name_);
    }
    return true;
  }

  // Runs `make` (0 or -1 with errno); what is in the way is removed once.
  template <typename F>
  Status Make(const char* call, F make) {
    if (make() == 0) return OkStatus();
    if (errno != EEXIST) return Failed(errno, call);
    RETURN_IF_ERROR(RemoveExisting());
    return make() == 0 ? OkStatus() : Failed(errno, call);
  }

  Status RemoveExisting() {
    whiteouts_.erase(parent_path_ + "/" + leaf_);
    if (unlinkat(parent_.get(), leaf_.c_str(), 0) == 0) return OkStatus();
    if (errno != EISDIR) return Failed(errno, "unlink");
    const std::string here = ProcFdPath(parent_) + "/" + leaf_;
    return RemoveTree(here);
  }

  Status CreateFolder() {
    if (mkdirat(parent_.get(), leaf_.c_str(), 0755) == 0) return OkStatus();
    if (errno != EEXIST) return Failed(errno, "mkdir");
    struct stat info{};
    if (fstatat(parent_.get(), leaf_.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return Failed(errno, "stat");
    }
    if (S_ISDIR(info.st_mode)) return OkStatus();
    // Hidden first and then made anew: nothing from below may show through.
    const bool hidden = whiteouts_.contains(parent_path_ + "/" + leaf_);
    RETURN_IF_ERROR(RemoveExisting());
    if (mkdirat(parent_.get(), leaf_.c_str(), 0755) != 0) return Failed(errno, "mkdir");
    if (!hidden) return OkStatus();
    ASSIGN_OR_RETURN(const UniqueFd folder,
                     sys::OpenAt(parent_, leaf_, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    return SetOpaque(folder, name_);
  }

  Status CreateFile() {
    RETURN_IF_ERROR(Make("create", [this] {
      file_.Reset(openat(parent_.get(), leaf_.c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
      return file_.valid() ? 0 : -1;
    }));
    const Status written = WriteData();
    file_.Reset();
    return written;
  }

  Status WriteData() {
    const void* data = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    la_int64_t end = 0;
    for (;;) {
      const int code = archive_read_data_block(reader_, &data, &size, &offset);
      if (code == ARCHIVE_EOF) break;
      if (code < ARCHIVE_WARN) return ReaderError();
      const char* from = static_cast<const char*>(data);
      end = offset + static_cast<la_int64_t>(size);
      result_->size += size;
      while (size > 0) {
        const ssize_t n = sys::RetryEintr([&] { return pwrite(file_.get(), from, size, offset); });
        if (n < 0) return Failed(errno, "write");
        from += n;
        offset += n;
        size -= static_cast<size_t>(n);
      }
    }
    struct stat info{};
    if (fstat(file_.get(), &info) == 0 && info.st_size < end && ftruncate(file_.get(), end) != 0) {
      return Failed(errno, "truncate");
    }
    return OkStatus();
  }

  Status CreateSymlink(const char* target) {
    if (target == nullptr) return InvalidArgument("layer entry \"{}\" links to nothing", name_);
    return Make("symlink", [&] { return symlinkat(target, parent_.get(), leaf_.c_str()); });
  }

  Status CreateNode(mode_t type, dev_t device) {
    return Make("mknod",
                [&] { return mknodat(parent_.get(), leaf_.c_str(), type | 0600, device); });
  }

  Status CreateHardLink(const std::string& target) {
    ASSIGN_OR_RETURN(const std::vector<std::string> parts, CleanName(target));
    if (parts.empty()) return InvalidArgument("layer entry \"{}\" links to the root", name_);
    StatusOr<UniqueFd> folder =
        OpenInRoot(root_, Join(parts, parts.size() - 1), O_PATH | O_DIRECTORY);
    if (!folder.ok()) {
      return InvalidArgument(
          "layer entry \"{}\" is a hard link to \"{}\", which is not in its layer", name_, target);
    }
    if (Join(parts, parts.size()) == path_) return OkStatus();  // to itself
    const Status made = Make("link", [&] {
      return linkat(folder->get(), parts.back().c_str(), parent_.get(), leaf_.c_str(), 0);
    });
    if (ErrnoOf(made) == ENOENT) {
      return InvalidArgument(
          "layer entry \"{}\" is a hard link to \"{}\", which is not in its layer", name_, target);
    }
    return made;
  }

  // Owner, attributes, mode, times: in this order, since chown clears set-uid bits and file
  // capabilities.
  Status Decorate(archive_entry* entry) {
    const int parent = parent_.get();
    ASSIGN_OR_RETURN(const uid_t uid, IdOf(archive_entry_uid(entry), name_));
    ASSIGN_OR_RETURN(const gid_t gid, IdOf(archive_entry_gid(entry), name_));
    if (fchownat(parent, leaf_.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) {
      return Failed(errno, "chown");
    }
    RETURN_IF_ERROR(SetAttributes(entry));
    const mode_t mode = archive_entry_mode(entry) & kModeBits;
    const bool symlink = archive_entry_filetype(entry) == AE_IFLNK;
    if (!symlink && fchmodat(parent, leaf_.c_str(), mode, 0) != 0) return Failed(errno, "chmod");
    const Times times = TimesOf(entry);
    if (archive_entry_filetype(entry) == AE_IFDIR) {
      folder_times_.emplace_back(path_, times);
      return OkStatus();
    }
    if (utimensat(parent, leaf_.c_str(), times.values.data(), AT_SYMLINK_NOFOLLOW) != 0) {
      return Failed(errno, "utimensat");
    }
    return OkStatus();
  }

  Status SetAttributes(archive_entry* entry) const {
    if (archive_entry_xattr_reset(entry) == 0) return OkStatus();
    const char* name = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    const std::string here = ProcFdPath(parent_) + "/" + leaf_;
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
      if (!MaySet(name)) continue;
      if (lsetxattr(here.c_str(), name, value, size, 0) == 0 || errno == ENOTSUP) continue;
      const bool user = std::string_view(name).starts_with("user.");
      const bool odd_file =
          archive_entry_filetype(entry) != AE_IFREG && archive_entry_filetype(entry) != AE_IFDIR;
      if (errno == EPERM && user && odd_file) continue;
      return Failed(errno, "setxattr");
    }
    return OkStatus();
  }

  Status ReaderError() const {
    return Error(
        StatusCode::kDataLoss, "layer entry \"{}\": {}", name_,
        archive_error_string(reader_) != nullptr ? archive_error_string(reader_) : "damaged tar");
  }

  archive* reader_;
  const UniqueFd& root_;
  ExtractResult* result_;
  UniqueFd parent_;          // folder of the entry at work
  std::string parent_path_;  // as asked for; the cache of parent_
  std::string name_;         // as in the tar, for messages
  std::string path_;         // cleaned
  std::string leaf_;
  UniqueFd file_;
  std::set<std::string> whiteouts_;  // made by this layer
  std::vector<std::pair<std::string, Times>> folder_times_;
};

// Feeds libarchive and hashes on the way.
struct Feed {
  const ByteSource* source;
  const std::stop_token* stop;
  content::Sha256 hash;
  Status status;

  StatusOr<std::string_view> Next() {
    if (stop->stop_requested()) return Error(StatusCode::kCancelled, "context canceled");
    ASSIGN_OR_RETURN(const std::string_view data, (*source)());
    hash.Update(data);
    return data;
  }
};

la_ssize_t ReadFeed(archive* reader, void* user, const void** buffer) {
  auto* feed = static_cast<Feed*>(user);
  StatusOr<std::string_view> data = feed->Next();
  if (!data.ok()) {
    feed->status = data.status();
    archive_set_error(reader, EIO, "%s", MessageOf(data.status()).c_str());
    return -1;
  }
  *buffer = data->data();
  return static_cast<la_ssize_t>(data->size());
}

Status ExtractEntries(archive* reader, Extractor* extractor, const Feed& feed) {
  for (;;) {
    archive_entry* entry = nullptr;
    const int code = archive_read_next_header(reader, &entry);
    if (code == ARCHIVE_EOF) return OkStatus();
    if (!feed.status.ok()) return feed.status;
    if (code < ARCHIVE_WARN) {
      return Error(StatusCode::kDataLoss, "damaged layer: {}",
                   archive_error_string(reader) != nullptr ? archive_error_string(reader) : "tar");
    }
    const Status added = extractor->Add(entry);
    if (!feed.status.ok()) return feed.status;
    RETURN_IF_ERROR(added);
  }
}

}  // namespace

StatusOr<ExtractResult> ExtractLayer(const ByteSource& plain, const UniqueFd& root,
                                     const std::stop_token& stop) {
  const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_empty(reader.get());
  Feed feed{.source = &plain, .stop = &stop};
  if (archive_read_open(reader.get(), &feed, nullptr, ReadFeed, nullptr) != ARCHIVE_OK) {
    if (!feed.status.ok()) return feed.status;
    return Error(StatusCode::kDataLoss, "layer is not a tar: {}",
                 archive_error_string(reader.get()));
  }
  ExtractResult result;
  Extractor extractor(reader.get(), root, &result);
  RETURN_IF_ERROR(ExtractEntries(reader.get(), &extractor, feed));
  RETURN_IF_ERROR(extractor.Finish());
  // The padding behind the end of the tar belongs to the digest, too.
  for (;;) {
    ASSIGN_OR_RETURN(const std::string_view rest, feed.Next());
    if (rest.empty()) break;
  }
  result.diff_id = feed.hash.Finish();
  return result;
}

}  // namespace ocirun::snapshot
