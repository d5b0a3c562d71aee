// SPDX-License-Identifier: Apache-2.0
//
// The containers of one daemon. What they should be is in the database, what they are is in their
// shims; each has a folder that survives the daemon and one that lives while it runs:
//
//   <root>/containers/<id>/            hostname, hosts, resolv.conf, <id>-json.log
//   <state>/containers/<id>/           the bundle: config.json, rootfs/ (mounted), attach.sock,
//                                      address, shim.pid, exit.json
//   <state>/netns/<id>                 its network namespace, by name
//
//   created ──Start──► running ──(exit)──► exited ──Start──► ...
//               │ mount, network, config.json, shim, task, monitor thread
//               └─ every step is undone by Cleanup(), which is also what an exit and a recovery run
//
// Any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "manager/container/events.h"
#include "manager/container/log_reader.h"
#include "manager/container/shim_client.h"
#include "manager/image/image_store.h"
#include "manager/network/bridge.h"
#include "manager/snapshot/snapshotter.h"
#include "manager/store/database.h"
#include "ocid/v1/container.pb.h"
#include "proto/attach/connection.h"

namespace ocirun::container {

struct ManagerOptions {
  std::string root;
  std::string state;
  std::string instance;
  std::string runtime;  // path of ocirun
  std::string shim;     // path of ocishim
  Json seccomp;         // the default profile
};

// A container in memory. `mutex` guards all but `life`.
struct Live {
  std::mutex life;  // one operation that changes the state at a time; taken before `mutex`
  std::mutex mutex;
  std::condition_variable changed;
  ocid::v1::Container record;
  std::shared_ptr<ShimClient> shim;  // while it runs
  bool task_created = false;         // its sockets can be connected to
  ocid::v1::TerminalSize size;       // of the last client's terminal; 0: none
  int attaching = 0;                 // clients that must be connected before the start
  uint64_t starts_failed = 0;
  uint64_t exits = 0;
  uint64_t launches = 0;  // starts and restarts so far: a restart that was planned before is off
  bool removing = false;  // nothing may start it any more
  bool removed = false;
  bool stop_wanted = false;  // by a person: the restart policy rests
  std::map<std::string, bool> execs;
};

using Cancelled = std::function<bool()>;

// The streams of a process for one client.
struct Session {
  std::unique_ptr<attach::Connection> connection;  // null: the process ended without, or `direct`
  std::string exec_id;
  bool direct = false;  // the client has them itself
  bool tty = false;
};

// How a client gets to the streams.
struct SessionClient {
  attach::WhenSlow slow = attach::WhenSlow::kDrop;
  // Offers the path of the attach socket: true when the client has connected to it itself.
  std::function<bool(const std::string& socket, const std::string& exec_id)> connects;
};

class ContainerManager {
 public:
  // Borrows everything but the options. Reconnects to the shims that are there.
  static StatusOr<std::unique_ptr<ContainerManager>> Open(
      ManagerOptions options, store::Database* database, image::ImageStore* images,
      snapshot::Snapshotter* snapshotter, network::BridgeNetwork* bridge, EventLog* events);

  StatusOr<ocid::v1::CreateContainerResponse> Create(
      const ocid::v1::CreateContainerRequest& request);
  Status Start(const std::string& name);
  Status Stop(const ocid::v1::StopContainerRequest& request);
  Status Restart(const ocid::v1::RestartContainerRequest& request);
  Status Kill(const std::string& name, const std::string& signal);
  Status Pause(const std::string& name);
  Status Unpause(const std::string& name);
  Status Rename(const std::string& name, const std::string& new_name);
  Status Remove(const std::string& name, bool force);

  StatusOr<ocid::v1::Container> Get(const std::string& name, bool size);
  std::vector<ocid::v1::Container> ListAll(bool size);
  // A container that was removed a moment ago is still known here, by its whole id.
  StatusOr<ocid::v1::WaitContainerResponse> Wait(const ocid::v1::WaitContainerRequest& request,
                                                 const Cancelled& cancelled);
  Status Logs(const std::string& name, const LogQuery& query, const Cancelled& cancelled,
              const std::function<bool(const ocid::v1::LogEntry&)>& entry);
  Status Resize(const std::string& name, const std::string& exec_id,
                const ocid::v1::TerminalSize& size);

