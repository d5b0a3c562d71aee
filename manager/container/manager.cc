// SPDX-License-Identifier: Apache-2.0
//
// Finding containers, and what does not change their life cycle: waiting, logs, streams, execs.
#include "manager/container/manager.h"

#include <fcntl.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "base/file.h"
#include "base/random.h"
#include "base/signal_names.h"
#include "base/sys/file.h"
#include "manager/container/spec_builder.h"

namespace ocirun::container {
namespace {

using ocid::v1::Container;
using ocid::v1::ContainerState;

// The client itself, if it wants to and can; else we, for it.
Status ConnectSession(const std::string& socket, const SessionClient& client, Session* session) {
  session->direct = client.connects && client.connects(socket, session->exec_id);
  if (session->direct) return OkStatus();
  ASSIGN_OR_RETURN(session->connection, attach::Connection::Connect(socket, client.slow));
  return OkStatus();
}

constexpr auto kPollCancel = std::chrono::milliseconds(100);
// Seconds in which the client of an exec asks the next daemon how it ended.
constexpr int kKeptExec = 600;

uint64_t FolderSize(const std::string& path) {
  uint64_t size = 0;
  std::error_code error;
  std::filesystem::recursive_directory_iterator it(path, error);
  for (; !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
    if (it->is_regular_file(error) && !it->is_symlink(error)) size += it->file_size(error);
  }
  return size;
}

}  // namespace

StatusOr<ContainerManager::LivePtr> ContainerManager::Find(const std::string& raw) {
  const std::string name = raw.starts_with('/') ? raw.substr(1) : raw;
  const std::lock_guard lock(mutex_);
  if (const auto found = containers_.find(name); found != containers_.end()) return found->second;
  LivePtr match;
  int matches = 0;
  for (const auto& [id, live] : containers_) {
    const std::lock_guard record_lock(live->mutex);
    if (live->record.name() == name) return live;
    if (!name.empty() && id.starts_with(name)) {
      match = live;
      ++matches;
    }
  }
  if (matches == 1) return match;
  if (matches > 1) {
    return InvalidArgument("Multiple IDs found with provided prefix: {}", name);
  }
  return NotFound("No such container: {}", name);
}

StatusOr<Container> ContainerManager::Get(const std::string& name, bool size) {
  ASSIGN_OR_RETURN(const LivePtr live, Find(name));
  Container record;
  {
    const std::lock_guard lock(live->mutex);
    record = live->record;
    record.mutable_state()->set_exits(live->exits);
    for (const auto& [id, unused] : live->execs) record.add_exec_ids(id);
  }
  if (size) {
    const uint64_t written = FolderSize(record.upper_dir());
    record.set_size_rw(written);
    const auto image = images_->Get(record.image_id());
    record.set_size_root_fs(written + (image.ok() ? image->size() : 0));
  }
  return record;
}

std::vector<Container> ContainerManager::ListAll(bool size) {
  std::vector<std::string> ids;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, live] : containers_) ids.push_back(id);
  }
  std::vector<Container> records;
  for (const std::string& id : ids) {
    StatusOr<Container> record = Get(id, size);
    if (record.ok()) records.push_back(*std::move(record));
  }
  std::sort(records.begin(), records.end(),
            [](const Container& a, const Container& b) { return a.created() > b.created(); });
  return records;
}

Status ContainerManager::Kill(const std::string& name, const std::string& signal) {
  ASSIGN_OR_RETURN(const int number, ParseSignal(signal.empty() ? "SIGKILL" : signal));
  ASSIGN_OR_RETURN(const LivePtr live, Find(name));
  std::shared_ptr<ShimClient> shim;
  Container record;
  {
    const std::lock_guard lock(live->mutex);
    shim = live->shim;
    record = live->record;
  }
  if (shim == nullptr || record.state().pid() == 0) {
    return FailedPrecondition("cannot kill container: {}: container {} is not running", name,
                              record.id());
  }
  // Whoever kills it does not want it back.
  if (number == SIGKILL || number == SIGTERM) WantStopped(live);
  RETURN_IF_ERROR(Annotate(shim->Kill("", number, false), "cannot kill container: " + name));
  if (number == SIGKILL && record.state().status() == ContainerState::STATUS_PAUSED) {
    IgnoreError(shim->Resume(), "a frozen process takes no signal");
  }
  Publish(record, "kill", {{"signal", std::to_string(number)}});
  return OkStatus();
}

Status ContainerManager::Pause(const std::string& name) {
  ASSIGN_OR_RETURN(const LivePtr live, Find(name));
  const std::lock_guard life(live->life);
  const std::lock_guard lock(live->mutex);
  const auto status = live->record.state().status();
  if (status == ContainerState::STATUS_PAUSED) {
    return FailedPrecondition("container {} is already paused", live->record.id());
  }
  if (status != ContainerState::STATUS_RUNNING) {
    return FailedPrecondition("container {} is not running", live->record.id());
  }
  RETURN_IF_ERROR(live->shim->Pause());
  live->record.mutable_state()->set_status(ContainerState::STATUS_PAUSED);
  Publish(live->record, "pause");
  return Save(live->record);
}

