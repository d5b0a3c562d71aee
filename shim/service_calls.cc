// SPDX-License-Identifier: Apache-2.0
//
// The calls of the task service that look at a process or change it; those that make it and end it
// are in service.cc.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "containerd/events.pb.h"
#include "containerd/runc_options.pb.h"
#include "shim/metrics.h"
#include "shim/service.h"

namespace ocirun::shim {
namespace {

namespace task = containerd::task::v3;
namespace events = containerd::events;

// A file without a name that a program is to read.
StatusOr<UniqueFd> AsInput(std::string_view text) {
  UniqueFd file(::memfd_create("input", MFD_CLOEXEC));
  if (!file) return SysError(errno, "memfd_create");
  RETURN_IF_ERROR(sys::WriteAll(file, text));
  if (::lseek(file.get(), 0, SEEK_SET) < 0) return SysError(errno, "lseek");
  return file;
}

}  // namespace

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
                      : (*container)->pausing      ? Status::PAUSING
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
  std::map<pid_t, std::string> execs;
  std::vector<pid_t> pids;
  for (const auto& [id, process] : (*container)->processes) {
    if (process->pid == 0 || process->exited) continue;
    if (!id.empty()) execs[process->pid] = id;
    pids.push_back(process->pid);
  }
  // In a cgroup that is not the container's own there are others, too.
  const std::string cgroup = MemoryFolder((*container)->cgroups);
  if (!cgroup.empty() && cgroup != MemoryFolder(CgroupsOf(::getpid()))) {
    const std::vector<pid_t> all = CgroupPids(cgroup);
    if (!all.empty()) pids = all;
  }
  task::PidsResponse response;
  for (const pid_t pid : pids) {
    auto* info = response.add_processes();
    info->set_pid(static_cast<uint32_t>(pid));
    const auto exec = execs.find(pid);
    if (exec == execs.end()) continue;
    containerd::runc::v1::ProcessDetails details;
    details.set_exec_id(exec->second);
    info->mutable_info()->set_type_url("containerd.runc.v1.ProcessDetails");
    info->mutable_info()->set_value(details.SerializeAsString());
  }
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
  const auto found = FindContainer(id);
  if (!found.ok()) return reply(found.status(), nullptr);
  const ContainerPtr& container = *found;
  if (container->paused == paused || container->pausing ||
      container->processes.at("")->state != State::kRunning)
    return reply(FailedPrecondition("container is not {}", paused ? "running" : "paused"), nullptr);
  container->pausing = paused;
  container->runtime->Run(
      {paused ? "pause" : "resume", id}, {},
      [this, container, paused, reply](const Status& status) {
        container->pausing = false;
        if (!status.ok()) return reply(status, nullptr);
        container->paused = paused;
        if (paused) {
          events::TaskPaused event;
          event.set_container_id(container->id);
          publisher_->Publish("/tasks/paused", "containerd.events.TaskPaused", event);
        } else {
          events::TaskResumed event;
          event.set_container_id(container->id);
          publisher_->Publish("/tasks/resumed", "containerd.events.TaskResumed", event);
        }
        ReplyEmpty(reply, OkStatus());
      });
}

void TaskService::Pause(const task::PauseRequest& request, Reply reply) {
  SetPaused(request.id(), true, std::move(reply));
}

void TaskService::Resume(const task::ResumeRequest& request, Reply reply) {
  SetPaused(request.id(), false, std::move(reply));
}

void TaskService::Stats(const task::StatsRequest& request, Reply reply) {
  const auto container = FindContainer(request.id());
  if (!container.ok()) return reply(container.status(), nullptr);
  const auto metrics = ReadMetrics((*container)->cgroups);
  if (!metrics.ok()) return reply(metrics.status(), nullptr);
  task::StatsResponse response;
  *response.mutable_stats() = *metrics;
  reply(OkStatus(), &response);
}

