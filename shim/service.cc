// SPDX-License-Identifier: Apache-2.0
#include "shim/service.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "base/json.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "containerd/runc_options.pb.h"
#include "containerd/wire.pb.h"
#include "shim/oom.h"

namespace ocirun::shim {
namespace {

namespace task = containerd::task::v3;

void FillTime(UnixNanos time, wire::Timestamp* out) {
  constexpr int64_t kNanos = 1'000'000'000;
  out->set_seconds(time / kNanos);
  out->set_nanos(static_cast<int32_t>(time % kNanos));
}

void ReplyEmpty(const Reply& reply, const Status& status) {
  const wire::Empty empty;
  reply(status, &empty);
}

StatusOr<pid_t> ReadPidFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  pid_t pid = 0;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  if (pid <= 0) return Internal("unreadable pid file {}", path);
  return pid;
}

// Whether config.json gives the container a pid namespace of its own: then the kernel ends every
// process with init. Unreadable: no, so that we end them.
bool HasOwnPidNamespace(const std::string& bundle) {
  const auto text = ReadFile(bundle + "/config.json");
  if (!text.ok()) return false;
  const auto json = ParseJson(*text);
  if (!json.ok()) return false;
  const auto linux_part = JsonView(*json).Get("linux");
  if (!linux_part.ok()) return false;
  const auto namespaces = linux_part->Get("namespaces");
  if (!namespaces.ok()) return false;
  const auto elements = namespaces->Elements();
  if (!elements.ok()) return false;
  return std::any_of(elements->begin(), elements->end(), [](const JsonView& ns) {
    const auto type = StringOr(ns, "type", "");
    const auto path = StringOr(ns, "path", "");
    return type.ok() && path.ok() && *type == "pid" && path->empty();
  });
}

bool IsPlainId(const std::string& id) {
  return !id.empty() && id.size() <= 128 && id[0] != '.' &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

}  // namespace

template <typename Request>
void TaskService::RegisterIn(Methods* methods, const std::string& method,
                             void (TaskService::*handle)(const Request&, Reply)) {
  (*methods)[method] = [this, handle](const std::string& payload, Reply reply) {
    Request request;
    if (!request.ParseFromString(payload))
      return reply(InvalidArgument("unreadable request"), nullptr);
    (this->*handle)(request, std::move(reply));
  };
}

TaskService::TaskService(Loop* loop, std::string default_runtime, std::string default_root,
                         std::function<void()> shutdown)
    : loop_(loop),
      default_runtime_(std::move(default_runtime)),
      default_root_(std::move(default_root)),
      shutdown_(std::move(shutdown)) {
  Register("Create", &TaskService::Create);
  Register("Start", &TaskService::Start);
  Register("Exec", &TaskService::Exec);
  Register("Delete", &TaskService::Delete);
  Register("Kill", &TaskService::Kill);
  Register("Wait", &TaskService::Wait);
  Register("State", &TaskService::GetState);
  Register("Pids", &TaskService::Pids);
  Register("ResizePty", &TaskService::ResizePty);
  Register("CloseIO", &TaskService::CloseIO);
  Register("Connect", &TaskService::Connect);
  Register("Pause", &TaskService::Pause);
  Register("Resume", &TaskService::Resume);
  Register("Shutdown", &TaskService::Shutdown);
  RegisterIn(&own_methods_, "ReopenLog", &TaskService::ReopenLog);
  RegisterIn(&own_methods_, "IoStats", &TaskService::IoStats);
}

TaskService::~TaskService() = default;

void TaskService::Handle(const std::string& service, const std::string& method,
                         const std::string& payload, Reply reply) {
  const bool is_task = service == "containerd.task.v2.Task" || service == "containerd.task.v3.Task";
  const Methods& methods = is_task ? methods_ : own_methods_;
  const auto handler = methods.find(method);
  if ((!is_task && service != "ocishim.v1.Shim") || handler == methods.end())
    return reply(Unsupported("{}/{}: not supported", service, method), nullptr);
  handler->second(payload, std::move(reply));
}

StatusOr<TaskService::ContainerPtr> TaskService::FindContainer(const std::string& id) const {
  const auto it = containers_.find(id);
  if (it == containers_.end()) return NotFound("container not created");
  return it->second;
}

StatusOr<TaskService::ProcessPtr> TaskService::FindProcess(const std::string& id,
                                                           const std::string& exec_id) const {
  ASSIGN_OR_RETURN(const ContainerPtr container, FindContainer(id));
  const auto it = container->processes.find(exec_id);
  if (it == container->processes.end()) return NotFound("process {} does not exist", exec_id);
  return it->second;
}

// ---- Create and Start

Status TaskService::OpenStreams(const ContainerPtr& container, const ProcessPtr& process) {
  Streams::Options options;
  options.terminal = process->terminal;
  ASSIGN_OR_RETURN(options.output, ParseStdioUri(process->stdout_uri));
  if (!process->stdin_uri.empty() && process->stdin_uri != "attach:")
    return Unsupported("stdin {:?}: only attach: is supported", process->stdin_uri);
  options.open_stdin = !process->stdin_uri.empty();
  options.console_socket = fmt::format("{}/{}console.sock", container->bundle,
                                       process->id.empty() ? "" : process->id + "-");
  ASSIGN_OR_RETURN(
      process->streams,
      Streams::Create(loop_, std::move(options), &process->child_ends,
                      [this, owner = std::weak_ptr(container), weak = std::weak_ptr(process)] {
                        // Both own the streams, which own this.
                        const ContainerPtr of = owner.lock();
                        const ProcessPtr strong = weak.lock();
                        if (of && strong) OutputEnded(of, strong);
                      }));
  return OkStatus();
}

void TaskService::Create(const task::CreateTaskRequest& request, Reply reply) {
  if (containers_.count(request.id()) != 0)
    return reply(Error(StatusCode::kAlreadyExists, "container {} exists", request.id()), nullptr);
  if (!IsPlainId(request.id()) || request.bundle().empty() || request.bundle()[0] != '/')
    return reply(InvalidArgument("invalid id or bundle"), nullptr);
  if (!request.checkpoint().empty() || request.rootfs_size() != 0)
    return reply(Unsupported("checkpoint and rootfs mounts: not supported"), nullptr);
  containerd::runc::v1::Options options;
  if (request.has_options() && !options.ParseFromString(request.options().value()))
    return reply(InvalidArgument("unreadable options"), nullptr);

  auto container = std::make_shared<Container>();
  container->id = request.id();
  container->bundle = request.bundle();
  container->own_pid_namespace = HasOwnPidNamespace(container->bundle);
  container->runtime = std::make_unique<Runtime>(
      loop_, options.binary_name().empty() ? default_runtime_ : options.binary_name(),
      options.root().empty() ? default_root_ : options.root(), container->bundle + "/log.json",
      options.systemd_cgroup() ? Runtime::Cgroups::kSystemd : Runtime::Cgroups::kFolders);
  auto init = std::make_shared<Process>();
  init->state = State::kCreating;
  init->terminal = request.terminal();
  init->stdin_uri = request.stdin();
  init->stdout_uri = request.stdout();
  init->stderr_uri = request.stderr();
  const Status opened = OpenStreams(container, init);
  if (!opened.ok()) return reply(opened, nullptr);
  container->processes[""] = init;
  containers_[container->id] = container;

  const std::string pid_file = container->bundle + "/init.pid";
  std::vector<std::string> args = {"create", "--bundle", container->bundle, "--pid-file", pid_file};
  if (options.no_pivot_root()) args.emplace_back("--no-pivot");
  if (options.no_new_keyring()) args.emplace_back("--no-new-keyring");
  if (init->terminal)
    args.insert(args.end(), {"--console-socket", container->bundle + "/console.sock"});
  args.push_back(container->id);
  container->runtime->Run(
      std::move(args), std::move(init->child_ends),
      [this, container, init, pid_file, reply](const Status& status) {
        if (status.ok()) return Created(container, init, pid_file, reply);
        containers_.erase(container->id);
        reply(Error(status.code(), "OCI runtime create failed: {}", MessageOf(status)), nullptr);
      });
}

void TaskService::Created(const ContainerPtr& container, const ProcessPtr& init,
                          const std::string& pid_file, const Reply& reply) {
  const auto pid = ReadPidFile(pid_file);
  if (!pid.ok()) {
    containers_.erase(container->id);
    return reply(pid.status(), nullptr);
  }
  init->pid = *pid;
  init->state = State::kCreated;
  container->memory_cgroup = MemoryCgroupOf(*pid);
  WatchProcess(container, init);
  task::CreateTaskResponse response;
  response.set_pid(static_cast<uint32_t>(*pid));
  reply(OkStatus(), &response);
}

void TaskService::Start(const task::StartRequest& request, Reply reply) {
  const auto container = FindContainer(request.id());
  const auto process = FindProcess(request.id(), request.exec_id());
  if (!process.ok()) return reply(process.status(), nullptr);
  if ((*process)->state != State::kCreated)
    return reply(FailedPrecondition("cannot start a process that is not created"), nullptr);
  if (!request.exec_id().empty()) return StartExec(*container, *process, std::move(reply));
  (*process)->state = State::kStarting;
  (*container)
      ->runtime->Run(
          {"start", (*container)->id}, {}, [process = *process, reply](const Status& status) {
            if (!status.ok()) {
              if (process->state == State::kStarting) process->state = State::kCreated;
              return reply(Error(status.code(), "OCI runtime start failed: {}", MessageOf(status)),
                           nullptr);
            }
            if (process->state == State::kStarting) process->state = State::kRunning;
            task::StartResponse response;
            response.set_pid(static_cast<uint32_t>(process->pid));
            reply(OkStatus(), &response);
          });
}

// ---- Exec

void TaskService::Exec(const task::ExecProcessRequest& request, Reply reply) {
  const auto container = FindContainer(request.id());
  if (!container.ok()) return reply(container.status(), nullptr);
  if (!IsPlainId(request.exec_id())) return reply(InvalidArgument("invalid exec id"), nullptr);
  if ((*container)->processes.count(request.exec_id()) != 0)
    return reply(Error(StatusCode::kAlreadyExists, "exec {} exists", request.exec_id()), nullptr);
  auto json = ParseJson(request.spec().value());
  if (!json.ok() || !json->is_object())
    return reply(InvalidArgument("spec: must be a process object as JSON"), nullptr);
  (*json)["terminal"] = request.terminal();  // the request wins
  auto process = std::make_shared<Process>();
  process->id = request.exec_id();
  process->terminal = request.terminal();
  process->stdin_uri = request.stdin();
  process->stdout_uri = request.stdout();
  process->stderr_uri = request.stderr();
  process->process_json = json->dump(-1, ' ', false, Json::error_handler_t::replace);
  const Status opened = OpenStreams(*container, process);
  if (!opened.ok()) return reply(opened, nullptr);
  (*container)->processes[process->id] = process;
  ReplyEmpty(reply, OkStatus());
}

void TaskService::StartExec(const ContainerPtr& container, const ProcessPtr& process, Reply reply) {
  if (container->processes.at("")->exited)
    return reply(FailedPrecondition("container is not running"), nullptr);
  const std::string prefix = fmt::format("{}/{}", container->bundle, process->id);
  const Status written = WriteFile(prefix + "-process.json", process->process_json, 0600);
  if (!written.ok()) return reply(written, nullptr);
  process->state = State::kStarting;
  std::vector<std::string> args = {"exec",     "--process",  prefix + "-process.json",
                                   "--detach", "--pid-file", prefix + ".pid"};
  if (process->terminal) args.insert(args.end(), {"--console-socket", prefix + "-console.sock"});
  args.push_back(container->id);
  container->runtime->Run(
      std::move(args), std::move(process->child_ends),
      [this, container, process, prefix, reply](const Status& status) {
        const auto pid = status.ok() ? ReadPidFile(prefix + ".pid") : StatusOr<pid_t>(status);
        for (const char* suffix : {"-process.json", ".pid"})
          IgnoreError(sys::Unlink(prefix + suffix), "it was not written");
        if (!pid.ok()) {
          process->state = State::kStopped;
          process->exited = true;
          process->streams->ProcessEnded();
          return reply(
              Error(pid.status().code(), "OCI runtime exec failed: {}", MessageOf(pid.status())),
              nullptr);
        }
        process->pid = *pid;
        process->state = State::kRunning;
        WatchProcess(container, process);
        task::StartResponse response;
        response.set_pid(static_cast<uint32_t>(*pid));
        reply(OkStatus(), &response);
      });
}

// ---- the end of a process

void TaskService::WatchProcess(const ContainerPtr& container, const ProcessPtr& process) {
  loop_->OnChild(process->pid, [this, container, process](int wait_status) {
    Exited(container, process, wait_status);
  });
}

void TaskService::Exited(const ContainerPtr& container, const ProcessPtr& process,
                         int wait_status) {
  process->exited = true;
  process->exit_status = static_cast<uint32_t>(sys::ExitCodeOf(wait_status));
  if (WIFSIGNALED(wait_status)) process->exit_signal = WTERMSIG(wait_status);
  process->exited_at = NowUnixNanos();
  if (process->id.empty()) {
    container->oom_killed = WasOomKilled(container->memory_cgroup);
    // Without a pid namespace of its own, what init started is still there and holds its pipes.
    if (!container->own_pid_namespace)
      container->runtime->Run({"kill", "--all", container->id, std::to_string(SIGKILL)}, {},
                              [](const Status&) {});
  }
  process->streams->ProcessEnded();
}

// The last step: what happened is on disk before anybody is told.
void TaskService::OutputEnded(const ContainerPtr& container, const ProcessPtr& process) {
  process->state = State::kStopped;
  if (process->id.empty()) {
    Json exit = {{"id", container->id},
                 {"pid", process->pid},
                 {"exit_status", process->exit_status},
                 {"signal", process->exit_signal},
                 {"exited_at", FormatRfc3339Nano(process->exited_at)},
                 {"oom_killed", container->oom_killed}};
    if (container->oom_killed) exit["oom"] = DescribeOomKill(container->memory_cgroup);
    const std::string text = exit.dump(-1, ' ', false, Json::error_handler_t::replace);
    IgnoreError(WriteFileDurable(container->bundle + "/exit.json", text, 0600),
                "on a full disk the answer to Wait still tells it");
  }
  task::WaitResponse response;
  response.set_exit_status(process->exit_status);
  FillTime(process->exited_at, response.mutable_exited_at());
  const std::vector<Reply> waiters = std::move(process->waiters);
  process->waiters.clear();
  for (const Reply& waiter : waiters) waiter(OkStatus(), &response);
}

void TaskService::Wait(const task::WaitRequest& request, Reply reply) {
  const auto process = FindProcess(request.id(), request.exec_id());
  if (!process.ok()) return reply(process.status(), nullptr);
  if ((*process)->state != State::kStopped) {
    (*process)->waiters.push_back(std::move(reply));
    return;
  }
  task::WaitResponse response;
  response.set_exit_status((*process)->exit_status);
  FillTime((*process)->exited_at, response.mutable_exited_at());
  reply(OkStatus(), &response);
}

void TaskService::Forget(const std::string& id) {
  const auto container = containers_.find(id);
  if (container == containers_.end()) return;
  for (const auto& [exec_id, process] : container->second->processes) KeepForClients(process.get());
  containers_.erase(container);
}

void TaskService::KeepForClients(Process* process) {
  if (!process->streams || !process->streams->ended()) return;
  // Its sockets are gone before the answer is there.
  if (!process->streams->HasSlowClients()) return process->streams.reset();
  const auto kept = leaving_.insert(leaving_.end(), std::move(process->streams));
  (*kept)->WhenClientsLeft([this, kept] {
    loop_->After(std::chrono::milliseconds(0), [this, kept] {
      leaving_.erase(kept);
      if (shutdown_wanted_ && leaving_.empty()) shutdown_();
    });
  });
}

void TaskService::Delete(const task::DeleteRequest& request, Reply reply) {
  const auto container = FindContainer(request.id());
  const auto process = FindProcess(request.id(), request.exec_id());
  if (!process.ok()) return reply(process.status(), nullptr);
  const State state = (*process)->state;
  const bool init_created = request.exec_id().empty() && state == State::kCreated;
  const bool exec_created = !request.exec_id().empty() && state == State::kCreated;
  if (state != State::kStopped && !init_created && !exec_created)
    return reply(FailedPrecondition("cannot delete a running process"), nullptr);
  const auto answer = [process = *process, reply] {
    task::DeleteResponse response;
    response.set_pid(static_cast<uint32_t>(process->pid));
    response.set_exit_status(process->exit_status);
    if (process->exited_at != 0) FillTime(process->exited_at, response.mutable_exited_at());
    reply(OkStatus(), &response);
  };
  if (!request.exec_id().empty()) {
    KeepForClients(process->get());
    (*container)->processes.erase(request.exec_id());
    return answer();
  }
  (*container)
      ->runtime->Run({"delete", "--force", request.id()}, {},
                     [this, answer, reply, id = request.id()](const Status& status) {
                       if (!status.ok() && status.code() != StatusCode::kNotFound)
                         return reply(status, nullptr);
                       Forget(id);
                       answer();
                     });
}

// ---- the rest

void TaskService::Kill(const task::KillRequest& request, Reply reply) {
  const auto container = FindContainer(request.id());
  const auto process = FindProcess(request.id(), request.exec_id());
  if (!process.ok()) return reply(process.status(), nullptr);
  if ((*process)->exited) return reply(NotFound("process already finished"), nullptr);
  if ((*process)->pid == 0) return reply(FailedPrecondition("process is not started"), nullptr);
  if (!request.exec_id().empty())
    return ReplyEmpty(reply, sys::Kill((*process)->pid, static_cast<int>(request.signal())));
  std::vector<std::string> args = {"kill"};
  if (request.all()) args.emplace_back("--all");
  args.insert(args.end(), {request.id(), std::to_string(request.signal())});
  (*container)->runtime->Run(std::move(args), {}, [reply](const Status& status) {
    ReplyEmpty(reply, status);
  });
}

void TaskService::GetState(const task::StateRequest& request, Reply reply) {
  const auto container = FindContainer(request.id());
  const auto process = FindProcess(request.id(), request.exec_id());
  if (!process.ok()) return reply(process.status(), nullptr);
  const Process& p = **process;
  task::StateResponse response;
  response.set_id(request.exec_id().empty() ? request.id() : request.exec_id());
  response.set_exec_id(request.exec_id());
  response.set_bundle((*container)->bundle);
  response.set_pid(static_cast<uint32_t>(p.pid));
  using containerd::v1::types::Status;
  response.set_status(p.state == State::kStopped   ? Status::STOPPED
                      : (*container)->paused       ? Status::PAUSED
                      : p.state == State::kRunning ? Status::RUNNING
                                                   : Status::CREATED);
  response.set_stdin(p.stdin_uri);
  response.set_stdout(p.stdout_uri);
  response.set_stderr(p.stderr_uri);
  response.set_terminal(p.terminal);
  response.set_exit_status(p.exit_status);
  if (p.exited_at != 0) FillTime(p.exited_at, response.mutable_exited_at());
  reply(OkStatus(), &response);
}

void TaskService::Pids(const task::PidsRequest& request, Reply reply) {
  const auto container = FindContainer(request.id());
  if (!container.ok()) return reply(container.status(), nullptr);
  task::PidsResponse response;
  for (const pid_t pid : CgroupPids((*container)->memory_cgroup))
    response.add_processes()->set_pid(static_cast<uint32_t>(pid));
  reply(OkStatus(), &response);
}

void TaskService::ResizePty(const task::ResizePtyRequest& request, Reply reply) {
  const auto process = FindProcess(request.id(), request.exec_id());
  if (!process.ok()) return reply(process.status(), nullptr);
  if ((*process)->exited) return reply(FailedPrecondition("process already finished"), nullptr);
  ReplyEmpty(reply, (*process)->streams->Resize(request.width(), request.height()));
}

void TaskService::CloseIO(const task::CloseIORequest& request, Reply reply) {
  const auto process = FindProcess(request.id(), request.exec_id());
  if (!process.ok()) return reply(process.status(), nullptr);
  if (request.stdin()) (*process)->streams->CloseInput();
  ReplyEmpty(reply, OkStatus());
}

void TaskService::Connect(const task::ConnectRequest& request, Reply reply) {
  task::ConnectResponse response;
  response.set_shim_pid(static_cast<uint32_t>(::getpid()));
  const auto init = FindProcess(request.id(), "");
  if (init.ok()) response.set_task_pid(static_cast<uint32_t>((*init)->pid));
  reply(OkStatus(), &response);
}

void TaskService::SetPaused(const std::string& id, bool paused, Reply reply) {
  const auto container = FindContainer(id);
  if (!container.ok()) return reply(container.status(), nullptr);
  if ((*container)->paused == paused)
    return reply(FailedPrecondition("container is {}", paused ? "paused already" : "not paused"),
                 nullptr);
  (*container)
      ->runtime->Run({paused ? "pause" : "resume", id}, {},
                     [container = *container, paused, reply](const Status& status) {
                       if (status.ok()) container->paused = paused;
                       ReplyEmpty(reply, status);
                     });
}

void TaskService::Pause(const task::PauseRequest& request, Reply reply) {
  SetPaused(request.id(), true, std::move(reply));
}

void TaskService::Resume(const task::ResumeRequest& request, Reply reply) {
  SetPaused(request.id(), false, std::move(reply));
}

// ---- what is not containerd's

void TaskService::ReopenLog(const ocishim::v1::ReopenLogRequest& request, Reply reply) {
  const auto process = FindProcess(request.id(), request.exec_id());
  if (!process.ok()) return reply(process.status(), nullptr);
  if ((*process)->state != State::kStarting && (*process)->state != State::kRunning)
    return reply(FailedPrecondition("the process is not running"), nullptr);
  ReplyEmpty(reply, (*process)->streams->ReopenLog());
}

void TaskService::IoStats(const ocishim::v1::IoStatsRequest& request, Reply reply) {
  const auto process = FindProcess(request.id(), request.exec_id());
  if (!process.ok()) return reply(process.status(), nullptr);
  const AttachServer::Drops drops = (*process)->streams->drops();
  ocishim::v1::IoStatsResponse response;
  for (const Stream stream : {Stream::kStdout, Stream::kStderr}) {
    const Streams::Counters& counters = (*process)->streams->counters(stream);
    auto* out = stream == Stream::kStdout ? response.mutable_stdout() : response.mutable_stderr();
    out->set_bytes(counters.bytes);
    out->set_lines(counters.lines);
    out->set_unlogged_bytes(counters.unlogged_bytes);
    out->set_dropped_bytes(drops.bytes[static_cast<int>(stream)]);
  }
  response.set_dropped_clients(drops.clients);
  reply(OkStatus(), &response);
}

void TaskService::Shutdown(const task::ShutdownRequest&, Reply reply) {
  ReplyEmpty(reply, OkStatus());
  // With containers left it has no effect (shim protocol, section 4).
  shutdown_wanted_ = containers_.empty();
  if (shutdown_wanted_ && leaving_.empty()) shutdown_();
}

}  // namespace ocirun::shim
