// SPDX-License-Identifier: Apache-2.0
#include "manager/image/puller.h"

#include <fcntl.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "base/sys/file.h"
#include "manager/snapshot/extractor.h"

namespace ocirun::image {
namespace {

using Layer = ocid::v1::PullImageProgress::Layer;

constexpr size_t kDownloads = 3;  // as Docker's max-concurrent-downloads
constexpr int kAttempts = 5;
constexpr auto kReportEvery = std::chrono::milliseconds(100);

// One layer's way, shared by its downloader and its unpacker.
struct Work {
  LayerJob job;
  content::BlobFeed feed;
  UniqueFd file;  // set before the feed's first news
};

class Pull {
 public:
  Pull(const PullTools& tools, const std::vector<LayerJob>& jobs, const std::stop_token& stop)
      : tools_(tools), chained_(stop, [this] { stop_.request_stop(); }) {
    for (const LayerJob& job : jobs) {
      works_.push_back(std::make_unique<Work>());
      works_.back()->job = job;
    }
  }

  Status Run() {
    for (const auto& work : works_) Report(*work, Layer::STATE_PULLING_FS_LAYER);
    {
      std::vector<std::jthread> threads;
      const size_t unpackers = std::max(2u, std::thread::hardware_concurrency());
      for (size_t i = 0; i < std::min(kDownloads, works_.size()); ++i) {
        threads.emplace_back([this] { DownloadAll(); });
      }
      for (size_t i = 0; i < std::min(unpackers, works_.size()); ++i) {
        threads.emplace_back([this] { UnpackAll(); });
      }
    }
    const std::lock_guard lock(mutex_);
    return first_error_;
  }

 private:
  void Fail(const Status& status) {
    {
      const std::lock_guard lock(mutex_);
      if (first_error_.ok()) first_error_ = status;
    }
    stop_.request_stop();
  }

  void Report(const Work& work, LayerState state, uint64_t current = 0) {
    ocid::v1::PullImageProgress progress;
    auto* layer = progress.mutable_layer();
    layer->set_id(work.job.blob.digest.substr(7, 12));
    layer->set_state(state);
    layer->set_current(current);
    layer->set_total(work.job.blob.size);
    const std::lock_guard lock(mutex_);
    tools_.progress(progress);
  }

  void DownloadAll() {
    std::unique_ptr<registry::RegistryClient> client;
    for (;;) {
      const size_t index = next_download_++;
      if (index >= works_.size()) return;
      Work& work = *works_[index];
      if (stop_.stop_requested()) {
        work.feed.Finish(Error(StatusCode::kCancelled, "context canceled"));
        continue;
      }
      if (client == nullptr && tools_.connect) client = tools_.connect(stop_.get_token());
      const Status status = Download(client.get(), &work);
      if (!status.ok()) Fail(status);
      work.feed.Finish(status);
    }
  }

  Status Download(registry::RegistryClient* client, Work* work) {
    const Descriptor& blob = work->job.blob;
    ASSIGN_OR_RETURN(const auto writer,
                     tools_.content->StartWrite(blob.digest, blob.size, stop_.get_token()));
    if (writer == nullptr) {
      ASSIGN_OR_RETURN(work->file, sys::Open(tools_.content->Path(blob.digest), O_RDONLY));
      Report(*work, Layer::STATE_DOWNLOAD_COMPLETE);
      return OkStatus();
    }
    ASSIGN_OR_RETURN(work->file, sys::Duplicate(writer->file()));
    RETURN_IF_ERROR(Fetch(client, work, writer.get()));
    Report(*work, Layer::STATE_VERIFYING_CHECKSUM);
    RETURN_IF_ERROR(writer->Commit());
    Report(*work, Layer::STATE_DOWNLOAD_COMPLETE);
    return OkStatus();
  }

