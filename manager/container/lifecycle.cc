// SPDX-License-Identifier: Apache-2.0
//
// Start, stop, exit and removal of a container.
#include <fcntl.h>
#include <google/protobuf/util/json_util.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <future>
#include <thread>

#include "base/file.h"
#include "base/path.h"
#include "base/signal_names.h"
#include "base/subprocess.h"
#include "base/sys/file.h"
#include "base/sys/mount.h"
#include "manager/container/log_options.h"
#include "manager/container/manager.h"
#include "manager/container/record.h"
#include "manager/container/spec_builder.h"
#include "manager/network/etc_files.h"
#include "manager/network/netns.h"
#include "manager/registry/http.h"

namespace ocirun::container {
namespace {

using ocid::v1::Container;
using ocid::v1::ContainerState;

constexpr int32_t kDefaultStopTimeout = 10;
constexpr int kFailedStart = 128;
constexpr size_t kRemovedKept = 256;
constexpr auto kAttachGrace = std::chrono::seconds(10);
constexpr auto kRuntimeTimeout = std::chrono::seconds(30);

// The exit code that Docker keeps for a start that failed (formats.md 7.2).
int ExitCodeOfError(const std::string& text) {
  const auto has = [&](const char* word) { return text.find(word) != std::string::npos; };
  if (has("executable file not found") || has("no such file or directory") ||
      has("No such file or directory") || has("not a directory") || has("Not a directory") ||
      has("Are you trying to mount a directory onto a file")) {
    return 127;
  }
  if (has("permission denied") || has("Permission denied") || has("is a directory") ||
      has("Is a directory")) {
    return 126;
  }
  return kFailedStart;
}

// What shim/stdio_uri.h reads.
StatusOr<std::string> OutputUri(const Container& record, const std::string& bundle) {
  ASSIGN_OR_RETURN(const LogOptions log, ParseLogConfig(record.host_config().log_config()));
  const std::string attach = registry::UrlEncode(bundle + "/attach.sock");
  if (!log.kept) return "attach://" + attach;
  return fmt::format("json-file://{}?attach={}&max-size={}&max-file={}&compress={}",
                     registry::UrlEncode(record.log_path()), attach, log.max_size, log.max_file,
                     log.compress);
}

// /etc/mtab, as Docker makes it where the image has none: mount(8) and df of old read it.
Status LinkMtab(const UniqueFd& rootfs) {
  ASSIGN_OR_RETURN(const UniqueFd etc, MakeDirsInRoot(rootfs, "/etc", 0755));
  if (::symlinkat("/proc/mounts", etc.get(), "mtab") == 0 || errno == EEXIST) {
    return OkStatus();
  }
  return SysError(errno, "symlink", "/etc/mtab");
}

}  // namespace

ShimStart ContainerManager::ShimOf(const std::string& id) const {
  return {.program = options_.shim,
          .runtime = options_.runtime,
          .runtime_root = options_.state + "/runtime",
          .bundle = Bundle(id),
          .id = id,
          .name_space = "ocid-" + options_.instance,
          .socket_dir = options_.state + "/s"};
}

Status ContainerManager::Save(const Container& record) {
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(record, &json).ok()) {
    return Internal("container {} cannot be written as JSON", record.id());
  }
  return database_->Execute(
      "UPDATE containers SET name = ?, running = ?, record = ? WHERE id = ?",
      {record.name(), static_cast<int64_t>(IsRunning(record)), json, record.id()});
}

void ContainerManager::Publish(const Container& record, const std::string& action,
                               std::map<std::string, std::string> attributes) {
  attributes["name"] = record.name();
  attributes["image"] = record.image();
  for (const auto& [key, value] : record.config().labels()) attributes.emplace(key, value);
  events_->Publish("container", action, record.id(), attributes);
}

