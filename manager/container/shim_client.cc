// SPDX-License-Identifier: Apache-2.0
#include "manager/container/shim_client.h"

#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "containerd/bootstrap.pb.h"
#include "containerd/runc_options.pb.h"
#include "containerd/task.pb.h"

namespace ocirun::container {
namespace {

namespace task = containerd::task::v3;

constexpr const char* kService = "containerd.task.v3.Task";
// Of a look at what the shim holds in memory.
constexpr std::chrono::seconds kStateTime{5};

UnixNanos TimeOf(const wire::Timestamp& time) {
  return time.seconds() * 1'000'000'000 + time.nanos();
}

// The shim's environment is the daemon's, as containerd does it.
std::vector<std::string> OwnEnvironment() {
  std::vector<std::string> words;
  for (char** word = environ; *word != nullptr; ++word) words.emplace_back(*word);
  return words;
}

}  // namespace

StatusOr<std::unique_ptr<ShimClient>> ShimClient::Start(const ShimStart& start) {
  containerd::runtime::bootstrap::v1::BootstrapParams params;
  params.set_instance_id(start.id);
  params.set_namespace_(start.name_space);
  params.set_socket_dir(start.socket_dir);
  const Command command{.path = start.program,
                        .args = {start.program, "-namespace", start.name_space, "-address",
                                 start.socket_dir + "/none", "-id", start.id, "start"},
                        .env = OwnEnvironment(),
                        .input = params.SerializeAsString(),
                        .cwd = start.bundle,
                        .timeout = std::chrono::seconds(20)};
  ASSIGN_OR_RETURN(const CommandResult result, RunCommand(command));
  if (result.wait_status != 0) {
    return Internal("the shim did not start: {}{}", result.error_output,
                    result.output.substr(0, 500));
  }
  ASSIGN_OR_RETURN(const Json answer, ParseJson(result.output));
  ASSIGN_OR_RETURN(const std::string address, StringOr(JsonView(answer), "address", ""));
  ASSIGN_OR_RETURN(auto client, ttrpc::Client::Connect(address));
  return std::unique_ptr<ShimClient>(new ShimClient(start.id, std::move(client)));
}

StatusOr<std::unique_ptr<ShimClient>> ShimClient::Reconnect(const std::string& bundle,
                                                            const std::string& id) {
  ASSIGN_OR_RETURN(const std::string address, ReadFile(bundle + "/address", 4096));
  ASSIGN_OR_RETURN(auto client, ttrpc::Client::Connect(address));
  return std::unique_ptr<ShimClient>(new ShimClient(id, std::move(client)));
}

Status ShimClient::Call(const char* method, const google::protobuf::MessageLite& request,
                        google::protobuf::MessageLite* response, std::chrono::nanoseconds limit) {
  return client_->Call(kService, method, request, response, limit);
}

Status ShimClient::Create(const std::string& bundle, const TaskIo& io, const ShimStart& start) {
  containerd::runc::v1::Options options;
  options.set_root(start.runtime_root);
  task::CreateTaskRequest request;
  request.set_id(id_);
  request.set_bundle(bundle);
  request.set_terminal(io.terminal);
  request.set_stdin(io.input);
  request.set_stdout(io.output);
  request.mutable_options()->set_type_url("containerd.runc.v1.Options");
  request.mutable_options()->set_value(options.SerializeAsString());
  task::CreateTaskResponse response;
  return Call("Create", request, &response);
}

StatusOr<int> ShimClient::StartProcess(const std::string& exec_id) {
  task::StartRequest request;
  request.set_id(id_);
  request.set_exec_id(exec_id);
  task::StartResponse response;
  RETURN_IF_ERROR(Call("Start", request, &response));
  return static_cast<int>(response.pid());
}

Status ShimClient::Exec(const std::string& exec_id, const TaskIo& io, const Json& process) {
  task::ExecProcessRequest request;
  request.set_id(id_);
  request.set_exec_id(exec_id);
  request.set_terminal(io.terminal);
  request.set_stdin(io.input);
  request.set_stdout(io.output);
  request.mutable_spec()->set_type_url("types.containerd.io/opencontainers/runtime-spec/1/Process");
  request.mutable_spec()->set_value(process.dump());
  wire::Empty response;
  return Call("Exec", request, &response);
}

Status ShimClient::Kill(const std::string& exec_id, int signal, bool all,
                        std::chrono::nanoseconds limit) {
  task::KillRequest request;
  request.set_id(id_);
  request.set_exec_id(exec_id);
  request.set_signal(static_cast<uint32_t>(signal));
  request.set_all(all);
  wire::Empty response;
  return Call("Kill", request, &response, limit);
}

StatusOr<ExitInfo> ShimClient::Wait(const std::string& exec_id) {
  task::WaitRequest request;
  request.set_id(id_);
  request.set_exec_id(exec_id);
  task::WaitResponse response;
  RETURN_IF_ERROR(Call("Wait", request, &response));
  return ExitInfo{.status = response.exit_status(), .time = TimeOf(response.exited_at())};
}

Status ShimClient::Delete(const std::string& exec_id, std::chrono::nanoseconds limit) {
  task::DeleteRequest request;
  request.set_id(id_);
  request.set_exec_id(exec_id);
  task::DeleteResponse response;
  return Call("Delete", request, &response, limit);
}

Status ShimClient::Resize(const std::string& exec_id, uint32_t width, uint32_t height) {
  task::ResizePtyRequest request;
  request.set_id(id_);
  request.set_exec_id(exec_id);
  request.set_width(width);
  request.set_height(height);
  wire::Empty response;
  return Call("ResizePty", request, &response);
}

Status ShimClient::Pause() {
  task::PauseRequest request;
  request.set_id(id_);
  wire::Empty response;
  return Call("Pause", request, &response);
}

Status ShimClient::Resume() {
  task::ResumeRequest request;
  request.set_id(id_);
  wire::Empty response;
  return Call("Resume", request, &response);
}

StatusOr<ShimClient::State> ShimClient::GetState() {
  task::StateRequest request;
  request.set_id(id_);
  task::StateResponse response;
  RETURN_IF_ERROR(Call("State", request, &response, kStateTime));
  const auto status = response.status();
  return State{.pid = static_cast<int>(response.pid()),
               .running = status == containerd::v1::types::RUNNING ||
                          status == containerd::v1::types::PAUSED ||
                          status == containerd::v1::types::PAUSING,
               .paused = status == containerd::v1::types::PAUSED};
}

void ShimClient::Shutdown() {
  task::ShutdownRequest request;
  request.set_id(id_);
  request.set_now(true);
  wire::Empty response;
  IgnoreError(client_->Call(kService, "Shutdown", request, &response, std::chrono::seconds(5)),
              "it ends, with or without an answer");
}

StatusOr<ExitInfo> ReadExitFile(const std::string& bundle) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(bundle + "/exit.json", 1u << 16));
  ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  const JsonView view(json);
  ASSIGN_OR_RETURN(const JsonView status, view.Get("exit_status"));
  ExitInfo info;
  ASSIGN_OR_RETURN(info.status, status.UInt32());
  ASSIGN_OR_RETURN(const std::string time, StringOr(view, "exited_at", ""));
  const auto parsed = ParseRfc3339(time);
  info.time = parsed.ok() ? *parsed : NowUnixNanos();
  return info;
}

}  // namespace ocirun::container
