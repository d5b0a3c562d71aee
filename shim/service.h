// SPDX-License-Identifier: Apache-2.0
//
// The task API (containerd.task.v2.Task and v3.Task, the same messages) and what we add to it
// (ocishim.v1.Shim) for the containers of this shim. Life of a process:
//
//   Create (init) or Exec ──► created ── Start ──► running ── ends ──► output read ──► stopped
//                                                                    exit.json written, then Wait
//                                                                    answers, then Delete may come
#pragma once

#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "containerd/task.pb.h"
#include "ocishim/v1/shim.pb.h"
#include "shim/loop.h"
#include "shim/runtime.h"
#include "shim/server.h"
#include "shim/streams.h"

namespace ocirun::shim {

class TaskService {
 public:
  // `default_runtime` is run when Create's options name none. `shutdown` is called when the shim is
  // to end.
  TaskService(Loop* loop, std::string default_runtime, std::string default_root,
              std::function<void()> shutdown);
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
    std::string stdin_uri, stdout_uri, stderr_uri;
    std::string process_json;  // of an exec
    std::unique_ptr<Streams> streams;
    Streams::ChildEnds child_ends;  // of an exec, until it starts
    std::vector<Reply> waiters;
  };
  struct Container {
    std::string id, bundle;
    std::unique_ptr<Runtime> runtime;
    std::map<std::string, std::shared_ptr<Process>> processes;  // "" is init
    bool own_pid_namespace = true, paused = false;
    std::string memory_cgroup;  // folder; empty when it is not known
    bool oom_killed = false;
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
  void Shutdown(const containerd::task::v3::ShutdownRequest& request, Reply reply);

  void ReopenLog(const ocishim::v1::ReopenLogRequest& request, Reply reply);
  void IoStats(const ocishim::v1::IoStatsRequest& request, Reply reply);

  StatusOr<ContainerPtr> FindContainer(const std::string& id) const;
  StatusOr<ProcessPtr> FindProcess(const std::string& id, const std::string& exec_id) const;
  Status OpenStreams(const ContainerPtr& container, const ProcessPtr& process);
  void Created(const ContainerPtr& container, const ProcessPtr& init, const std::string& pid_file,
               const Reply& reply);
  void StartExec(const ContainerPtr& container, const ProcessPtr& process, Reply reply);
  void WatchProcess(const ContainerPtr& container, const ProcessPtr& process);
  void Exited(const ContainerPtr& container, const ProcessPtr& process, int wait_status);
  void OutputEnded(const ContainerPtr& container, const ProcessPtr& process);
  void Forget(const std::string& id);
  void KeepForClients(Process* process);
  void SetPaused(const std::string& id, bool paused, Reply reply);

  Loop* loop_;
  std::string default_runtime_, default_root_;
  std::function<void()> shutdown_;
  std::map<std::string, ContainerPtr> containers_;
  // Of processes that were deleted before a slow client had all of their output: the shim stays for
  // them, also when it was told to end.
  std::list<std::unique_ptr<Streams>> leaving_;
  bool shutdown_wanted_ = false;
  Methods methods_, own_methods_;
};

}  // namespace ocirun::shim