Status ContainerManager::Start(const std::string& name) {
  ASSIGN_OR_RETURN(const LivePtr live, Find(name));
  const std::lock_guard life(live->life);
  {
    const std::lock_guard lock(live->mutex);
    if (live->removed) return NotFound("No such container: {}", name);
    if (live->record.state().status() == ContainerState::STATUS_PAUSED) {
      return FailedPrecondition("cannot start a paused container, try unpause instead");
    }
    if (live->removing) {
      return FailedPrecondition("container is marked for removal and cannot be started");
    }
    if (IsRunning(live->record)) return OkStatus();
    live->stop_wanted = false;
    live->record.mutable_state()->set_stopped_by_hand(false);
    live->record.mutable_state()->set_restart_count(0);
  }
  const Status status = StartLocked(live);
  bool remove = false;
  {
    const std::lock_guard lock(live->mutex);
    remove = !status.ok() && live->record.host_config().auto_remove();
  }
  if (remove) IgnoreError(RemoveLocked(live), "the start's error is told");
  return status;
}

// `life` is held.
Status ContainerManager::StartLocked(const LivePtr& live) {
  Container record;
  {
    const std::lock_guard lock(live->mutex);
    ++live->launches;
    record = live->record;
  }
  Status status = Launch(live, &record);
  if (status.ok()) return status;
  Cleanup(&record);
  const int code = ExitCodeOfError(MessageOf(status));
  {
    const std::lock_guard lock(live->mutex);
    live->shim.reset();
    live->task_created = false;
    ++live->starts_failed;
    auto* state = record.mutable_state();
    // Docker leaves a container that never ran "created".
    if (state->started_at() != 0) state->set_status(ContainerState::STATUS_EXITED);
    state->set_exit_code(code);
    state->set_error(MessageOf(status));
    state->set_stopped_by_hand(live->stop_wanted);
    live->record = record;
    status.Update(Save(record));
  }
  live->changed.notify_all();
  return status;
}

Status ContainerManager::Launch(const LivePtr& live, Container* record) {
  const std::string id = record->id();
  const std::string bundle = Bundle(id);
  Cleanup(record);  // what a killed daemon may have left
  RETURN_IF_ERROR(MakeDirs(bundle + "/rootfs", 0700));
  // The shim needs no more than the folder to start, which it does beside us.
  const ShimStart start = ShimOf(id);
  auto starting = std::async(std::launch::async, [&start] { return ShimClient::Start(start); });
  Undo end_early([&] {
    const auto early = starting.get();
    if (early.ok()) (*early)->Shutdown();
  });
  ASSIGN_OR_RETURN(const auto rows, database_->Query("SELECT chain_id FROM container_layers WHERE "
                                                     "container = ? ORDER BY position",
                                                     {id}));
  std::vector<std::string> chain;
  for (const store::Row& row : rows) chain.push_back(row.Text(0));
  using Upper = snapshot::Snapshotter::Upper;
  RETURN_IF_ERROR(snapshotter_->MountContainer(
      id, chain, bundle + "/rootfs",
      record->host_config().auto_remove() ? Upper::kThrownAway : Upper::kKept));
  std::string netns;
  RETURN_IF_ERROR(SetUpNetwork(record, &netns));
  RETURN_IF_ERROR(WriteEtcFiles(*record));
  RETURN_IF_ERROR(WriteBundle(live, *record, netns).status());

  const auto prefix = [](const Status& status) {
    return Annotate(status, "failed to create task for container: failed to create shim task");
  };
  end_early.Release();
  StatusOr<std::unique_ptr<ShimClient>> started = starting.get();
  if (!started.ok()) return prefix(started.status());
  const std::shared_ptr<ShimClient> shim = *std::move(started);
  Undo end_shim([&] { shim->Shutdown(); });
  ASSIGN_OR_RETURN(const std::string output, OutputUri(*record, bundle));
  const TaskIo io{.terminal = record->config().tty(),
                  .input = record->config().open_stdin() ? "attach:" : "",
                  .output = output};
  const Status created = shim->Create(bundle, io, start);
  if (!created.ok()) return prefix(created);
  {
    std::unique_lock lock(live->mutex);
    live->shim = shim;
    live->task_created = true;
    live->changed.notify_all();
    live->changed.wait_for(lock, kAttachGrace, [&] { return live->attaching == 0; });
  }
  const StatusOr<int> pid = shim->StartProcess("");
  if (!pid.ok()) {
    IgnoreError(shim->Delete(""), "the shim ends with it");
    return prefix(pid.status());
  }
  auto* state = record->mutable_state();
  state->set_status(ContainerState::STATUS_RUNNING);
  state->set_pid(*pid);
  state->set_started_at(NowUnixNanos());
  state->set_exit_code(0);
  state->set_error("");
  state->set_oom_killed(false);
  {
    const std::lock_guard lock(live->mutex);
    state->set_stopped_by_hand(live->stop_wanted);  // it may have been asked for meanwhile
    live->record = *record;
    RETURN_IF_ERROR(Save(*record));
  }
  end_shim.Release();
  live->changed.notify_all();
  Publish(*record, "start");
  std::thread([this, live, shim] { Monitor(live, shim); }).detach();
  return OkStatus();
}

