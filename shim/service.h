// SPDX-License-Identifier: Apache-2.0
//
// The task API (containerd.task.v2.Task and v3.Task, the same messages) and what we add to it
// (ocishim.v1.Shim) for the containers of this shim. Life of a process:
//
//   Create (init) or Exec ──► created ── Start ──► running ── ends ──► stopped ── Delete ──► gone
//
// Its end is told (exit.json written, the event sent, Wait answered) when its start was, when no
// process of the container is left that was exec'd, and, where we write the log ourselves, when all
// of its output is there. Where containerd copies the output, Delete waits for that instead.
//
// A call whose time passes (server.h) is answered then. What was to make something, Create and
// Start, is ended and undone; any other goes on to its end: half a Pause or Delete helps nobody.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "containerd/task.pb.h"
#include "ocirun/cgroup/oom.h"
#include "ocishim/v1/shim.pb.h"
#include "shim/loop.h"
#include "shim/oom.h"
#include "shim/options.h"
#include "shim/publisher.h"
#include "shim/runtime.h"
#include "shim/server.h"
#include "shim/streams.h"

namespace ocirun::shim {

class TaskService {
 public:
  struct Options {
    std::string name_space;
    std::string socket;  // of the shim itself; others may be made beside it
    bool debug = false;  // reports every call
    // Shutdown is granted: called before it is answered, so that no new client finds us.
    std::function<void()> retire;
    // Called once, when the shim has no more to do.
    std::function<void()> end;
  };
  TaskService(Loop* loop, Publisher* publisher, Options options);
  ~TaskService();

  void Handle(const std::string& service, const std::string& method, const std::string& payload,
              Reply reply);

 private:
  enum class State { kCreating, kCreated, kStarting, kRunning, kStopped };
  struct Process {
    std::string id;  // of the exec; empty for init
    State state = State::kCreated;
    pid_t pid = 0;
    uint32_t exit_status = 0;
    int exit_signal = 0;  // that ended it; 0: none
    UnixNanos exited_at = 0;
    bool terminal = false, exited = false;
    bool deleting = false;  // it is neither started nor used any more
    std::vector<Reply> also_deleting;
    std::string stdin_uri, stdout_uri, stderr_uri;
    std::string process_json;    // of an exec
    std::string console_socket;  // with a terminal
    std::unique_ptr<Streams> streams;
    Streams::ChildEnds child_ends;  // until it starts
    std::vector<Reply> waiters;
    std::function<void()> on_drained;          // of Delete, which waits for the output
    std::optional<std::chrono::seconds> keep;  // of an exec: for its Delete (stdio_uri.h)
    std::optional<Loop::Timer> keep_timer;
  };
  struct Container {
    std::string id, bundle;
    RuncOptions options;
    std::unique_ptr<Runtime> runtime;
    std::map<std::string, std::shared_ptr<Process>> processes;  // "" is init
    std::string checkpoint, parent_checkpoint;  // to be restored by Start; empty: none
    uint32_t io_uid = 0, io_gid = 0;            // who owns the pipes of its processes
    bool own_pid_namespace = true, paused = false, pausing = false, has_mounts = false;
    bool deleted = false, tell_exit_anyway = false;
    CgroupView cgroups;
    bool oom_killed = false;
    std::optional<cgroup::OomWatch> oom_watch;
  };
  using ContainerPtr = std::shared_ptr<Container>;
  using ProcessPtr = std::shared_ptr<Process>;

  using Methods = std::map<std::string, std::function<void(const std::string& payload, Reply)>>;
  template <typename Request>
  void Register(const std::string& method, void (TaskService::*handle)(const Request&, Reply)) {
    RegisterIn(&methods_, method, handle);
  }
  template <typename Request>
  void RegisterIn(Methods* methods, const std::string& method,
                  void (TaskService::*handle)(const Request&, Reply));

