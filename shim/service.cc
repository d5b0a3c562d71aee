// SPDX-License-Identifier: Apache-2.0
#include "shim/service.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "containerd/events.pb.h"
#include "containerd/wire.pb.h"
#include "ocirun/linux/self_exe.h"
#include "shim/report.h"
#include "shim/rootfs.h"

namespace ocirun::shim {
namespace {

namespace task = containerd::task::v3;
namespace events = containerd::events;

// How long the end of init waits for the ends of what was exec'd, and Delete for output that
// somebody has to read.
constexpr std::chrono::seconds kExecsTime{10}, kDrainTime{10};
// How long an exec waits for its Start when it waits for its Delete no longer than is said.
constexpr std::chrono::seconds kStartTime{60};

// What config.json tells of the container beside what the runtime needs of it.
struct Facts {
  // Then the kernel ends every process with init. Unreadable: no, so that we end them.
  bool own_pid_namespace = false;
  uint32_t root_uid = 0, root_gid = 0;  // the container's root, on the host
};

bool HasOwnPidNamespace(const JsonView& linux_part) {
  const auto namespaces = linux_part.Get("namespaces");
  if (!namespaces.ok()) return false;
  const auto elements = namespaces->Elements();
  if (!elements.ok()) return false;
  return std::any_of(elements->begin(), elements->end(), [](const JsonView& ns) {
    const auto type = StringOr(ns, "type", "");
    const auto path = StringOr(ns, "path", "");
    return type.ok() && path.ok() && *type == "pid" && path->empty();
  });
}

uint32_t HostIdOfRoot(const JsonView& linux_part, const char* mappings) {
  const auto list = linux_part.Get(mappings);
  if (!list.ok()) return 0;
  const auto elements = list->Elements();
  if (!elements.ok()) return 0;
  for (const JsonView& mapping : *elements) {
    const auto inside = OptionalUInt32(mapping, "containerID");
    const auto outside = OptionalUInt32(mapping, "hostID");
    if (inside.ok() && outside.ok() && inside->value_or(0) == 0) return outside->value_or(0);
  }
  return 0;
}

Facts ReadFacts(const std::string& bundle) {
  const auto text = ReadFile(bundle + "/config.json");
  if (!text.ok()) return {};
  const auto json = ParseJson(*text);
  if (!json.ok()) return {};
  const auto linux_part = JsonView(*json).Get("linux");
  if (!linux_part.ok()) return {};
  return {.own_pid_namespace = HasOwnPidNamespace(*linux_part),
          .root_uid = HostIdOfRoot(*linux_part, "uidMappings"),
          .root_gid = HostIdOfRoot(*linux_part, "gidMappings")};
}

bool IsPlainId(const std::string& id) {
  return !id.empty() && id.size() <= 128 && id[0] != '.' &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

// The one that is built in, unless another is asked for, or this process could be written to by a
// container in which it is seen.
std::string ChooseRuntime(const RuncOptions& options) {
  return options.binary_name().empty() && linux_::RunsProtected() ? kBuiltIn
                                                                  : RuntimeProgram(options);
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

// The answer of Wait, and the times and status of others.
template <typename Message, typename Process>
Message ExitOf(const Process& process) {
  Message out;
  out.set_exit_status(process.exit_status);
  if (process.exited_at != 0) FillTime(process.exited_at, out.mutable_exited_at());
  return out;
}

}  // namespace

void FillTime(UnixNanos time, wire::Timestamp* out) {
  constexpr int64_t kNanos = 1'000'000'000;
  out->set_seconds(time / kNanos);
  out->set_nanos(static_cast<int32_t>(time % kNanos));
}

void ReplyEmpty(const Reply& reply, const Status& status) {
  const wire::Empty empty;
  reply(status, &empty);
}

namespace {

// To all of them, who are let go before: an answer may lead to the next question.
void ReplyToAll(std::vector<Reply>* replies, const Status& status,
                const google::protobuf::MessageLite* message) {
  for (const Reply& reply : std::exchange(*replies, {})) reply(status, message);
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

TaskService::TaskService(Loop* loop, Publisher* publisher, Options options)
    : loop_(loop), publisher_(publisher), options_(std::move(options)) {
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
  Register("Stats", &TaskService::Stats);
  Register("Update", &TaskService::Update);
  Register("Checkpoint", &TaskService::Checkpoint);
  Register("Shutdown", &TaskService::Shutdown);
  RegisterIn(&own_methods_, "ReopenLog", &TaskService::ReopenLog);
  RegisterIn(&own_methods_, "IoStats", &TaskService::IoStats);
}

TaskService::~TaskService() {
  while (!containers_.empty()) Forget(containers_.begin()->first);
}

// What opens files and closes them again, for something that has begun.
template <typename Work>
auto TaskService::WithSpareFds(Work work) const {
  const SpareFds::Loan loan = loop_->LendSpareFds();
  return work();
}

void TaskService::Handle(const std::string& service, const std::string& method,
                         const std::string& payload, Reply reply) {
  const bool is_task = service == "containerd.task.v2.Task" || service == "containerd.task.v3.Task";
  const Methods& methods = is_task ? methods_ : own_methods_;
  const auto handler = methods.find(method);
  if ((!is_task && service != "ocishim.v1.Shim") || handler == methods.end())
    return reply(Unsupported("{}/{}: not supported", service, method), nullptr);
  if (options_.debug) Report("debug", fmt::format("call {}", method));
  // These two make what stays.
  if (method == "Create" || method == "Exec") return handler->second(payload, std::move(reply));
  WithSpareFds([&] { handler->second(payload, std::move(reply)); });
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

StatusOr<pid_t> TaskService::ReadPid(const std::string& file) const {
  ASSIGN_OR_RETURN(const std::string text, WithSpareFds([&] { return ReadFile(file); }));
  pid_t pid = 0;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  if (pid <= 0) return Internal("unreadable pid file {}", file);
  return pid;
}

// ---- Create

Status TaskService::OpenStreams(const ContainerPtr& container, const ProcessPtr& process) {
  Streams::Options options;
  options.terminal = process->terminal;
  ASSIGN_OR_RETURN(options.output, ParseStdioUri(process->stdout_uri));
  if (options.output.keep.has_value() && process->id.empty())
    return InvalidArgument("stdout {:?}: keep is for an exec", process->stdout_uri);
  process->keep = options.output.keep;
  options.open_stdin = process->stdin_uri == "attach:";
  if (!options.open_stdin) {
    ASSIGN_OR_RETURN(options.stdin_path, ParseFifoUri(process->stdin_uri));
  }
  // Of the other kinds stdout says it for both.
  if (!options.output.path.empty() || process->stdout_uri.empty()) {
    ASSIGN_OR_RETURN(options.stderr_path, ParseFifoUri(process->stderr_uri));
  }
  // Not in the bundle, whose path may be longer than other runtimes can connect to.
  if (process->terminal)
    process->console_socket = fmt::format("{}/{}", ParentOf(options_.socket), RandomHex(8));
  options.console_socket = process->console_socket;
  options.io_uid = container->io_uid;
  options.io_gid = container->io_gid;
  options.logger_environment = {"CONTAINER_ID=" + container->id,
                                "CONTAINER_NAMESPACE=" + options_.name_space};
  const auto ended = [this, container = std::weak_ptr(container),
                      process = std::weak_ptr(process)] {
    const ContainerPtr strong_container = container.lock();
    const ProcessPtr strong = process.lock();
    if (strong_container && strong) OutputEnded(strong_container, strong);
  };
  ASSIGN_OR_RETURN(process->streams,
                   Streams::Create(loop_, std::move(options), &process->child_ends, ended));
  return OkStatus();
}

StatusOr<TaskService::ContainerPtr> TaskService::NewContainer(
    const task::CreateTaskRequest& request) const {
  if (!IsPlainId(request.id()) || request.bundle().empty() || request.bundle()[0] != '/')
    return InvalidArgument("invalid id or bundle");
  auto container = std::make_shared<Container>();
  ASSIGN_OR_RETURN(container->options, UnpackOptions(request.options()));
  const RuncOptions& options = container->options;
  // A client that was told of a shim says so to containerd, and we hear of it, too.
  if (!options.task_api_address().empty() &&
      options.task_api_address() != "unix://" + options_.socket)
    return Unsupported("options: task_api_address {:?} is not this shim's",
                       options.task_api_address());
  container->id = request.id();
  container->bundle = request.bundle();
  container->checkpoint = request.checkpoint();
  container->parent_checkpoint = request.parent_checkpoint();
  const Facts facts = ReadFacts(container->bundle);
  container->own_pid_namespace = facts.own_pid_namespace;
  // Not every client says who is to be able to open his streams by their names.
  container->io_uid = options.io_uid() != 0 ? options.io_uid() : facts.root_uid;
  container->io_gid = options.io_gid() != 0 ? options.io_gid() : facts.root_gid;
  container->has_mounts = request.rootfs_size() != 0;
  container->runtime = std::make_unique<Runtime>(
      loop_, ChooseRuntime(options), RuntimeRoot(options, options_.name_space),
      container->bundle + "/log.json",
      options.systemd_cgroup() ? Runtime::Cgroups::kSystemd : Runtime::Cgroups::kFolders);
  auto init = std::make_shared<Process>();
  init->state = State::kCreating;
  init->terminal = request.terminal();
  init->stdin_uri = request.stdin();
  init->stdout_uri = request.stdout();
  init->stderr_uri = request.stderr();
  container->processes[""] = std::move(init);
  return container;
}

void TaskService::Create(const task::CreateTaskRequest& request, Reply reply) {
  // It would be without a shim before it is made.
  if (shutdown_wanted_)
    return reply(Error(StatusCode::kUnavailable, "the shim is about to end"), nullptr);
  if (containers_.count(request.id()) != 0)
    return reply(Error(StatusCode::kAlreadyExists, "container {} exists", request.id()), nullptr);
  const auto created = NewContainer(request);
  if (!created.ok()) return reply(created.status(), nullptr);
  const ContainerPtr& container = *created;
  const ProcessPtr& init = container->processes.at("");
  Status status = SaveOptions(container->bundle, container->options);
  if (status.ok()) status = MountAll(request.rootfs(), container->bundle + "/rootfs");
  if (!status.ok()) return reply(status, nullptr);
  containers_[container->id] = container;
  status = OpenStreams(container, init);
  if (!status.ok()) return CreateFailed(container, status, reply);
  init->streams->WhenReady([this, container, request, reply](const Status& ready) {
    if (!ready.ok()) return CreateFailed(container, ready, reply);
    RunCreate(container, request, reply);
  });
}

void TaskService::RunCreate(const ContainerPtr& container, const task::CreateTaskRequest& request,
                            const Reply& reply) {
  const ProcessPtr& init = container->processes.at("");
  // A checkpoint is restored by Start, and there is no process before.
  if (!container->checkpoint.empty()) return Created(container, request, reply);
  std::vector<std::string> args = {"create", "--bundle", container->bundle, "--pid-file",
                                   container->bundle + "/init.pid"};
  if (container->options.no_pivot_root()) args.emplace_back("--no-pivot");
  if (container->options.no_new_keyring()) args.emplace_back("--no-new-keyring");
  if (init->terminal) args.insert(args.end(), {"--console-socket", init->console_socket});
  args.push_back(container->id);
  container->runtime->RunInTime(
      reply, std::move(args), std::move(init->child_ends),
      [this, container, request, reply](const Status& ran) {
        // One that was ended has not cleaned up.
        if (reply.IsLate()) return UndoCreate(container, ran, reply);
        if (!ran.ok())
          return CreateFailed(
              container, Error(ran.code(), "OCI runtime create failed: {}", ran.message()), reply);
        const Status status = InitIsThere(container);
        if (!status.ok()) return UndoCreate(container, status, reply);
        Created(container, request, reply);
      });
}

// The runtime has made what we can't or shall not take over.
void TaskService::UndoCreate(const ContainerPtr& container, const Status& status,
                             const Reply& reply) {
  container->runtime->Run(
      {"delete", "--force", container->id}, {},
      [this, container, status, reply](const Status&) { CreateFailed(container, status, reply); });
}

Status TaskService::Unmount(const Container& container) const {
  if (!container.has_mounts) return OkStatus();
  return WithSpareFds([&] { return UnmountBelow(container.bundle + "/rootfs"); });
}

// Nothing is left of what failed.
void TaskService::CreateFailed(const ContainerPtr& container, Status status, const Reply& reply) {
  Forget(container->id);
  IgnoreError(Unmount(*container), "the first error is the one to tell");
  reply(status, nullptr);
}

// Takes over the init process that the runtime has made.
Status TaskService::InitIsThere(const ContainerPtr& container) {
  const ProcessPtr& init = container->processes.at("");
  ASSIGN_OR_RETURN(init->pid, ReadPid(container->bundle + "/init.pid"));
  RETURN_IF_ERROR(init->streams->Begin());
  container->cgroups = WithSpareFds([&] { return CgroupsOf(init->pid); });
  if (publisher_->enabled()) WatchOom(container);
  return OkStatus();
}

void TaskService::WatchOom(const ContainerPtr& container) {
  auto watch = cgroup::OomWatch::Open(container->cgroups);
  if (!watch.ok())
    return Report("warning",
                  fmt::format("OOM events of {}: {}", container->id, watch.status().message()));
  container->oom_watch.emplace(*std::move(watch));
  const auto read = [this, weak = std::weak_ptr(container)](uint32_t) {
    const ContainerPtr strong = weak.lock();
    if (!strong || !strong->oom_watch.has_value()) return;
    const auto event = strong->oom_watch->Read();
    if (event.ok() && *event == cgroup::OomWatch::Event::kOom) {
      events::TaskOOM oom;
      oom.set_container_id(strong->id);
      publisher_->Publish("/tasks/oom", "containerd.events.TaskOOM", oom);
    } else if (!event.ok() || *event == cgroup::OomWatch::Event::kGone) {
      loop_->Forget(strong->oom_watch->fd());
      strong->oom_watch.reset();
    }
  };
  IgnoreError(loop_->Watch(container->oom_watch->fd(), EPOLLIN, read),
              "the status of the end tells it, too");
}

void TaskService::Created(const ContainerPtr& container, const task::CreateTaskRequest& request,
                          const Reply& reply) {
  const ProcessPtr& init = container->processes.at("");
  init->state = State::kCreated;
  events::TaskCreate event;
  event.set_container_id(container->id);
  event.set_bundle(container->bundle);
  *event.mutable_rootfs() = request.rootfs();
  event.mutable_io()->set_stdin(init->stdin_uri);
  event.mutable_io()->set_stdout(init->stdout_uri);
  event.mutable_io()->set_stderr(init->stderr_uri);
  event.mutable_io()->set_terminal(init->terminal);
  event.set_checkpoint(container->checkpoint);
  event.set_pid(static_cast<uint32_t>(init->pid));
  publisher_->Publish("/tasks/create", "containerd.events.TaskCreate", event);
  if (init->pid != 0) WatchProcess(container, init);
  task::CreateTaskResponse response;
  response.set_pid(static_cast<uint32_t>(init->pid));
  reply(OkStatus(), &response);
}

// ---- Start

void TaskService::Start(const task::StartRequest& request, Reply reply) {
  const auto container = FindContainer(request.id());
  const auto process = FindProcess(request.id(), request.exec_id());
  if (!process.ok()) return reply(process.status(), nullptr);
  if ((*process)->state != State::kCreated || (*process)->deleting)
    return reply(FailedPrecondition("cannot start a process that is not created"), nullptr);
  if (!request.exec_id().empty()) return StartExec(*container, *process, std::move(reply));
  StartInit(*container, reply);
}

std::vector<std::string> TaskService::StartArgs(const Container& container) const {
  if (container.checkpoint.empty()) return {"start", container.id};
  const RuncOptions& options = container.options;
  std::vector<std::string> args = {
      "restore",
      "--image-path",
      container.checkpoint,
      "--work-path",
      options.criu_work_path().empty() ? container.bundle + "/work" : options.criu_work_path(),
      "--detach",
      "--pid-file",
      container.bundle + "/init.pid",
      "--no-subreaper",
      "--bundle",
      container.bundle};
  if (!container.parent_checkpoint.empty())
    args.insert(args.end(), {"--parent-path", container.parent_checkpoint});
  if (options.no_pivot_root()) args.emplace_back("--no-pivot");
  if (container.processes.at("")->terminal)
    args.insert(args.end(), {"--console-socket", container.processes.at("")->console_socket});
  args.push_back(container.id);
  return args;
}

void TaskService::StartInit(const ContainerPtr& container, const Reply& reply) {
  const ProcessPtr& init = container->processes.at("");
  const bool restored = !container->checkpoint.empty();
  init->state = State::kStarting;
  container->runtime->RunInTime(reply, StartArgs(*container), std::move(init->child_ends),
                                [this, container, init, restored, reply](const Status& ran) {
                                  const Status status =
                                      ran.ok() && restored ? InitIsThere(container) : ran;
                                  if (status.ok()) {
                                    if (restored) WatchProcess(container, init);
                                    return Started(container, init, reply);
                                  }
                                  // A runtime that was ended may have started it: as such it can be
                                  // killed and deleted.
                                  init->state = State::kCreated;
                                  TellExit(container, init);  // it may be why
                                  reply(Error(status.code(), "OCI runtime {} failed: {}",
                                              restored ? "restore" : "start", status.message()),
                                        nullptr);
                                });
}

// The event first: the process may have ended meanwhile.
void TaskService::Started(const ContainerPtr& container, const ProcessPtr& process,
                          const Reply& reply) {
  process->state = State::kRunning;
  if (process->id.empty()) {
    events::TaskStart event;
    event.set_container_id(container->id);
    event.set_pid(static_cast<uint32_t>(process->pid));
    publisher_->Publish("/tasks/start", "containerd.events.TaskStart", event);
  } else {
    events::TaskExecStarted event;
    event.set_container_id(container->id);
    event.set_exec_id(process->id);
    event.set_pid(static_cast<uint32_t>(process->pid));
    publisher_->Publish("/tasks/exec-started", "containerd.events.TaskExecStarted", event);
  }
  task::StartResponse response;
  response.set_pid(static_cast<uint32_t>(process->pid));
  reply(OkStatus(), &response);
  TellExit(container, process);
}

// ---- Exec

void TaskService::Exec(const task::ExecProcessRequest& request, Reply reply) {
  const auto container = FindContainer(request.id());
  if (!container.ok()) return reply(container.status(), nullptr);
  // At once, as with runc's: a client waits for the end of what was added, and this can't begin.
  const Process& init = *(*container)->processes.at("");
  if (init.exited || init.deleting)
    return reply(FailedPrecondition("cannot exec in a stopped container"), nullptr);
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
  events::TaskExecAdded event;
  event.set_container_id(request.id());
  event.set_exec_id(request.exec_id());
  publisher_->Publish("/tasks/exec-added", "containerd.events.TaskExecAdded", event);
  if (process->keep.has_value()) DeleteAfter(kStartTime, *container, process);
  ReplyEmpty(reply, OkStatus());
}

void TaskService::StartExec(const ContainerPtr& container, const ProcessPtr& process, Reply reply) {
  if (container->processes.at("")->exited)
    return ExecFailed(container, process, FailedPrecondition("container is not running"), reply);
  process->state = State::kStarting;
  process->streams->WhenReady([this, container, process, reply](const Status& ready) {
    if (!ready.ok()) return ExecFailed(container, process, ready, reply);
    RunExec(container, process, reply);
  });
}

namespace {

// What the names of an exec's files in the bundle begin with. An id may be "init" or "shim", whose
// pid files are there, too.
std::string ExecFiles(const std::string& bundle, const std::string& exec_id) {
  return fmt::format("{}/exec-{}", bundle, exec_id);
}

}  // namespace

void TaskService::RunExec(const ContainerPtr& container, const ProcessPtr& process,
                          const Reply& reply) {
  const std::string prefix = ExecFiles(container->bundle, process->id);
  const Status written = WriteFile(prefix + "-process.json", process->process_json, 0600);
  if (!written.ok()) return ExecFailed(container, process, written, reply);
  std::vector<std::string> args = {"exec",     "--process",  prefix + "-process.json",
                                   "--detach", "--pid-file", prefix + ".pid"};
  if (process->terminal) args.insert(args.end(), {"--console-socket", process->console_socket});
  args.push_back(container->id);
  container->runtime->RunInTime(reply, std::move(args), std::move(process->child_ends),
                                [this, container, process, reply](const Status& ran) {
                                  RanExec(container, process, ran, reply);
                                });
}

void TaskService::RanExec(const ContainerPtr& container, const ProcessPtr& process,
                          const Status& ran, const Reply& reply) {
  const std::string prefix = ExecFiles(container->bundle, process->id);
  const auto pid = ReadPid(prefix + ".pid");
  for (const char* suffix : {"-process.json", ".pid"})
    IgnoreError(sys::Unlink(prefix + suffix), "it was not written");
  Status begun = ran.ok() ? pid.status() : ran;
  if (begun.ok() && !container->deleted) begun = process->streams->Begin();
  if (!begun.ok() || container->deleted) {
    // It had made the process when it was ended for being late, or when its container went.
    if (pid.ok()) EndStray(*pid);
    return ExecFailed(container, process, begun, reply);
  }
  process->pid = *pid;
  WatchProcess(container, process);
  Started(container, process, reply);
}

// A child of ours that nobody is to know of.
void TaskService::EndStray(pid_t pid) {
  const auto gone = std::make_shared<bool>(false);
  loop_->OnChild(pid, [gone](int) { *gone = true; });
  loop_->After(std::chrono::milliseconds(0), [gone, pid] {
    if (!*gone) IgnoreError(sys::Kill(pid, SIGKILL), "it has just ended");
  });
}

// It never was a process: no event tells its end, and Wait has the status 0.
void TaskService::ExecFailed(const ContainerPtr& container, const ProcessPtr& process,
                             Status status, const Reply& reply) {
  // Deleted meanwhile: nothing is left that could be told or ended.
  if (container->deleted) return reply(NotFound("container not created"), nullptr);
  process->child_ends = {};
  process->state = State::kStopped;
  process->exited = true;
  process->streams->GiveUp();
  const auto response = ExitOf<task::WaitResponse>(*process);
  ReplyToAll(&process->waiters, OkStatus(), &response);
  if (process->keep.has_value()) DeleteAfter(*process->keep, container, process);
  reply(Error(status.code(), "OCI runtime exec failed: {}", status.message()), nullptr);
  TellExit(container, container->processes.at(""));  // whose end it may have held up
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
  if (container->deleted) return;
  if (process->id.empty()) {
    container->oom_killed =
        WithSpareFds([&] { return WasOomKilled(MemoryFolder(container->cgroups)); });
    // Without a pid namespace of its own, what init started is still there and holds its pipes.
    if (!container->own_pid_namespace)
      container->runtime->Run({"kill", "--all", container->id, std::to_string(SIGKILL)}, {},
                              [container](const Status&) {});
    loop_->After(kExecsTime, [this, weak = std::weak_ptr(container)] {
      const ContainerPtr strong = weak.lock();
      if (!strong || strong->deleted) return;
      strong->tell_exit_anyway = true;
      TellExit(strong, strong->processes.at(""));
    });
  }
  process->streams->ProcessEnded();
  TellExit(container, process);
  if (!process->id.empty()) TellExit(container, container->processes.at(""));
}

void TaskService::OutputEnded(const ContainerPtr& container, const ProcessPtr& process) {
  TellExit(container, process);
  if (!process->on_drained) return;
  // Not at once: the streams are in the middle of their work, and Delete ends them.
  loop_->After(std::chrono::milliseconds(0), std::exchange(process->on_drained, nullptr));
}

// Once, when everything is as the head of service.h says. What happened is on disk before anybody
// is told.
void TaskService::TellExit(const ContainerPtr& container, const ProcessPtr& process) {
  if (!process->exited || container->deleted) return;
  if (process->state != State::kCreated && process->state != State::kRunning) return;
  if (!process->streams->EndsAtOnce() && !process->streams->ended()) return;
  const bool is_init = process->id.empty();
  const auto is_live = [](const auto& entry) {
    const Process& p = *entry.second;
    return !p.id.empty() && !p.exited &&
           (p.state == State::kRunning || p.state == State::kStarting);
  };
  if (is_init && !container->tell_exit_anyway &&
      std::any_of(container->processes.begin(), container->processes.end(), is_live))
    return;
  process->state = State::kStopped;
  if (is_init)
    IgnoreError(WithSpareFds([&] { return SaveExit(*container, *process); }),
                "on a full disk the answer to Wait still tells it");
  auto event = ExitOf<events::TaskExit>(*process);
  event.set_container_id(container->id);
  event.set_id(is_init ? container->id : process->id);
  event.set_pid(static_cast<uint32_t>(process->pid));
  publisher_->Publish("/tasks/exit", "containerd.events.TaskExit", event);
  const auto response = ExitOf<task::WaitResponse>(*process);
  ReplyToAll(&process->waiters, OkStatus(), &response);
  if (process->keep.has_value()) DeleteAfter(*process->keep, container, process);
}

Status TaskService::SaveExit(const Container& container, const Process& init) {
  Json exit = {{"id", container.id},
               {"pid", init.pid},
               {"exit_status", init.exit_status},
               {"signal", init.exit_signal},
               {"exited_at", FormatRfc3339Nano(init.exited_at)},
               {"oom_killed", container.oom_killed}};
  if (container.oom_killed) exit["oom"] = DescribeOomKill(MemoryFolder(container.cgroups));
  const std::string text = exit.dump(-1, ' ', false, Json::error_handler_t::replace);
  return WriteFileDurable(container.bundle + "/exit.json", text, 0600);
}

void TaskService::Wait(const task::WaitRequest& request, Reply reply) {
  const auto process = FindProcess(request.id(), request.exec_id());
  if (!process.ok()) return reply(process.status(), nullptr);
  if ((*process)->state != State::kStopped) {
    std::erase_if((*process)->waiters, [](const Reply& waiter) { return !waiter.IsAwaited(); });
    (*process)->waiters.push_back(std::move(reply));
    return;
  }
  const auto response = ExitOf<task::WaitResponse>(**process);
  reply(OkStatus(), &response);
}

// ---- Delete

// The container is as if it had never been; whoever waits for one of its processes learns that.
void TaskService::Forget(const std::string& id) {
  const auto it = containers_.find(id);
  if (it == containers_.end()) return;
  const ContainerPtr container = it->second;
  containers_.erase(it);
  container->deleted = true;
  if (container->oom_watch.has_value()) loop_->Forget(container->oom_watch->fd());
  container->oom_watch.reset();
  for (const auto& [exec_id, process] : container->processes) {
    StopKeeping(process.get());
    KeepForClients(process.get());
    ReplyToAll(&process->waiters, NotFound("container not created"), nullptr);
    process->streams.reset();
    process->child_ends = {};
  }
}

void TaskService::KeepForClients(Process* process) {
  if (!process->streams || !process->streams->ended()) return;
  // Its sockets are gone before the answer is there.
  if (!process->streams->HasSlowClients()) return process->streams.reset();
  const auto kept = leaving_.insert(leaving_.end(), std::move(process->streams));
  (*kept)->WhenClientsLeft([this, kept] {
    loop_->After(std::chrono::milliseconds(0), [this, kept] {
      leaving_.erase(kept);
      EndShim();
    });
  });
}

// Calls `then` when containerd has all of the output, or nobody reads it for 10 s.
void TaskService::WhenDrained(const ProcessPtr& process, std::function<void()> then) {
  if (process->streams->ended() || !process->streams->EndsAtOnce()) return then();
  // A second Delete waits for the same.
  process->on_drained = [first = std::move(process->on_drained), then = std::move(then)] {
    if (first) first();
    then();
  };
  loop_->After(kDrainTime, [weak = std::weak_ptr(process)] {
    const ProcessPtr strong = weak.lock();
    if (strong && strong->on_drained) std::exchange(strong->on_drained, nullptr)();
  });
}

// What connects the process with the world. Clients that are behind keep what they are owed.
void TaskService::CloseProcess(const ProcessPtr& process, std::function<void()> closed) {
  process->child_ends = {};
  if (!process->streams || !process->streams->EndsAtOnce()) return closed();
  if (process->state != State::kStopped) return process->streams->Close(std::move(closed));
  WhenDrained(process, [process, closed = std::move(closed)] {
    // Not there any more: the container was deleted meanwhile.
    if (!process->streams) return closed();
    process->streams->Close(closed);
  });
}

void TaskService::Delete(const task::DeleteRequest& request, Reply reply) {
  const auto container = FindContainer(request.id());
  const auto found = FindProcess(request.id(), request.exec_id());
  if (!found.ok()) return reply(found.status(), nullptr);
  const ProcessPtr& process = *found;
  if (process->state != State::kStopped && process->state != State::kCreated)
    return reply(FailedPrecondition("cannot delete a running process"), nullptr);
  // As with runc's the second one waits for the first one, and finds nothing.
  if (process->deleting) return process->also_deleting.push_back(reply);
  process->deleting = true;
  if (request.exec_id().empty()) return DeleteInit(*container, process, reply);
  DeleteExec(*container, process, [process, reply] {
    auto response = ExitOf<task::DeleteResponse>(*process);
    response.set_pid(static_cast<uint32_t>(process->pid));
    reply(OkStatus(), &response);
  });
}

void TaskService::DeleteExec(const ContainerPtr& container, const ProcessPtr& process,
                             std::function<void()> deleted) {
  CloseProcess(process, [this, container, process, deleted = std::move(deleted)] {
    StopKeeping(process.get());
    KeepForClients(process.get());
    container->processes.erase(process->id);
    const auto gone = NotFound("process {} does not exist", process->id);
    ReplyToAll(&process->waiters, gone, nullptr);
    deleted();
    ReplyToAll(&process->also_deleting, gone, nullptr);
  });
}

// Nobody may be there to do it. One that runs by then is deleted so long after its end.
void TaskService::DeleteAfter(std::chrono::seconds time, const ContainerPtr& container,
                              const ProcessPtr& process) {
  StopKeeping(process.get());
  process->keep_timer = loop_->After(
      time, [this, weak = std::weak_ptr(container), weak_process = std::weak_ptr(process)] {
        const ContainerPtr of = weak.lock();
        const ProcessPtr exec = weak_process.lock();
        if (!of || !exec) return;
        exec->keep_timer.reset();
        if (exec->deleting) return;
        if (exec->state != State::kCreated && exec->state != State::kStopped) return;
        exec->deleting = true;
        DeleteExec(of, exec, [] {});
      });
}

void TaskService::StopKeeping(Process* process) {
  if (process->keep_timer.has_value()) loop_->Cancel(*process->keep_timer);
  process->keep_timer.reset();
}

void TaskService::DeleteInit(const ContainerPtr& container, const ProcessPtr& init,
                             const Reply& reply) {
  const auto answer = [this, container, init, reply] {
    if (container->deleted) return reply(NotFound("container not created"), nullptr);
    Forget(container->id);
    auto event = ExitOf<events::TaskDelete>(*init);
    event.set_container_id(container->id);
    event.set_pid(static_cast<uint32_t>(init->pid));
    publisher_->Publish("/tasks/delete", "containerd.events.TaskDelete", event);
    auto response = ExitOf<task::DeleteResponse>(*init);
    response.set_pid(static_cast<uint32_t>(init->pid));
    reply(OkStatus(), &response);
    ReplyToAll(&init->also_deleting, NotFound("container not created"), nullptr);
  };
  container->runtime->Run({"delete", "--force", container->id}, {},
                          [this, container, init, answer, reply](Status status) {
                            if (IsNotFound(status)) status = OkStatus();
                            if (status.ok()) status = Unmount(*container);
                            if (!status.ok()) {
                              init->deleting = false;
                              ReplyToAll(&init->also_deleting, status, nullptr);
                              return reply(status, nullptr);
                            }
                            CloseProcess(init, answer);
                          });
}

}  // namespace ocirun::shim