Status ContainerManager::SetUpNetwork(Container* record, std::string* netns) {
  const std::string& mode = record->host_config().network_mode();
  record->clear_networks();
  record->clear_ports();
  if (mode == "host") {
    record->add_networks()->set_network("host");
    return OkStatus();
  }
  if (mode.starts_with("container:")) {
    ASSIGN_OR_RETURN(const LivePtr other, Find(mode.substr(10)));
    const std::lock_guard lock(other->mutex);
    if (!IsRunning(other->record) || other->record.sandbox_key().empty()) {
      return FailedPrecondition("cannot join network of a non running container: {}",
                                other->record.id());
    }
    *netns = other->record.sandbox_key();
    return OkStatus();
  }
  *netns = NetNs(record->id());
  RETURN_IF_ERROR(network::MakeNetNs(*netns));
  record->set_sandbox_key(*netns);
  record->set_sandbox_id(record->id());
  auto* endpoint = record->add_networks();
  if (mode == "none") {
    endpoint->set_network("none");
    return OkStatus();
  }
  endpoint->set_network("bridge");
  std::vector<network::PortMapping> mappings;
  for (const auto& binding : record->host_config().port_bindings()) {
    ASSIGN_OR_RETURN(network::PortMapping mapping, ParseBinding(binding));
    mappings.push_back(std::move(mapping));
  }
  ASSIGN_OR_RETURN(const network::Endpoint made, bridge_->Connect(record->id(), *netns, mappings));
  endpoint->set_network_id(made.network_id);
  endpoint->set_endpoint_id(made.endpoint_id);
  endpoint->set_ip_address(made.ip_address);
  endpoint->set_ip_prefix_length(made.prefix_length);
  endpoint->set_gateway(made.gateway);
  endpoint->set_mac_address(made.mac_address);
  for (const network::PortMapping& mapping : made.ports) {
    auto* port = record->add_ports();
    port->set_container_port(fmt::format("{}/{}", mapping.container_port, mapping.protocol));
    port->set_host_ip(mapping.host_ip.empty() ? "0.0.0.0" : mapping.host_ip);
    port->set_host_port(std::to_string(mapping.host_port));
  }
  return OkStatus();
}

Status ContainerManager::WriteEtcFiles(const Container& record) {
  const auto& config = record.config();
  const auto& host = record.host_config();
  RETURN_IF_ERROR(WriteFile(record.hostname_path(), config.hostname() + "\n"));
  if (host.network_mode() == "host") {
    ASSIGN_OR_RETURN(const std::string hosts, ReadFile("/etc/hosts"));
    RETURN_IF_ERROR(WriteFile(record.hosts_path(), hosts));
  } else {
    const std::string ip = record.networks_size() > 0 ? record.networks(0).ip_address() : "";
    RETURN_IF_ERROR(WriteFile(record.hosts_path(),
                              network::BuildHosts({.ip = ip,
                                                   .hostname = config.hostname(),
                                                   .domainname = config.domainname(),
                                                   .extra_hosts = {host.extra_hosts().begin(),
                                                                   host.extra_hosts().end()}})));
  }
  const StatusOr<std::string> text = ReadFile("/etc/resolv.conf");
  const std::string resolv =
      network::BuildResolvConf({.host_text = text.ok() ? *text : "",
                                .dns = {host.dns().begin(), host.dns().end()},
                                .search = {host.dns_search().begin(), host.dns_search().end()},
                                .options = {host.dns_options().begin(), host.dns_options().end()}});
  return WriteFile(record.resolv_conf_path(), resolv);
}