  void Create(const containerd::task::v3::CreateTaskRequest& request, Reply reply);
  void Start(const containerd::task::v3::StartRequest& request, Reply reply);
  void Exec(const containerd::task::v3::ExecProcessRequest& request, Reply reply);
  void Delete(const containerd::task::v3::DeleteRequest& request, Reply reply);
  void Kill(const containerd::task::v3::KillRequest& request, Reply reply);
  void Wait(const containerd::task::v3::WaitRequest& request, Reply reply);
  void GetState(const containerd::task::v3::StateRequest& request, Reply reply);
  void Pids(const containerd::task::v3::PidsRequest& request, Reply reply);
  void ResizePty(const containerd::task::v3::ResizePtyRequest& request, Reply reply);
  void CloseIO(const containerd::task::v3::CloseIORequest& request, Reply reply);
  void Connect(const containerd::task::v3::ConnectRequest& request, Reply reply);
  void Pause(const containerd::task::v3::PauseRequest& request, Reply reply);
  void Resume(const containerd::task::v3::ResumeRequest& request, Reply reply);
  void Stats(const containerd::task::v3::StatsRequest& request, Reply reply);
  void Update(const containerd::task::v3::UpdateTaskRequest& request, Reply reply);
  void Checkpoint(const containerd::task::v3::CheckpointTaskRequest& request, Reply reply);
  void Shutdown(const containerd::task::v3::ShutdownRequest& request, Reply reply);

  void ReopenLog(const ocishim::v1::ReopenLogRequest& request, Reply reply);
  void IoStats(const ocishim::v1::IoStatsRequest& request, Reply reply);

  StatusOr<ContainerPtr> FindContainer(const std::string& id) const;
  StatusOr<ProcessPtr> FindProcess(const std::string& id, const std::string& exec_id) const;
  StatusOr<ContainerPtr> NewContainer(const containerd::task::v3::CreateTaskRequest& request) const;
  template <typename Work>
  auto WithSpareFds(Work work) const;
  StatusOr<pid_t> ReadPid(const std::string& file) const;
  Status OpenStreams(const ContainerPtr& container, const ProcessPtr& process);
  void RunCreate(const ContainerPtr& container,
                 const containerd::task::v3::CreateTaskRequest& request, const Reply& reply);
  void Created(const ContainerPtr& container,
               const containerd::task::v3::CreateTaskRequest& request, const Reply& reply);
  Status Unmount(const Container& container) const;
  void UndoCreate(const ContainerPtr& container, const Status& status, const Reply& reply);
  // By value: the streams, which may hold the status, end here.
  void CreateFailed(const ContainerPtr& container, Status status, const Reply& reply);
  Status InitIsThere(const ContainerPtr& container);
  void WatchOom(const ContainerPtr& container);
  std::vector<std::string> StartArgs(const Container& container) const;
  void StartInit(const ContainerPtr& container, const Reply& reply);
  void StartExec(const ContainerPtr& container, const ProcessPtr& process, Reply reply);
  void RunExec(const ContainerPtr& container, const ProcessPtr& process, const Reply& reply);
  void RanExec(const ContainerPtr& container, const ProcessPtr& process, const Status& ran,
               const Reply& reply);
  void Started(const ContainerPtr& container, const ProcessPtr& process, const Reply& reply);
  void EndStray(pid_t pid);
  void ExecFailed(const ContainerPtr& container, const ProcessPtr& process, Status status,
                  const Reply& reply);
  void DeleteAfter(std::chrono::seconds time, const ContainerPtr& container,
                   const ProcessPtr& process);
  void StopKeeping(Process* process);
  void DeleteExec(const ContainerPtr& container, const ProcessPtr& process,
                  std::function<void()> deleted);
  void WatchProcess(const ContainerPtr& container, const ProcessPtr& process);
  void Exited(const ContainerPtr& container, const ProcessPtr& process, int wait_status);
  void OutputEnded(const ContainerPtr& container, const ProcessPtr& process);
  void TellExit(const ContainerPtr& container, const ProcessPtr& process);
  static Status SaveExit(const Container& container, const Process& init);
  void WhenDrained(const ProcessPtr& process, std::function<void()> then);
  void DeleteInit(const ContainerPtr& container, const ProcessPtr& init, const Reply& reply);
  void CloseProcess(const ProcessPtr& process, std::function<void()> closed);
  void Forget(const std::string& id);
  void KeepForClients(Process* process);
  void SetPaused(const std::string& id, bool paused, Reply reply);
  void EndShim();

  Loop* loop_;
  Publisher* publisher_;
  Options options_;
  std::map<std::string, ContainerPtr> containers_;
  // Of processes that were deleted before a slow client had all of their output: the shim stays for
  // them, also when it was told to end.
  std::list<std::unique_ptr<Streams>> leaving_;
  bool shutdown_wanted_ = false;
  Methods methods_, own_methods_;
};

// For the files of the service.
void FillTime(UnixNanos time, wire::Timestamp* out);
void ReplyEmpty(const Reply& reply, const Status& status);

}  // namespace ocirun::shim
