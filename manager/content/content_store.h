// SPDX-License-Identifier: Apache-2.0
//
// Blobs by their digest, kept as an OCI image layout (image-spec, image-layout.md), so that other
// tools can read them:
//
//   <root>/oci-layout, index.json        index.json stays empty: names are in the database
//   <root>/blobs/sha256/<hex>            whole and verified, or not there
//   <root>/ingest/<hex>                  what came so far of a blob; a later download goes on here
//
// A blob enters as a file of ingest/: hashed while it grows, fsynced, renamed. Any thread may use
// the store.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "manager/content/digest.h"

namespace ocirun::content {

class ContentStore;

// What a growing blob's writer tells its readers.
class BlobFeed {
 public:
  // Blocks until a byte at `offset` can be read, the blob is whole, or it failed. Returns how many
  // bytes are there; with `whole` no more will come. Cancelled when `stop` is requested.
  struct Seen {
    uint64_t available = 0;
    bool whole = false;
  };
  StatusOr<Seen> WaitBeyond(uint64_t offset, const std::stop_token& stop);

  void Advance(uint64_t available);
  void Finish(const Status& status);  // OK: whole

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  uint64_t available_ = 0;
  bool finished_ = false;
  Status status_;
};

// Writes one blob. The only one for its digest while it lives; what it wrote stays in ingest/ when
// it is dropped before Commit, unless the bytes proved wrong.
class BlobWriter {
 public:
  ~BlobWriter();
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;

  [[nodiscard]] uint64_t offset() const { return offset_; }
  [[nodiscard]] const UniqueFd& file() const { return file_; }
  // ResourceExhausted when the disk is full or more than the announced size comes.
  Status Write(std::string_view data);
  // Begins at the start again, as the server did.
  Status Restart();
  // DataLoss when size or digest do not match; the bytes are then removed.
  Status Commit();

 private:
  friend class ContentStore;
  BlobWriter(ContentStore* store, std::string digest, uint64_t size)
      : store_(store), digest_(std::move(digest)), size_(size) {}
  Status Resume();  // opens the file and hashes what is there

  ContentStore* store_;
  std::string digest_;
  uint64_t size_;  // as the descriptor says
  uint64_t offset_ = 0;
  UniqueFd file_;
  std::unique_ptr<Sha256> hash_ = std::make_unique<Sha256>();
};

class ContentStore {
 public:
  static StatusOr<std::unique_ptr<ContentStore>> Open(const std::string& root);

  [[nodiscard]] bool Has(std::string_view digest) const;
  [[nodiscard]] std::string Path(std::string_view digest) const;
  // A small blob (a manifest, a configuration), verified once more while read.
  StatusOr<std::string> Read(std::string_view digest, size_t limit) const;
  // Stores `data`; returns its digest.
  StatusOr<std::string> Put(std::string_view data);

  // Waits while another writer has the same digest. Null when the blob is whole already.
  StatusOr<std::unique_ptr<BlobWriter>> StartWrite(const std::string& digest, uint64_t size,
                                                   const std::stop_token& stop);

  Status Remove(std::string_view digest);
  // Digests of all whole blobs.
  [[nodiscard]] StatusOr<std::vector<std::string>> List() const;
  // Removes what interrupted downloads left before `before` and nobody writes.
  Status RemoveIngests(UnixNanos before);

 private:
  friend class BlobWriter;
  explicit ContentStore(std::string root) : root_(std::move(root)) {}
  [[nodiscard]] std::string IngestPath(std::string_view digest) const;
  void Leave(const std::string& digest);

  std::string root_;
  std::mutex mutex_;
  std::condition_variable_any left_;
  std::set<std::string> writing_;
};

}  // namespace ocirun::content