StatusOr<Json> ContainerManager::WriteBundle(const LivePtr& live, const Container& record,
                                             const std::string& netns) {
  const std::string bundle = Bundle(record.id());
  std::string parent = record.host_config().cgroup_parent();
  if (parent.empty()) parent = "/ocid-" + options_.instance;
  SpecPaths paths{.rootfs = bundle + "/rootfs",
                  .netns = netns,
                  .hosts = record.hosts_path(),
                  .hostname = record.hostname_path(),
                  .resolv_conf = record.resolv_conf_path(),
                  .cgroup = parent + "/" + record.id(),
                  .seccomp = options_.seccomp};
  const std::string& pid_mode = record.host_config().pid_mode();
  if (pid_mode == "host") paths.pidns = "host";
  if (pid_mode.starts_with("container:")) {
    ASSIGN_OR_RETURN(const LivePtr other, Find(pid_mode.substr(10)));
    const std::lock_guard lock(other->mutex);
    if (!IsRunning(other->record)) {
      return FailedPrecondition("cannot join PID of a non running container: {}",
                                other->record.id());
    }
    paths.pidns = fmt::format("/proc/{}/ns/pid", other->record.state().pid());
  }
  ASSIGN_OR_RETURN(const UniqueFd rootfs, sys::Open(paths.rootfs, O_PATH | O_DIRECTORY));
  ASSIGN_OR_RETURN(Json spec, BuildSpec(record, paths, rootfs));
  RETURN_IF_ERROR(CheckMountTypes(spec, rootfs));
  RETURN_IF_ERROR(LinkMtab(rootfs));
  {
    const std::lock_guard lock(live->mutex);
    SetConsoleSize(live->size, &spec["process"]);
  }
  RETURN_IF_ERROR(WriteFile(bundle + "/config.json", spec.dump(), 0600));
  return spec;
}

// A shim that keeps its container keeps running, and nobody would know of it.
void ContainerManager::EndShim(const std::string& id, ShimClient* shim) {
  Status deleted = shim->Delete("");
  // What a daemon that was killed had asked for may be under way still.
  if (!deleted.ok() && !IsNotFound(deleted)) deleted = shim->Delete("");
  if (!deleted.ok() && !IsNotFound(deleted))
    spdlog::warn("container {}: the shim can't delete it: {}", id, MessageOf(deleted));
  shim->Shutdown();
}

void ContainerManager::Monitor(const LivePtr& live, std::shared_ptr<ShimClient> shim) {
  std::string id;
  {
    const std::lock_guard lock(live->mutex);
    id = live->record.id();
  }
  StatusOr<ExitInfo> info = shim->Wait("");
  if (!info.ok()) {
    // It is the connection that ended, and not the shim, if there is one to connect to.
    if (auto again = ShimClient::Reconnect(Bundle(id), id); again.ok()) {
      shim = *std::move(again);
      info = shim->Wait("");
    }
  }
  // Init has ended: the kernel's waits at both unmounts pass beside the runtime's deletion. Whoever
  // has no end to tell has processes that OnExit kills first.
  std::future<void> mounts;
  if (info.ok()) mounts = std::async(std::launch::async, [this, id] { ReleaseMounts(id); });
  if (!info.ok()) info = ReadExitFile(Bundle(id));  // the shim is gone; it wrote before
  if (!info.ok()) info = KilledNow();               // or was killed: OnExit ends what it left
  EndShim(id, shim.get());
  if (mounts.valid()) mounts.get();
  OnExit(live, *info);
}