  // Again from where the connection was lost, a few times.
  Status Fetch(registry::RegistryClient* client, Work* work, content::BlobWriter* writer) {
    const Descriptor& blob = work->job.blob;
    if (writer->offset() > 0) work->feed.Advance(writer->offset());
    if (client == nullptr) return NotFound("blob {} is missing", blob.digest);
    auto last_report = std::chrono::steady_clock::now() - kReportEvery;
    for (int attempt = 1; writer->offset() < blob.size; ++attempt) {
      const uint64_t before = writer->offset();
      const Status status = client->FetchBlob(
          blob.digest, before,
          [&]() -> Status {
            // What the unpacker has read is the same bytes again: the blob has one digest.
            return writer->Restart();
          },
          [&](std::string_view data) -> Status {
            RETURN_IF_ERROR(writer->Write(data));
            work->feed.Advance(writer->offset());
            const auto now = std::chrono::steady_clock::now();
            if (now - last_report >= kReportEvery) {
              last_report = now;
              Report(*work, Layer::STATE_DOWNLOADING, writer->offset());
            }
            return OkStatus();
          });
      if (status.ok() && writer->offset() < blob.size && writer->offset() == before) {
        return Error(StatusCode::kDataLoss, "blob {} has {} bytes instead of {}", blob.digest,
                     writer->offset(), blob.size);
      }
      const bool lost =
          status.code() == StatusCode::kAborted || status.code() == StatusCode::kUnavailable;
      if (!status.ok() && (!lost || attempt >= kAttempts)) return status;
    }
    return OkStatus();
  }

  void UnpackAll() {
    for (;;) {
      const size_t index = next_unpack_++;
      if (index >= works_.size() || stop_.stop_requested()) return;
      const Status status = Unpack(works_[index].get());
      if (!status.ok()) Fail(status);
    }
  }

  Status Unpack(Work* work) {
    ASSIGN_OR_RETURN(auto staged, tools_.snapshotter->Stage());
    std::string buffer(1 << 18, '\0');
    uint64_t offset = 0;
    auto last_report = std::chrono::steady_clock::now();
    bool whole = false;
    const snapshot::ByteSource source = [&]() -> StatusOr<std::string_view> {
      ASSIGN_OR_RETURN(const auto seen, work->feed.WaitBeyond(offset, stop_.get_token()));
      whole = seen.whole;
      const ssize_t n = sys::RetryEintr([&] {
        return pread(work->file.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
      });
      if (n < 0) return SysError(errno, "read", "blob " + work->job.blob.digest);
      offset += static_cast<uint64_t>(n);
      const auto now = std::chrono::steady_clock::now();
      if (whole && now - last_report >= kReportEvery) {
        last_report = now;
        Report(*work, Layer::STATE_EXTRACTING, offset);
      }
      return std::string_view(buffer).substr(0, static_cast<size_t>(n));
    };
    const auto extracted =
        snapshot::ExtractLayer(snapshot::Decompress(source), staged->folder(), stop_.get_token());
    if (!extracted.ok()) {
      return Annotate(extracted.status(), "failed to register layer " + work->job.blob.digest);
    }
    const auto& result = *extracted;
    if (result.diff_id != work->job.diff_id) {
      return Error(StatusCode::kDataLoss, "layer {} unpacks to {} instead of {}",
                   work->job.blob.digest, result.diff_id, work->job.diff_id);
    }
    // A bad blob can still unpack well: nothing counts before its digest is verified.
    ASSIGN_OR_RETURN(const auto end, work->feed.WaitBeyond(UINT64_MAX, stop_.get_token()));
    if (!end.whole) return Internal("a blob ended without an end");
    RETURN_IF_ERROR(tools_.snapshotter->Commit(std::move(staged), work->job.chain_id));
    {
      const std::lock_guard lock(mutex_);
      RETURN_IF_ERROR(tools_.unpacked({.job = work->job, .size = result.size}));
    }
    Report(*work, Layer::STATE_PULL_COMPLETE);
    return OkStatus();
  }

  const PullTools& tools_;
  std::stop_source stop_;
  std::vector<std::unique_ptr<Work>> works_;
  std::atomic<size_t> next_download_{0};
  std::atomic<size_t> next_unpack_{0};
  std::mutex mutex_;
  Status first_error_;
  std::stop_callback<std::function<void()>> chained_;
};

}  // namespace

Status PullLayers(const PullTools& tools, const std::vector<LayerJob>& jobs,
                  const std::stop_token& stop) {
  return Pull(tools, jobs, stop).Run();
}

Status DownloadBlob(content::ContentStore* content, registry::RegistryClient* client,
                    const Descriptor& blob, const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const auto writer, content->StartWrite(blob.digest, blob.size, stop));
  if (writer == nullptr) return OkStatus();
  RETURN_IF_ERROR(client->FetchBlob(
      blob.digest, writer->offset(), [&] { return writer->Restart(); },
      [&](std::string_view data) { return writer->Write(data); }));
  return writer->Commit();
}

}  // namespace ocirun::image
