// SPDX-License-Identifier: Apache-2.0
//
// The gRPC services: thin. They translate, and everything that decides is behind them. gRPC calls
// them from its own threads, a thread a call.
#pragma once

#include <grpcpp/grpcpp.h>

#include <string>

#include "base/status.h"
#include "manager/container/events.h"
#include "manager/container/manager.h"
#include "manager/image/image_store.h"
#include "ocid/v1/container.grpc.pb.h"
#include "ocid/v1/image.grpc.pb.h"
#include "ocid/v1/system.grpc.pb.h"

namespace ocirun::api {

grpc::Status ToGrpc(const Status& status);

class ImageService final : public ocid::v1::ImageService::Service {
 public:
  ImageService(image::ImageStore* images, container::EventLog* events)
      : images_(images), events_(events) {}
  grpc::Status PullImage(grpc::ServerContext* context, const ocid::v1::PullImageRequest* request,
                         grpc::ServerWriter<ocid::v1::PullImageProgress>* writer) override;
  grpc::Status ListImages(grpc::ServerContext*, const ocid::v1::ListImagesRequest* request,
                          ocid::v1::ListImagesResponse* response) override;
  grpc::Status GetImage(grpc::ServerContext*, const ocid::v1::GetImageRequest* request,
                        ocid::v1::Image* response) override;
  grpc::Status TagImage(grpc::ServerContext*, const ocid::v1::TagImageRequest* request,
                        ocid::v1::TagImageResponse*) override;
  grpc::Status RemoveImage(grpc::ServerContext*, const ocid::v1::RemoveImageRequest* request,
                           ocid::v1::RemoveImageResponse* response) override;

 private:
  image::ImageStore* images_;
  container::EventLog* events_;
};

class ContainerService final : public ocid::v1::ContainerService::Service {
 public:
  ContainerService(container::ContainerManager* manager, image::ImageStore* images)
      : manager_(manager), images_(images) {}
  grpc::Status CreateContainer(grpc::ServerContext*,
                               const ocid::v1::CreateContainerRequest* request,
                               ocid::v1::CreateContainerResponse* response) override;
  grpc::Status StartContainer(grpc::ServerContext*, const ocid::v1::StartContainerRequest* request,
                              ocid::v1::StartContainerResponse*) override;
  grpc::Status StopContainer(grpc::ServerContext*, const ocid::v1::StopContainerRequest* request,
                             ocid::v1::StopContainerResponse*) override;
  grpc::Status RestartContainer(grpc::ServerContext*,
                                const ocid::v1::RestartContainerRequest* request,
                                ocid::v1::RestartContainerResponse*) override;
  grpc::Status KillContainer(grpc::ServerContext*, const ocid::v1::KillContainerRequest* request,
                             ocid::v1::KillContainerResponse*) override;
  grpc::Status PauseContainer(grpc::ServerContext*, const ocid::v1::PauseContainerRequest* request,
                              ocid::v1::PauseContainerResponse*) override;
  grpc::Status UnpauseContainer(grpc::ServerContext*,
                                const ocid::v1::UnpauseContainerRequest* request,
                                ocid::v1::UnpauseContainerResponse*) override;
  grpc::Status RenameContainer(grpc::ServerContext*,
                               const ocid::v1::RenameContainerRequest* request,
                               ocid::v1::RenameContainerResponse*) override;
  grpc::Status RemoveContainer(grpc::ServerContext*,
                               const ocid::v1::RemoveContainerRequest* request,
                               ocid::v1::RemoveContainerResponse*) override;
  grpc::Status ListContainers(grpc::ServerContext*, const ocid::v1::ListContainersRequest* request,
                              ocid::v1::ListContainersResponse* response) override;
  grpc::Status GetContainer(grpc::ServerContext*, const ocid::v1::GetContainerRequest* request,
                            ocid::v1::Container* response) override;
  grpc::Status WaitContainer(grpc::ServerContext* context,
                             const ocid::v1::WaitContainerRequest* request,
                             ocid::v1::WaitContainerResponse* response) override;
  grpc::Status GetLogs(grpc::ServerContext* context, const ocid::v1::GetLogsRequest* request,
                       grpc::ServerWriter<ocid::v1::LogEntry>* writer) override;
  grpc::Status AttachContainer(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<ocid::v1::AttachResponse, ocid::v1::AttachRequest>* stream) override;
  grpc::Status ExecContainer(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<ocid::v1::ExecResponse, ocid::v1::ExecRequest>* stream) override;
  grpc::Status WaitExec(grpc::ServerContext*, const ocid::v1::WaitExecRequest* request,
                        ocid::v1::WaitExecResponse* response) override;
  grpc::Status ResizeTerminal(grpc::ServerContext*, const ocid::v1::ResizeTerminalRequest* request,
                              ocid::v1::ResizeTerminalResponse*) override;

 private:
  using ExecStream = grpc::ServerReaderWriter<ocid::v1::ExecResponse, ocid::v1::ExecRequest>;
  // Waits for the end of a process, and tells it as the last message.
  grpc::Status TellExit(const std::string& name, const std::string& exec_id, ExecStream* stream);
  // Has the shim forget the process when it has ended.
  void ForgetExit(const std::string& name, const std::string& exec_id);

  container::ContainerManager* manager_;
  image::ImageStore* images_;
};

struct SystemFacts {
  std::string root;
  std::string id;
  std::vector<std::string> insecure_registries;
};

class SystemService final : public ocid::v1::SystemService::Service {
 public:
  SystemService(SystemFacts facts, container::ContainerManager* manager, image::ImageStore* images,
                container::EventLog* events)
      : facts_(std::move(facts)), manager_(manager), images_(images), events_(events) {}
  grpc::Status GetVersion(grpc::ServerContext*, const ocid::v1::GetVersionRequest*,
                          ocid::v1::GetVersionResponse* response) override;
  grpc::Status GetInfo(grpc::ServerContext*, const ocid::v1::GetInfoRequest*,
                       ocid::v1::GetInfoResponse* response) override;
  grpc::Status WatchEvents(grpc::ServerContext* context,
                           const ocid::v1::WatchEventsRequest* request,
                           grpc::ServerWriter<ocid::v1::Event>* writer) override;

 private:
  SystemFacts facts_;
  container::ContainerManager* manager_;
  image::ImageStore* images_;
  container::EventLog* events_;
};

}  // namespace ocirun::api
