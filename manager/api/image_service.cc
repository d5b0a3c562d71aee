// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <thread>

#include "manager/api/filters.h"
#include "manager/api/services.h"

namespace ocirun::api {
namespace {

// Stops a token when the client goes away.
class CancelWatch {
 public:
  explicit CancelWatch(grpc::ServerContext* context)
      : thread_([this, context](const std::stop_token& done) {
          while (!done.stop_requested()) {
            if (context->IsCancelled()) stop_.request_stop();
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
          }
        }) {}
  std::stop_token token() { return stop_.get_token(); }

 private:
  std::stop_source stop_;
  std::jthread thread_;
};

}  // namespace

grpc::Status ToGrpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // It travels as metadata, of which clients take 8 KiB, with up to three bytes for each of these.
  // What is longer has a name in it that is.
  constexpr size_t kLongest = 2048;
  std::string text = MessageOf(status);
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return {static_cast<grpc::StatusCode>(status.code()), text};
}

grpc::Status ImageService::PullImage(grpc::ServerContext* context,
                                     const ocid::v1::PullImageRequest* request,
                                     grpc::ServerWriter<ocid::v1::PullImageProgress>* writer) {
  CancelWatch watch(context);
  std::string name;
  const Status status = images_->Pull(
      *request,
      [&](const ocid::v1::PullImageProgress& progress) {
        if (progress.has_result()) name = progress.result().familiar_reference();
        writer->Write(progress);
      },
      watch.token());
  if (status.ok()) events_->Publish("image", "pull", name, {{"name", name}});
  return ToGrpc(status);
}

grpc::Status ImageService::ListImages(grpc::ServerContext*,
                                      const ocid::v1::ListImagesRequest* request,
                                      ocid::v1::ListImagesResponse* response) {
  StatusOr<std::vector<ocid::v1::Image>> images = images_->List();
  if (!images.ok()) return ToGrpc(images.status());
  Filters filters = request->filters();
  if (!request->reference().empty()) {
    auto* filter = filters.Add();
    filter->set_key("reference");
    filter->add_values(request->reference());
  }
  const Status filtered = FilterImages(filters, &*images);
  if (!filtered.ok()) return ToGrpc(filtered);
  for (ocid::v1::Image& image : *images) *response->add_images() = std::move(image);
  return grpc::Status::OK;
}

grpc::Status ImageService::GetImage(grpc::ServerContext*, const ocid::v1::GetImageRequest* request,
                                    ocid::v1::Image* response) {
  StatusOr<ocid::v1::Image> image = images_->Get(request->image());
  if (!image.ok()) return ToGrpc(image.status());
  *response = *std::move(image);
  return grpc::Status::OK;
}

grpc::Status ImageService::TagImage(grpc::ServerContext*, const ocid::v1::TagImageRequest* request,
                                    ocid::v1::TagImageResponse*) {
  const Status status = images_->Tag(request->source(), request->target());
  if (status.ok()) {
    events_->Publish("image", "tag", request->source(), {{"name", request->target()}});
  }
  return ToGrpc(status);
}

grpc::Status ImageService::RemoveImage(grpc::ServerContext*,
                                       const ocid::v1::RemoveImageRequest* request,
                                       ocid::v1::RemoveImageResponse* response) {
  StatusOr<ocid::v1::RemoveImageResponse> removed =
      images_->Remove(request->image(), request->force());
  if (!removed.ok()) return ToGrpc(removed.status());
  *response = *std::move(removed);
  for (const auto& step : response->steps()) {
    const bool untag = step.has_untagged();
    const std::string& name = untag ? step.untagged() : step.deleted();
    events_->Publish("image", untag ? "untag" : "delete", name, {{"name", name}});
  }
  return grpc::Status::OK;
}

}  // namespace ocirun::api