Status ContainerManager::Unpause(const std::string& name) {
  ASSIGN_OR_RETURN(const LivePtr live, Find(name));
  const std::lock_guard life(live->life);
  const std::lock_guard lock(live->mutex);
  if (live->record.state().status() != ContainerState::STATUS_PAUSED) {
    return FailedPrecondition("Container {} is not paused", live->record.id());
  }
  RETURN_IF_ERROR(live->shim->Resume());
  live->record.mutable_state()->set_status(ContainerState::STATUS_RUNNING);
  Publish(live->record, "unpause");
  return Save(live->record);
}

Status ContainerManager::Rename(const std::string& name, const std::string& raw) {
  ASSIGN_OR_RETURN(const LivePtr live, Find(name));
  const std::string wanted = raw.starts_with('/') ? raw.substr(1) : raw;
  // A start or an exit that is under way works on a copy of the record, with the old name.
  const std::lock_guard life(live->life);
  const std::lock_guard lock(live->mutex);
  ASSIGN_OR_RETURN(const auto transaction, store::Transaction::Begin(database_));
  RETURN_IF_ERROR(CheckName(wanted));
  Container renamed = live->record;
  renamed.set_name(wanted);
  RETURN_IF_ERROR(Save(renamed));
  RETURN_IF_ERROR(transaction->Commit());
  live->record = renamed;
  Publish(renamed, "rename");
  return OkStatus();
}

StatusOr<ocid::v1::WaitContainerResponse> ContainerManager::Wait(
    const ocid::v1::WaitContainerRequest& request, const Cancelled& cancelled) {
  using Request = ocid::v1::WaitContainerRequest;
  const Request::Condition condition = request.condition();
  StatusOr<LivePtr> found = Find(request.container());
  if (!found.ok()) {
    const std::lock_guard lock(mutex_);
    for (const LivePtr& live : removed_) {
      const std::lock_guard record_lock(live->mutex);
      if (live->record.id() == request.container()) found = live;
    }
  }
  ASSIGN_OR_RETURN(const LivePtr live, std::move(found));
  std::unique_lock lock(live->mutex);
  const uint64_t exits = request.has_exits_seen() ? request.exits_seen() : live->exits;
  const auto done = [&] {
    if (live->removed) return true;
    if (condition == Request::CONDITION_REMOVED) return false;
    if (condition == Request::CONDITION_NEXT_EXIT) return live->exits != exits;
    const auto status = live->record.state().status();
    return status == ContainerState::STATUS_CREATED || status == ContainerState::STATUS_EXITED ||
           status == ContainerState::STATUS_DEAD;
  };
  while (!done()) {
    if (cancelled()) return Error(StatusCode::kCancelled, "context canceled");
    live->changed.wait_for(lock, kPollCancel);
  }
  ocid::v1::WaitContainerResponse response;
  response.set_exit_code(live->record.state().exit_code());
  response.set_error(live->record.state().error());
  return response;
}

Status ContainerManager::Logs(const std::string& name, const LogQuery& query,
                              const Cancelled& cancelled,
                              const std::function<bool(const ocid::v1::LogEntry&)>& entry) {
  ASSIGN_OR_RETURN(const LivePtr live, Find(name));
  std::string path;
  {
    const std::lock_guard lock(live->mutex);
    path = live->record.log_path();
  }
  if (path.empty()) {
    return Unsupported("configured logging driver does not support reading");
  }
  const auto ended = [&] {
    const std::lock_guard lock(live->mutex);
    const auto status = live->record.state().status();
    return cancelled() || live->removed ||
           (status != ContainerState::STATUS_RUNNING && status != ContainerState::STATUS_PAUSED &&
            status != ContainerState::STATUS_RESTARTING);
  };
  return ReadLogs(path, query, ended,
                  [&](const ocid::v1::LogEntry& line) { return !cancelled() && entry(line); });
}

Status ContainerManager::Resize(const std::string& name, const std::string& exec_id,
                                const ocid::v1::TerminalSize& size) {
  ASSIGN_OR_RETURN(const LivePtr live, Find(name));
  std::shared_ptr<ShimClient> shim;
  {
    const std::lock_guard lock(live->mutex);
    shim = live->shim;
    if (exec_id.empty()) live->size = size;
    if (shim == nullptr) {
      return FailedPrecondition("container {} is not running", live->record.id());
    }
  }
  return shim->Resize(exec_id, size.width(), size.height());
}