// Everything of the run is taken away before anybody is told, so that who waits finds it so.
void ContainerManager::OnExit(const LivePtr& live, const ExitInfo& info) {
  const std::lock_guard life(live->life);
  Container record;
  {
    const std::lock_guard lock(live->mutex);
    record = live->record;
  }
  if (!IsRunning(record)) return;
  bool oom = false;
  if (const auto text = ReadFile(Bundle(record.id()) + "/exit.json", 1u << 16); text.ok()) {
    const auto json = ParseJson(*text);
    oom = json.ok() && BoolOr(JsonView(*json), "oom_killed", false).value_or(false);
  }
  ReleaseRun(&record);
  auto* state = record.mutable_state();
  state->set_status(ContainerState::STATUS_EXITED);
  state->set_exit_code(static_cast<int>(info.status));
  state->set_finished_at(info.time);
  state->set_oom_killed(oom);
  state->set_pid(0);
  {
    const std::lock_guard lock(live->mutex);
    state->set_stopped_by_hand(live->stop_wanted);
    live->record = record;
    live->shim.reset();
    live->task_created = false;
    live->execs.clear();
    // Removal is one act with the exit; killed amid it, the next daemon finds no shim and goes on.
    if (!record.host_config().auto_remove()) {
      IgnoreError(Save(record), "told from memory; the next daemon sees no shim");
    }
  }
  // Only now: until the record says how it ended, exit.json does.
  IgnoreError(RemoveTree(Bundle(record.id())), "tried again at the next start of the container");
  if (oom) Publish(record, "oom");
  Publish(record, "die", {{"exitCode", std::to_string(info.status)}});
  const bool restart = RestartAfterExit(live);
  if (!restart) {
    const std::lock_guard lock(live->mutex);
    ++live->exits;
  }
  if (!restart && record.host_config().auto_remove() && !RemoveLocked(live).ok()) {
    IgnoreError(Save(record), "it stays, exited, and can be removed by hand");
  }
  live->changed.notify_all();
}

// By the restart policy; `life` is held. True when it will run again.
bool ContainerManager::RestartAfterExit(const LivePtr& live) {
  uint32_t count = 0;
  {
    const std::lock_guard lock(live->mutex);
    const auto& policy = live->record.host_config().restart_policy();
    auto* state = live->record.mutable_state();
    const bool failed = state->exit_code() != 0;
    const bool wanted = policy.name() == "always" || policy.name() == "unless-stopped" ||
                        (policy.name() == "on-failure" && failed &&
                         (policy.maximum_retry_count() == 0 ||
                          state->restart_count() < policy.maximum_retry_count()));
    if (!wanted || live->stop_wanted || live->removed) return false;
    // One that ran well for a while begins its delays anew.
    const bool stable = state->finished_at() - state->started_at() > 10'000'000'000LL;
    count = state->restart_count() + 1;
    state->set_restart_count(count);
    if (stable) count = 1;
  }
  const auto delay = std::chrono::milliseconds(100) * (1u << std::min(count - 1, 9u));
  PlanRestart(live, std::min<std::chrono::milliseconds>(delay, std::chrono::minutes(1)));
  return true;
}

// `life` is held, or nobody else knows of the container yet.
void ContainerManager::PlanRestart(const LivePtr& live, std::chrono::milliseconds delay) {
  uint64_t planned = 0;
  {
    const std::lock_guard lock(live->mutex);
    planned = live->launches;
    live->record.mutable_state()->set_status(ContainerState::STATUS_RESTARTING);
    IgnoreError(Save(live->record), "only a daemon that is killed now does not restart it");
  }
  live->changed.notify_all();
  std::thread([this, live, delay, planned] {
    {
      std::unique_lock lock(live->mutex);
      live->changed.wait_for(lock, delay, [&] {
        return live->stop_wanted || live->removed || live->launches != planned;
      });
    }
    RestartIfWanted(live, planned);
  }).detach();
}

void ContainerManager::RestartIfWanted(const LivePtr& live, uint64_t planned) {
  const std::lock_guard life(live->life);
  {
    const std::lock_guard lock(live->mutex);
    // Stopping, starting and removing it all take it out of this state themselves.
    if (live->removing || live->removed || live->stop_wanted || live->launches != planned) return;
  }
  if (StartLocked(live).ok()) return;
  {
    const std::lock_guard lock(live->mutex);  // the error is in its state
    ++live->exits;
  }
  live->changed.notify_all();
}

// The network namespace and the root file system. Idempotent.
void ContainerManager::ReleaseMounts(const std::string& id) {
  IgnoreError(network::RemoveNetNs(NetNs(id)), "not there");
  IgnoreError(sys::Unmount(Bundle(id) + "/rootfs", MNT_DETACH | UMOUNT_NOFOLLOW), "not mounted");
}

