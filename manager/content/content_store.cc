// SPDX-License-Identifier: Apache-2.0
#include "manager/content/content_store.h"

#include <dirent.h>

#include <array>
#include <filesystem>

#include "base/file.h"
#include "base/sys/file.h"

namespace ocirun::content {

StatusOr<BlobFeed::Seen> BlobFeed::WaitBeyond(uint64_t offset, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const bool there = changed_.wait(lock, stop, [&] { return finished_ || available_ > offset; });
  if (!there) return Error(StatusCode::kCancelled, "context canceled");
  RETURN_IF_ERROR(status_);
  return Seen{.available = available_, .whole = finished_};
}

void BlobFeed::Advance(uint64_t available) {
  {
    const std::lock_guard lock(mutex_);
    available_ = available;
  }
  changed_.notify_all();
}

void BlobFeed::Finish(const Status& status) {
  {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    finished_ = true;
    status_ = status;
  }
  changed_.notify_all();
}

BlobWriter::~BlobWriter() {
  // Nothing came: there is nothing to go on with.
  const auto info = sys::Stat(file_);
  if (info.ok() && info->st_size == 0) {
    IgnoreError(sys::Unlink(store_->IngestPath(digest_)), "committed, an empty blob");
  }
  store_->Leave(digest_);
}

Status BlobWriter::Resume() {
  ASSIGN_OR_RETURN(file_, sys::Open(store_->IngestPath(digest_), O_RDWR | O_CREAT, 0600));
  std::string buffer(1 << 18, '\0');
  for (;;) {
    const ssize_t n = sys::RetryEintr([&] {
      return pread(file_.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset_));
    });
    if (n < 0) return SysError(errno, "read", store_->IngestPath(digest_));
    if (n == 0) break;
    hash_->Update(std::string_view(buffer).substr(0, static_cast<size_t>(n)));
    offset_ += static_cast<uint64_t>(n);
  }
  // Longer than it may be: not ours to go on with.
  if (offset_ <= size_) return OkStatus();
  if (ftruncate(file_.get(), 0) != 0) {
    return SysError(errno, "truncate", store_->IngestPath(digest_));
  }
  return Restart();
}

Status BlobWriter::Write(std::string_view data) {
  if (data.size() > size_ - offset_) {
    return Error(StatusCode::kDataLoss, "blob {} is longer than the {} bytes that were announced",
                 digest_, size_);
  }
  hash_->Update(data);
  while (!data.empty()) {
    const ssize_t n = sys::RetryEintr(
        [&] { return pwrite(file_.get(), data.data(), data.size(), static_cast<off_t>(offset_)); });
    if (n < 0) {
      const int err = errno;
      // The hash is ahead of the file now: what follows must begin anew from the file.
      return SysError(err, "write", store_->IngestPath(digest_));
    }
    data.remove_prefix(static_cast<size_t>(n));
    offset_ += static_cast<uint64_t>(n);
  }
  return OkStatus();
}

// The old bytes stay until they are written over: a reader may be among them, and a blob's bytes
// are the same each time.
Status BlobWriter::Restart() {
  offset_ = 0;
  hash_ = std::make_unique<Sha256>();
  return OkStatus();
}

Status BlobWriter::Commit() {
  const std::string path = store_->IngestPath(digest_);
  const std::string computed = hash_->Finish();
  if (offset_ != size_ || computed != digest_) {
    IgnoreError(sys::Unlink(path), "the mismatch is what matters");
    if (offset_ != size_) {
      return Error(StatusCode::kDataLoss, "blob {} has {} bytes instead of {}", digest_, offset_,
                   size_);
    }
    return Error(StatusCode::kDataLoss, "filesystem layer verification failed for digest {}",
                 digest_);
  }
  if (fdatasync(file_.get()) != 0) return SysError(errno, "fdatasync", path);
  return sys::Rename(path, store_->Path(digest_));
}

StatusOr<std::unique_ptr<ContentStore>> ContentStore::Open(const std::string& root) {
  RETURN_IF_ERROR(MakeDirs(root + "/blobs/sha256", 0700));
  RETURN_IF_ERROR(MakeDirs(root + "/ingest", 0700));
  if (!PathExists(root + "/oci-layout")) {
    RETURN_IF_ERROR(WriteFileDurable(root + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
    RETURN_IF_ERROR(
        WriteFileDurable(root + "/index.json", R"({"schemaVersion":2,"manifests":[]})"));
  }
  return std::unique_ptr<ContentStore>(new ContentStore(root));
}

std::string ContentStore::Path(std::string_view digest) const {
  return root_ + "/blobs/sha256/" + HexOf(digest);
}

std::string ContentStore::IngestPath(std::string_view digest) const {
  return root_ + "/ingest/" + HexOf(digest);
}

bool ContentStore::Has(std::string_view digest) const { return PathExists(Path(digest)); }

StatusOr<std::string> ContentStore::Read(std::string_view digest, size_t limit) const {
  ASSIGN_OR_RETURN(std::string data, ReadFile(Path(digest), limit));
  if (DigestOf(data) != digest) {
    return Error(StatusCode::kDataLoss, "blob {} was changed on disk", digest);
  }
  return data;
}

StatusOr<std::string> ContentStore::Put(std::string_view data) {
  std::string digest = DigestOf(data);
  ASSIGN_OR_RETURN(const auto writer, StartWrite(digest, data.size(), {}));
  if (writer == nullptr) return digest;
  RETURN_IF_ERROR(writer->Restart());
  RETURN_IF_ERROR(writer->Write(data));
  RETURN_IF_ERROR(writer->Commit());
  return digest;
}

StatusOr<std::unique_ptr<BlobWriter>> ContentStore::StartWrite(const std::string& digest,
                                                               uint64_t size,
                                                               const std::stop_token& stop) {
  {
    std::unique_lock lock(mutex_);
    if (!left_.wait(lock, stop, [&] { return !writing_.contains(digest); })) {
      return Error(StatusCode::kCancelled, "context canceled");
    }
    if (Has(digest)) return nullptr;
    writing_.insert(digest);
  }
  std::unique_ptr<BlobWriter> writer(new BlobWriter(this, digest, size));
  RETURN_IF_ERROR(writer->Resume());
  return writer;
}

void ContentStore::Leave(const std::string& digest) {
  {
    const std::lock_guard lock(mutex_);
    writing_.erase(digest);
  }
  left_.notify_all();
}

Status ContentStore::Remove(std::string_view digest) { return sys::Unlink(Path(digest)); }

StatusOr<std::vector<std::string>> ContentStore::List() const {
  std::vector<std::string> digests;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root_ + "/blobs/sha256", error)) {
    digests.push_back("sha256:" + entry.path().filename().string());
  }
  if (error) return SysError(error.value(), "list", root_ + "/blobs/sha256");
  return digests;
}

Status ContentStore::RemoveIngests(UnixNanos before) {
  const std::lock_guard lock(mutex_);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root_ + "/ingest", error)) {
    if (writing_.contains("sha256:" + entry.path().filename().string())) continue;
    ASSIGN_OR_RETURN(const struct stat info, sys::StatPath(entry.path().string()));
    if (info.st_mtim.tv_sec * 1'000'000'000LL >= before) continue;
    RETURN_IF_ERROR(sys::Unlink(entry.path().string()));
  }
  return error ? SysError(error.value(), "list", root_ + "/ingest") : OkStatus();
}

}  // namespace ocirun::content