  // Connects to the container's streams. For one that does not run: `registered` is called once
  // nothing can be missed any more, then it waits for the start.
  // The terminal has the client's size before the command runs.
  StatusOr<Session> Attach(const ocid::v1::AttachRequest::Start& start, const SessionClient& client,
                           const Cancelled& cancelled, const std::function<void()>& registered);
  // Starts a further process; WaitExec must follow.
  StatusOr<Session> Exec(const ocid::v1::ExecRequest::Start& start, const SessionClient& client);
  StatusOr<int> WaitExec(const std::string& name, const std::string& exec_id);

 private:
  using LivePtr = std::shared_ptr<Live>;
  ContainerManager(ManagerOptions options, store::Database* database, image::ImageStore* images,
                   snapshot::Snapshotter* snapshotter, network::BridgeNetwork* bridge,
                   EventLog* events)
      : options_(std::move(options)),
        database_(database),
        images_(images),
        snapshotter_(snapshotter),
        bridge_(bridge),
        events_(events) {}

  StatusOr<LivePtr> Find(const std::string& name);
  Status Recover();
  void RecoverOne(const LivePtr& live);
  static void EndOrphan(const std::string& id, ShimClient* shim);
  Status RemoveGarbage();
  Status Save(const ocid::v1::Container& record);
  Status CheckName(const std::string& name);
  std::string PickName();
  Status Fill(const ocid::v1::CreateContainerRequest& request,
              const image::ImageForContainer& image, ocid::v1::Container* record);

  Status StartLocked(const LivePtr& live);
  Status Launch(const LivePtr& live, ocid::v1::Container* record);
  Status SetUpNetwork(ocid::v1::Container* record, std::string* netns);
  Status WriteEtcFiles(const ocid::v1::Container& record);
  StatusOr<Json> WriteBundle(const LivePtr& live, const ocid::v1::Container& record,
                             const std::string& netns);
  void EndShim(const std::string& id, ShimClient* shim);
  void Monitor(const LivePtr& live, std::shared_ptr<ShimClient> shim);
  void OnExit(const LivePtr& live, const ExitInfo& info);
  bool RestartAfterExit(const LivePtr& live);
  void PlanRestart(const LivePtr& live, std::chrono::milliseconds delay);
  void RestartIfWanted(const LivePtr& live, uint64_t planned);
  void ReleaseMounts(const std::string& id);
  void Cleanup(ocid::v1::Container* record);
  void ReleaseRun(ocid::v1::Container* record);
  Status DeleteFromRuntime(const std::string& id);
  Status StopLive(const LivePtr& live, std::optional<int32_t> timeout, const std::string& signal);
  void WantStopped(const LivePtr& live);
  Status RemoveLocked(const LivePtr& live);
  Status RemoveFolders(const std::string& id);
  void Publish(const ocid::v1::Container& record, const std::string& action,
               std::map<std::string, std::string> attributes = {});

  [[nodiscard]] std::string Home(const std::string& id) const {
    return options_.root + "/containers/" + id;
  }
  [[nodiscard]] std::string Bundle(const std::string& id) const {
    return options_.state + "/containers/" + id;
  }
  [[nodiscard]] std::string NetNs(const std::string& id) const {
    return options_.state + "/netns/" + id;
  }
  [[nodiscard]] ShimStart ShimOf(const std::string& id) const;

  ManagerOptions options_;
  store::Database* database_;
  image::ImageStore* images_;
  snapshot::Snapshotter* snapshotter_;
  network::BridgeNetwork* bridge_;
  EventLog* events_;
  std::mutex mutex_;
  std::map<std::string, LivePtr> containers_;  // by id
  std::deque<LivePtr> removed_;                // the last ones, for who waits late
};

// "80/tcp" and its binding -> mapping; InvalidArgument with Docker's words.
StatusOr<network::PortMapping> ParseBinding(const ocid::v1::PortBinding& binding);

// adjective_surname.
std::string RandomName();

}  // namespace ocirun::container
