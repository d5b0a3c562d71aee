// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <thread>

#include "manager/api/filters.h"
#include "manager/api/services.h"
#include "manager/container/check.h"

namespace ocirun::api {
namespace {

using ocid::v1::ContainerState;
using ocid::v1::Output;

container::Cancelled CancelledBy(grpc::ServerContext* context) {
  return [context] { return context->IsCancelled(); };
}

// The thread that reads what the client sends. gRPC ends its read only when the client has finished
// its side, which it does when it is told the end, or has gone. There is no limit to that: a client
// that is slow to read still has output before it, which a cancelled call would throw away.
class InputThread {
 public:
  explicit InputThread(std::function<void()> read_all) : thread_(std::move(read_all)) {}
  ~InputThread() { thread_.join(); }
  InputThread(const InputThread&) = delete;
  InputThread& operator=(const InputThread&) = delete;

 private:
  std::thread thread_;
};

template <typename Start>
attach::WhenSlow WhenSlow(const Start& start) {
  return start.lossless() ? attach::WhenSlow::kWait : attach::WhenSlow::kDrop;
}

// Whether the client has connected to the socket that the message names.
template <typename Response, typename Request>
bool OfferSocket(grpc::ServerReaderWriter<Response, Request>* stream, const Response& offer) {
  Request answer;
  return stream->Write(offer) && stream->Read(&answer) && answer.connected();
}

void FillOutput(const attach::Connection::Output& from, Output* output) {
  output->set_stream(from.stream == 2 ? Output::STREAM_STDERR : Output::STREAM_STDOUT);
  output->set_data(from.data.data(), from.data.size());
}

}  // namespace

grpc::Status ContainerService::CreateContainer(grpc::ServerContext*,
                                               const ocid::v1::CreateContainerRequest* request,
                                               ocid::v1::CreateContainerResponse* response) {
  auto created = manager_->Create(*request);
  if (!created.ok()) return ToGrpc(created.status());
  *response = *std::move(created);
  return grpc::Status::OK;
}

grpc::Status ContainerService::StartContainer(grpc::ServerContext*,
                                              const ocid::v1::StartContainerRequest* request,
                                              ocid::v1::StartContainerResponse*) {
  return ToGrpc(manager_->Start(request->container()));
}

grpc::Status ContainerService::StopContainer(grpc::ServerContext*,
                                             const ocid::v1::StopContainerRequest* request,
                                             ocid::v1::StopContainerResponse*) {
  return ToGrpc(manager_->Stop(*request));
}

grpc::Status ContainerService::RestartContainer(grpc::ServerContext*,
                                                const ocid::v1::RestartContainerRequest* request,
                                                ocid::v1::RestartContainerResponse*) {
  return ToGrpc(manager_->Restart(*request));
}

grpc::Status ContainerService::KillContainer(grpc::ServerContext*,
                                             const ocid::v1::KillContainerRequest* request,
                                             ocid::v1::KillContainerResponse*) {
  return ToGrpc(manager_->Kill(request->container(), request->signal()));
}

grpc::Status ContainerService::PauseContainer(grpc::ServerContext*,
                                              const ocid::v1::PauseContainerRequest* request,
                                              ocid::v1::PauseContainerResponse*) {
  return ToGrpc(manager_->Pause(request->container()));
}

grpc::Status ContainerService::UnpauseContainer(grpc::ServerContext*,
                                                const ocid::v1::UnpauseContainerRequest* request,
                                                ocid::v1::UnpauseContainerResponse*) {
  return ToGrpc(manager_->Unpause(request->container()));
}

grpc::Status ContainerService::RenameContainer(grpc::ServerContext*,
                                               const ocid::v1::RenameContainerRequest* request,
                                               ocid::v1::RenameContainerResponse*) {
  return ToGrpc(manager_->Rename(request->container(), request->name()));
}

grpc::Status ContainerService::RemoveContainer(grpc::ServerContext*,
                                               const ocid::v1::RemoveContainerRequest* request,
                                               ocid::v1::RemoveContainerResponse*) {
  return ToGrpc(manager_->Remove(request->container(), request->force()));
}

grpc::Status ContainerService::ListContainers(grpc::ServerContext*,
                                              const ocid::v1::ListContainersRequest* request,
                                              ocid::v1::ListContainersResponse* response) {
  std::vector<ocid::v1::Container> containers = manager_->ListAll(request->size());
  const Status filtered = FilterContainers(request->filters(), &containers);
  if (!filtered.ok()) return ToGrpc(filtered);
  // A filter for a state asks for containers in it, running or not.
  bool by_state = false;
  for (const auto& filter : request->filters()) {
    by_state = by_state || filter.key() == "status" || filter.key() == "exited";
  }
  for (ocid::v1::Container& record : containers) {
    const auto status = record.state().status();
    const bool alive = status == ContainerState::STATUS_RUNNING ||
                       status == ContainerState::STATUS_PAUSED ||
                       status == ContainerState::STATUS_RESTARTING;
    if (!alive && !request->all() && request->last() == 0 && !by_state) continue;
    *response->add_containers() = std::move(record);
    if (request->last() != 0 &&
        static_cast<uint32_t>(response->containers_size()) == request->last()) {
      break;
    }
  }
  return grpc::Status::OK;
}

grpc::Status ContainerService::GetContainer(grpc::ServerContext*,
                                            const ocid::v1::GetContainerRequest* request,
                                            ocid::v1::Container* response) {
  auto record = manager_->Get(request->container(), request->size());
  if (!record.ok()) return ToGrpc(record.status());
  *response = *std::move(record);
  return grpc::Status::OK;
}

grpc::Status ContainerService::WaitContainer(grpc::ServerContext* context,
                                             const ocid::v1::WaitContainerRequest* request,
                                             ocid::v1::WaitContainerResponse* response) {
  auto ended = manager_->Wait(*request, CancelledBy(context));
  if (!ended.ok()) return ToGrpc(ended.status());
  *response = *std::move(ended);
  return grpc::Status::OK;
}

grpc::Status ContainerService::GetLogs(grpc::ServerContext* context,
                                       const ocid::v1::GetLogsRequest* request,
                                       grpc::ServerWriter<ocid::v1::LogEntry>* writer) {
  container::LogQuery query{.standard_output = request->stdout(),
                            .standard_error = request->stderr(),
                            .since = request->since(),
                            .until = request->until(),
                            .follow = request->follow()};
  if (request->has_tail()) query.tail = request->tail();
  return ToGrpc(
      manager_->Logs(request->container(), query, CancelledBy(context),
                     [&](const ocid::v1::LogEntry& entry) { return writer->Write(entry); }));
}

grpc::Status ContainerService::AttachContainer(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<ocid::v1::AttachResponse, ocid::v1::AttachRequest>* stream) {
  ocid::v1::AttachRequest first;
  if (!stream->Read(&first) || !first.has_start()) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "the first message must be start"};
  }
  const ocid::v1::AttachRequest::Start start = first.start();
  if (start.logs()) {
    return {grpc::StatusCode::UNIMPLEMENTED, "attach with logs is not supported yet"};
  }
  const auto registered = [&] {
    ocid::v1::AttachResponse response;
    response.set_attached(true);
    stream->Write(response);
  };
  container::SessionClient client{.slow = WhenSlow(start)};
  if (start.direct()) {
    client.connects = [stream](const std::string& socket, const std::string&) {
      ocid::v1::AttachResponse offer;
      offer.set_socket(socket);
      return OfferSocket(stream, offer);
    };
  }
  StatusOr<container::Session> session =
      manager_->Attach(start, client, CancelledBy(context), registered);
  if (!session.ok()) return ToGrpc(session.status());
  if (session->connection == nullptr) return grpc::Status::OK;  // the start failed, or it is direct
  attach::Connection* connection = session->connection.get();
  const InputThread input([&] {
    ocid::v1::AttachRequest request;
    while (stream->Read(&request)) {
      if (request.has_stdin() && start.stdin() && !request.stdin().empty()) {
        if (!connection->WriteInput(request.stdin(), CancelledBy(context)).ok()) break;
      } else if (request.close_stdin() && start.stdin()) {
        IgnoreError(connection->WriteInput("", CancelledBy(context)), "the process ended");
      } else if (request.has_resize()) {
        IgnoreError(manager_->Resize(start.container(), "", request.resize()), "it ended");
      }
    }
    // One that has gone, or has given its input and wants no output: what it sent still arrives.
    const bool listens = start.stdout() || start.stderr();
    if (context->IsCancelled() || !listens) connection->Shutdown();
  });
  Status status;
  ocid::v1::AttachResponse response;
  for (;;) {
    const StatusOr<attach::Connection::Output> output = connection->Read();
    if (!output.ok()) status = output.status();
    if (!output.ok() || output->stream == 0) break;
    if (output->stream == 1 ? !start.stdout() : !start.stderr()) continue;
    FillOutput(*output, response.mutable_output());
    if (!stream->Write(response)) break;
  }
  ocid::v1::AttachResponse last;
  last.set_attached(false);
  stream->Write(last);
  return ToGrpc(status);
}

