// SPDX-License-Identifier: Apache-2.0
//
// A daemon that starts finds the containers of the one before it: those that run are reconnected to
// their shims, those that ended meanwhile get their exit status, what was half made is taken away.
#include <google/protobuf/util/json_util.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <thread>

#include "base/file.h"
#include "manager/container/manager.h"
#include "manager/container/record.h"

namespace ocirun::container {
namespace {

using ocid::v1::Container;
using ocid::v1::ContainerState;

// Whether one that does not run is started with the daemon, as Docker does it: a person's stop
// keeps `unless-stopped` down, `always` comes back. What was to be restarted in a moment still is.
bool StartsWithDaemon(const Container& record) {
  const auto& state = record.state();
  if (IsRunning(record) || state.started_at() == 0) return false;
  const std::string& policy = record.host_config().restart_policy().name();
  if (policy == "always") return true;
  if (state.stopped_by_hand()) return false;
  return policy == "unless-stopped" || state.status() == ContainerState::STATUS_RESTARTING;
}

}  // namespace

StatusOr<std::unique_ptr<ContainerManager>> ContainerManager::Open(
    ManagerOptions options, store::Database* database, image::ImageStore* images,
    snapshot::Snapshotter* snapshotter, network::BridgeNetwork* bridge, EventLog* events) {
  for (const std::string& folder : {options.root + "/containers", options.state + "/containers",
                                    options.state + "/netns", options.state + "/s"}) {
    RETURN_IF_ERROR(MakeDirs(folder, 0700));
  }
  std::unique_ptr<ContainerManager> manager(
      new ContainerManager(std::move(options), database, images, snapshotter, bridge, events));
  RETURN_IF_ERROR(manager->Recover());
  return manager;
}

Status ContainerManager::Recover() {
  ASSIGN_OR_RETURN(const auto rows, database_->Query("SELECT id, record FROM containers"));
  for (const store::Row& row : rows) {
    auto live = std::make_shared<Live>();
    google::protobuf::util::JsonParseOptions options;
    options.ignore_unknown_fields = true;
    if (!google::protobuf::util::JsonStringToMessage(row.Text(1), &live->record, options).ok()) {
      return Error(StatusCode::kDataLoss, "the record of container {} is damaged", row.Text(0));
    }
    containers_[row.Text(0)] = live;
  }
  RETURN_IF_ERROR(RemoveGarbage());
  std::vector<LivePtr> starting;
  for (const auto& [id, live] : containers_) {
    if (StartsWithDaemon(live->record)) starting.push_back(live);
  }
  for (const auto& [id, live] : containers_) {
    const network::Endpoint endpoint = EndpointOf(live->record);
    if (!endpoint.endpoint_id.empty()) bridge_->Claim(id, endpoint);
  }
  // Containers that join another's namespaces find it in the map.
  const auto found = containers_;  // one with --rm leaves the map
  for (const auto& [id, live] : found) RecoverOne(live);
  for (const LivePtr& live : starting) {
    live->stop_wanted = false;
    live->record.mutable_state()->set_stopped_by_hand(false);
    PlanRestart(live, std::chrono::milliseconds(0));
  }
  return OkStatus();
}

// What a daemon that was killed amid a create or a removal left: folders that no record names.
Status ContainerManager::RemoveGarbage() {
  ASSIGN_OR_RETURN(std::vector<std::string> folders, snapshotter_->ListContainers());
  ASSIGN_OR_RETURN(const std::vector<std::string> homes, ListFolder(options_.root + "/containers"));
  folders.insert(folders.end(), homes.begin(), homes.end());
  for (const std::string& id : folders) {
    if (containers_.count(id) == 0) IgnoreError(RemoveFolders(id), "tried again at the next start");
  }
  return OkStatus();
}

// What was asked for may be under way still, and a process that was killed has not ended at once:
// until then there is nothing that could be deleted, and a shim that keeps its container stays.
void ContainerManager::EndOrphan(const std::string& id, ShimClient* shim) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kTime = std::chrono::seconds(10);  // for all of it
  constexpr auto kPause = std::chrono::milliseconds(10);
  const auto until = Clock::now() + kTime;
  const auto left = [&] { return std::max<Clock::duration>(until - Clock::now(), kPause); };
  Status deleted;
  for (;;) {
    IgnoreError(shim->Kill("", SIGKILL, true, left()), "it may not have started");
    deleted = shim->Delete("", left());
    if (deleted.code() != StatusCode::kFailedPrecondition || Clock::now() >= until) break;
    std::this_thread::sleep_for(kPause);
  }
  if (!deleted.ok() && !IsNotFound(deleted))
    spdlog::warn("container {}: the shim can't delete it: {}", id, MessageOf(deleted));
  shim->Shutdown();
}

void ContainerManager::RecoverOne(const LivePtr& live) {
  Container& record = live->record;
  live->stop_wanted = record.state().stopped_by_hand();
  const std::string bundle = Bundle(record.id());
  if (!IsRunning(record)) {
    if (record.state().status() == ContainerState::STATUS_RESTARTING) {
      record.mutable_state()->set_status(ContainerState::STATUS_EXITED);
    }
    // A daemon that was killed amid a start has a shim that nobody knows of.
    if (const auto orphan = ShimClient::Reconnect(bundle, record.id()); orphan.ok()) {
      EndOrphan(record.id(), orphan->get());
    }
    Cleanup(&record);
    if (record.host_config().auto_remove()) {
      IgnoreError(RemoveLocked(live), "it stays, and can be removed by hand");
    }
    return;
  }
  StatusOr<std::unique_ptr<ShimClient>> connected = ShimClient::Reconnect(bundle, record.id());
  if (connected.ok()) {
    const std::shared_ptr<ShimClient> shim = *std::move(connected);
    const auto state = shim->GetState();
    // One that hangs must not keep us from the others; it is heard of when it goes on.
    const bool hangs = state.status().code() == StatusCode::kDeadlineExceeded;
    if (hangs) spdlog::warn("container {}: its shim does not answer", record.id());
    if (hangs || (state.ok() && state->running)) {
      live->shim = shim;
      live->task_created = true;
      if (state.ok())
        record.mutable_state()->set_status(state->paused ? ContainerState::STATUS_PAUSED
                                                         : ContainerState::STATUS_RUNNING);
      const auto endpoint = EndpointOf(record);
      if (!endpoint.endpoint_id.empty()) {
        IgnoreError(bridge_->Restore(record.id(), endpoint),
                    "it runs on; its published ports are somebody else's now");
      }
    }
    // Wait answers at once for one that has ended.
    if (hangs || state.ok()) {
      std::thread([this, live, shim] { Monitor(live, shim); }).detach();
      return;
    }
    // The daemon before us was killed when the shim had deleted the container and not ended yet.
    EndShim(record.id(), shim.get());
  }
  StatusOr<ExitInfo> info = ReadExitFile(bundle);
  if (!info.ok()) info = KilledNow();
  OnExit(live, *info);
}

}  // namespace ocirun::container