// Takes away what a run made. Idempotent; errors are not worth more than going on.
void ContainerManager::Cleanup(Container* record) {
  ReleaseRun(record);
  IgnoreError(RemoveTree(Bundle(record->id())), "tried again at the next start of the container");
}

// All but the bundle, in which the shim has written how it ended.
void ContainerManager::ReleaseRun(Container* record) {
  const std::string id = record->id();
  IgnoreError(DeleteFromRuntime(id), "the next start says that it exists");
  IgnoreError(bridge_->Disconnect(id, EndpointOf(*record)), "reconciled at the next start");
  ReleaseMounts(id);
  record->clear_sandbox_key();
  record->clear_sandbox_id();
  record->clear_ports();
  for (auto& endpoint : *record->mutable_networks()) {
    const std::string name = endpoint.network();
    const std::string network_id = endpoint.network_id();
    endpoint.Clear();
    endpoint.set_network(name);
    endpoint.set_network_id(network_id);
  }
}

// A shim that was killed has left its processes, cgroups and the runtime's state behind, and its
// socket. The runtime's own command ends them.
Status ContainerManager::DeleteFromRuntime(const std::string& id) {
  const ShimStart shim = ShimOf(id);
  if (const auto address = ReadFile(shim.bundle + "/address", 4096); address.ok()) {
    const std::string path = address->substr(std::min(address->find('/') + 2, address->size()));
    if (path.starts_with(shim.socket_dir + "/")) IgnoreError(sys::Unlink(path), "it ended well");
  }
  // The shim keeps the containers of each namespace apart.
  const std::string root = fmt::format("{}/{}", shim.runtime_root, shim.name_space);
  if (!PathExists(root + "/" + id)) return OkStatus();
  ASSIGN_OR_RETURN(const CommandResult result,
                   RunCommand({.path = shim.runtime,
                               .args = {shim.runtime, "--root", root, "delete", "--force", id},
                               .timeout = kRuntimeTimeout}));
  if (result.wait_status == 0) return OkStatus();
  return Internal("ocirun delete --force {}: {}", id, result.error_output);
}

Status ContainerManager::Stop(const ocid::v1::StopContainerRequest& request) {
  ASSIGN_OR_RETURN(const LivePtr live, Find(request.container()));
  return StopLive(live,
                  request.has_timeout_seconds() ? std::optional<int32_t>(request.timeout_seconds())
                                                : std::nullopt,
                  request.signal());
}

// From now on the restart policy rests, also for a daemon that comes after us.
void ContainerManager::WantStopped(const LivePtr& live) {
  {
    const std::lock_guard lock(live->mutex);
    live->stop_wanted = true;
    if (!live->record.state().stopped_by_hand()) {
      live->record.mutable_state()->set_stopped_by_hand(true);
      IgnoreError(Save(live->record), "only a daemon that is killed now forgets it");
    }
  }
  live->changed.notify_all();
}