grpc::Status ContainerService::ExecContainer(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<ocid::v1::ExecResponse, ocid::v1::ExecRequest>* stream) {
  ocid::v1::ExecRequest first;
  if (!stream->Read(&first) || !first.has_start()) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "the first message must be start"};
  }
  const ocid::v1::ExecRequest::Start start = first.start();
  if (const Status clean = container::CheckNuls(start); !clean.ok()) return ToGrpc(clean);
  container::SessionClient client{.slow = WhenSlow(start)};
  if (start.direct()) {
    client.connects = [stream](const std::string& socket, const std::string& exec_id) {
      ocid::v1::ExecResponse offer;
      offer.mutable_attached()->set_exec_id(exec_id);
      offer.mutable_attached()->set_socket(socket);
      return OfferSocket(stream, offer);
    };
  }
  StatusOr<container::Session> session = manager_->Exec(start, client);
  if (!session.ok()) return ToGrpc(session.status());
  ocid::v1::ExecResponse response;
  if (!start.direct() || start.detach()) {
    response.mutable_attached()->set_exec_id(session->exec_id);
    stream->Write(response);
  }
  if (start.detach()) {
    ForgetExit(start.container(), session->exec_id);
    return grpc::Status::OK;
  }
  if (session->direct) return TellExit(start.container(), session->exec_id, stream);
  attach::Connection* connection = session->connection.get();
  const InputThread input([&] {
    ocid::v1::ExecRequest request;
    while (stream->Read(&request)) {
      if (request.has_stdin() && start.stdin() && !request.stdin().empty()) {
        if (!connection->WriteInput(request.stdin(), CancelledBy(context)).ok()) break;
      } else if (request.close_stdin() && start.stdin()) {
        IgnoreError(connection->WriteInput("", CancelledBy(context)), "the process ended");
      } else if (request.has_resize()) {
        IgnoreError(manager_->Resize(start.container(), session->exec_id, request.resize()),
                    "it ended");
      }
    }
    if (context->IsCancelled()) connection->Shutdown();
  });
  Status dropped;  // then the code comes still, and this after it
  for (;;) {
    const StatusOr<attach::Connection::Output> output = connection->Read();
    if (output.status().code() == StatusCode::kResourceExhausted) dropped = output.status();
    if (!output.ok() || output->stream == 0) break;
    FillOutput(*output, response.mutable_output());
    if (!stream->Write(response)) break;
  }
  // A client that went away leaves the process running; the shim tells when it ends.
  const grpc::Status told = TellExit(start.container(), session->exec_id, stream);
  return dropped.ok() ? told : ToGrpc(dropped);
}