void TaskService::Update(const task::UpdateTaskRequest& request, Reply reply) {
  const auto container = FindContainer(request.id());
  if (!container.ok()) return reply(container.status(), nullptr);
  if ((*container)->processes.at("")->exited)
    return reply(FailedPrecondition("cannot update a stopped container"), nullptr);
  const auto json = ParseJson(request.resources().value());
  if (!json.ok() || !json->is_object())
    return reply(InvalidArgument("resources: must be an object as JSON"), nullptr);
  auto input = AsInput(request.resources().value());
  if (!input.ok()) return reply(input.status(), nullptr);
  Streams::ChildEnds ends;
  ends.in = *std::move(input);
  (*container)
      ->runtime->Run({"update", "--resources", "-", request.id()}, std::move(ends),
                     [reply](const Status& status) { ReplyEmpty(reply, status); });
}

namespace {

// The runtime's options for a checkpoint; `image` is where it is to be.
std::vector<std::string> CheckpointArgs(const CheckpointOptions& options, const std::string& image,
                                        const std::string& work) {
  std::vector<std::string> args = {"checkpoint", "--image-path", image, "--work-path", work};
  if (!options.parent_path().empty())
    args.insert(args.end(), {"--parent-path", options.parent_path()});
  const struct {
    bool wanted;
    const char* option;
  } switches[] = {{options.open_tcp(), "--tcp-established"},
                  {options.external_unix_sockets(), "--ext-unix-sk"},
                  {options.terminal(), "--shell-job"},
                  {options.file_locks(), "--file-locks"},
                  {!options.exit(), "--leave-running"}};
  for (const auto& entry : switches)
    if (entry.wanted) args.emplace_back(entry.option);
  for (const std::string& name : options.empty_namespaces())
    args.insert(args.end(), {"--empty-ns", name});
  if (!options.cgroups_mode().empty())
    args.insert(args.end(), {"--manage-cgroups-mode", options.cgroups_mode()});
  return args;
}

}  // namespace

void TaskService::Checkpoint(const task::CheckpointTaskRequest& request, Reply reply) {
  const auto found = FindContainer(request.id());
  if (!found.ok()) return reply(found.status(), nullptr);
  const ContainerPtr& container = *found;
  if (container->processes.at("")->state != State::kRunning)
    return reply(FailedPrecondition("cannot checkpoint a container that is not running"), nullptr);
  const auto unpacked = UnpackCheckpointOptions(request.options());
  if (!unpacked.ok()) return reply(unpacked.status(), nullptr);
  const CheckpointOptions& options = *unpacked;
  const auto first = [](std::initializer_list<std::string> values) {
    for (const std::string& value : values)
      if (!value.empty()) return value;
    return std::string();
  };
  const std::string image =
      first({options.image_path(), request.path(), container->options.criu_image_path()});
  const std::string work = first(
      {options.work_path(), container->options.criu_work_path(), container->bundle + "/work"});
  if (image.empty()) return reply(InvalidArgument("path: no folder for the checkpoint"), nullptr);
  std::vector<std::string> args = CheckpointArgs(options, image, work);
  args.push_back(container->id);
  container->runtime->Run(
      std::move(args), {}, [this, container, image, work, reply](const Status& status) {
        if (!status.ok()) {
          // What CRIU has to say is longer than an error.
          const std::string kept = container->bundle + "/criu-dump.log";
          if (const auto log = ReadFile(work + "/dump.log"); log.ok())
            IgnoreError(WriteFile(kept, *log, 0600), "the error itself is told");
          return reply(Error(status.code(), "{} path= {}", status.message(), kept), nullptr);
        }
        events::TaskCheckpointed event;
        event.set_container_id(container->id);
        event.set_checkpoint(image);
        publisher_->Publish("/tasks/checkpointed", "containerd.events.TaskCheckpointed", event);
        ReplyEmpty(reply, OkStatus());
      });
}

// What is not containerd's.
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
  // With containers left it has no effect (shim protocol, section 4).
  shutdown_wanted_ = containers_.empty();
  if (shutdown_wanted_) options_.retire();
  ReplyEmpty(reply, OkStatus());
  EndShim();
}

void TaskService::EndShim() {
  if (!shutdown_wanted_ || !leaving_.empty() || !options_.end) return;
  std::exchange(options_.end, nullptr)();
}

}  // namespace ocirun::shim