Status ContainerManager::StopLive(const LivePtr& live, std::optional<int32_t> timeout,
                                  const std::string& signal) {
  std::shared_ptr<ShimClient> shim;
  uint64_t exits = 0;
  std::string text = signal;
  Container record;
  WantStopped(live);
  {
    // A start that is under way, by a person or by the policy, ends first: then there is something
    // to stop.
    const std::lock_guard life(live->life);
    WantStopped(live);
    const std::lock_guard lock(live->mutex);
    auto* state = live->record.mutable_state();
    if (state->status() == ContainerState::STATUS_RESTARTING) {
      state->set_status(ContainerState::STATUS_EXITED);
      ++live->exits;
      IgnoreError(Save(live->record), "the next daemon does not restart it either");
    }
    shim = live->shim;
    exits = live->exits;
    record = live->record;
  }
  live->changed.notify_all();
  if (shim == nullptr || !IsRunning(record)) return OkStatus();
  if (text.empty()) text = record.config().stop_signal();
  ASSIGN_OR_RETURN(const int number, ParseSignal(text.empty() ? "SIGTERM" : text));
  if (!timeout && record.config().has_stop_timeout_seconds()) {
    timeout = record.config().stop_timeout_seconds();
  }
  if (record.state().status() == ContainerState::STATUS_PAUSED) {
    IgnoreError(shim->Resume(), "it ended just now");
  }
  IgnoreError(shim->Kill("", number, false), "it ended just now");
  const auto gone = [&] { return live->exits != exits || live->removed; };
  std::unique_lock lock(live->mutex);
  const int32_t seconds = timeout.value_or(kDefaultStopTimeout);
  if (seconds < 0) {
    live->changed.wait(lock, gone);
  } else if (!live->changed.wait_for(lock, std::chrono::seconds(seconds), gone)) {
    lock.unlock();
    IgnoreError(shim->Kill("", SIGKILL, false), "it ended just now");
    lock.lock();
    if (!live->changed.wait_for(lock, std::chrono::seconds(30), gone)) {
      return Error(StatusCode::kDeadlineExceeded, "container {} does not end, not even by SIGKILL",
                   record.id());
    }
  }
  lock.unlock();
  Publish(record, "stop");
  return OkStatus();
}

Status ContainerManager::Restart(const ocid::v1::RestartContainerRequest& request) {
  ASSIGN_OR_RETURN(const LivePtr live, Find(request.container()));
  RETURN_IF_ERROR(StopLive(live,
                           request.has_timeout_seconds()
                               ? std::optional<int32_t>(request.timeout_seconds())
                               : std::nullopt,
                           request.signal()));
  RETURN_IF_ERROR(Start(request.container()));
  const std::lock_guard lock(live->mutex);
  Publish(live->record, "restart");
  return OkStatus();
}

Status ContainerManager::Remove(const std::string& name, bool force) {
  ASSIGN_OR_RETURN(const LivePtr live, Find(name));
  Container record;
  {
    const std::lock_guard lock(live->mutex);
    record = live->record;
  }
  const bool restarting = record.state().status() == ContainerState::STATUS_RESTARTING;
  if (IsRunning(record) || restarting) {
    if (!force) {
      return FailedPrecondition(
          "cannot remove container \"/{}\": container is {}: stop the "
          "container before removing or force remove",
          record.name(),
          record.state().status() == ContainerState::STATUS_PAUSED ? "paused" : "running");
    }
  }
  {
    const std::lock_guard lock(live->mutex);
    live->removing = true;  // what is stopped now stays so
  }
  Undo keep([&] {
    const std::lock_guard lock(live->mutex);
    live->removing = false;
  });
  if (force) RETURN_IF_ERROR(StopLive(live, 0, "SIGKILL"));
  const std::lock_guard life(live->life);
  RETURN_IF_ERROR(RemoveLocked(live));
  keep.Release();
  return OkStatus();
}

Status ContainerManager::RemoveFolders(const std::string& id) {
  Status status = snapshotter_->RemoveContainer(id);
  status.Update(RemoveTree(Home(id)));
  return status;
}

// `life` is held, and it does not run.
Status ContainerManager::RemoveLocked(const LivePtr& live) {
  Container record;
  {
    const std::lock_guard lock(live->mutex);
    if (live->removed) return OkStatus();
    if (IsRunning(live->record)) {
      return FailedPrecondition(
          "cannot remove container \"/{}\": container is running: stop the "
          "container before removing or force remove",
          live->record.name());
    }
    record = live->record;
  }
  Cleanup(&record);
  // The record first: a daemon that is killed in between leaves folders without one, which the next
  // one takes away, and not a container without its files.
  RETURN_IF_ERROR(database_->Execute("DELETE FROM containers WHERE id = ?", {record.id()}));
  const Status removed = RemoveFolders(record.id());
  {
    const std::lock_guard lock(mutex_);
    containers_.erase(record.id());
    removed_.push_back(live);
    if (removed_.size() > kRemovedKept) removed_.pop_front();
  }
  {
    const std::lock_guard lock(live->mutex);
    live->removed = true;
  }
  live->changed.notify_all();
  Publish(record, "destroy");
  return removed;
}

}  // namespace ocirun::container