StatusOr<Session> ContainerManager::Attach(const ocid::v1::AttachRequest::Start& start,
                                           const SessionClient& client, const Cancelled& cancelled,
                                           const std::function<void()>& registered) {
  ASSIGN_OR_RETURN(const LivePtr live, Find(start.container()));
  std::unique_lock lock(live->mutex);
  const std::string socket = Bundle(live->record.id()) + "/attach.sock";
  Session session{.tty = live->record.config().tty()};
  if (live->record.state().status() == ContainerState::STATUS_PAUSED) {
    return FailedPrecondition("You cannot attach to a paused container, unpause it first");
  }
  if (start.has_size()) live->size = start.size();
  ++live->attaching;
  const uint64_t failed = live->starts_failed;
  const uint64_t exits = live->exits;
  Undo attached([&] {
    if (!lock.owns_lock()) lock.lock();
    --live->attaching;
    lock.unlock();
    live->changed.notify_all();
  });
  if (!live->task_created) {
    // The client may start the container now; the start waits for our connection.
    lock.unlock();
    registered();
    lock.lock();
    while (!live->task_created) {
      if (live->removed || live->starts_failed != failed || live->exits != exits) return session;
      if (cancelled()) return Error(StatusCode::kCancelled, "context canceled");
      live->changed.wait_for(lock, kPollCancel);
    }
    lock.unlock();
    RETURN_IF_ERROR(ConnectSession(socket, client, &session));
    return session;
  }
  const std::shared_ptr<ShimClient> shim = live->shim;
  lock.unlock();
  // Told before the streams are: who starts the container has it done already.
  if (client.connects) registered();
  RETURN_IF_ERROR(ConnectSession(socket, client, &session));
  if (start.has_size() && shim != nullptr) {
    IgnoreError(shim->Resize("", start.size().width(), start.size().height()), "it ended");
  }
  if (!client.connects) registered();
  return session;
}

StatusOr<Session> ContainerManager::Exec(const ocid::v1::ExecRequest::Start& start,
                                         const SessionClient& client) {
  ASSIGN_OR_RETURN(const LivePtr live, Find(start.container()));
  Session session{.exec_id = RandomHex(32), .tty = start.tty()};
  std::shared_ptr<ShimClient> shim;
  Container record;
  {
    const std::lock_guard lock(live->mutex);
    record = live->record;
    shim = live->shim;
    if (record.state().status() == ContainerState::STATUS_PAUSED) {
      return FailedPrecondition("Container {} is paused, unpause the container before exec",
                                start.container());
    }
    if (shim == nullptr || record.state().pid() == 0) {
      return FailedPrecondition("container {} is not running", record.id());
    }
    live->execs[session.exec_id] = true;
  }
  Undo forget([&] {
    const std::lock_guard lock(live->mutex);
    live->execs.erase(session.exec_id);
  });
  if (start.cmd_size() == 0) return InvalidArgument("No exec command specified");
  const std::string bundle = Bundle(record.id());
  ASSIGN_OR_RETURN(const std::string text, ReadFile(bundle + "/config.json"));
  ASSIGN_OR_RETURN(const Json spec, ParseJson(text));
  ASSIGN_OR_RETURN(const UniqueFd rootfs, sys::Open(bundle + "/rootfs", O_PATH | O_DIRECTORY));
  ASSIGN_OR_RETURN(const Json process,
                   BuildExecProcess(spec,
                                    {.args = {start.cmd().begin(), start.cmd().end()},
                                     .env = {start.env().begin(), start.env().end()},
                                     .cwd = start.working_dir(),
                                     .user = start.user(),
                                     .tty = start.tty(),
                                     .size = start.size(),
                                     .privileged = start.privileged()},
                                    rootfs));
  // Should we die, nobody asks for the end of one without a client; a client waits for the next of
  // us.
  const int keep = start.detach() ? 0 : kKeptExec;
  const std::string socket = bundle + "/exec-" + session.exec_id.substr(0, 16) + ".sock";
  RETURN_IF_ERROR(shim->Exec(session.exec_id,
                             {.terminal = start.tty(),
                              .input = start.stdin() ? "attach:" : "",
                              .output = fmt::format("attach://{}?keep={}", socket, keep)},
                             process));
  Undo remove([&] { IgnoreError(shim->Delete(session.exec_id), "half made"); });
  if (!start.detach()) RETURN_IF_ERROR(ConnectSession(socket, client, &session));
  RETURN_IF_ERROR(shim->StartProcess(session.exec_id).status());
  Publish(record, "exec_start: " + start.cmd(0), {{"execID", session.exec_id}});
  remove.Release();
  forget.Release();
  return session;
}

StatusOr<int> ContainerManager::WaitExec(const std::string& name, const std::string& exec_id) {
  ASSIGN_OR_RETURN(const LivePtr live, Find(name));
  std::shared_ptr<ShimClient> shim;
  {
    const std::lock_guard lock(live->mutex);
    shim = live->shim;
  }
  if (shim == nullptr) return 137;  // it went with its container
  const StatusOr<ExitInfo> info = shim->Wait(exec_id);
  IgnoreError(shim->Delete(exec_id), "it went with its container");
  {
    const std::lock_guard lock(live->mutex);
    live->execs.erase(exec_id);
  }
  return info.ok() ? static_cast<int>(info->status) : 137;
}

}  // namespace ocirun::container