grpc::Status ContainerService::TellExit(const std::string& name, const std::string& exec_id,
                                        ExecStream* stream) {
  const StatusOr<int> code = manager_->WaitExec(name, exec_id);
  if (code.ok()) {
    ocid::v1::ExecResponse response;
    response.set_exit_code(*code);
    stream->Write(response);
  }
  return ToGrpc(code.status());
}

void ContainerService::ForgetExit(const std::string& name, const std::string& exec_id) {
  std::thread([manager = manager_, name, exec_id] {
    IgnoreError(manager->WaitExec(name, exec_id).status(), "nobody asks for its code");
  }).detach();
}

grpc::Status ContainerService::WaitExec(grpc::ServerContext*,
                                        const ocid::v1::WaitExecRequest* request,
                                        ocid::v1::WaitExecResponse* response) {
  const StatusOr<int> code = manager_->WaitExec(request->container(), request->exec_id());
  if (code.ok()) response->set_exit_code(*code);
  return ToGrpc(code.status());
}

grpc::Status ContainerService::ResizeTerminal(grpc::ServerContext*,
                                              const ocid::v1::ResizeTerminalRequest* request,
                                              ocid::v1::ResizeTerminalResponse*) {
  return ToGrpc(manager_->Resize(request->container(), request->exec_id(), request->size()));
}

}  // namespace ocirun::api
