// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>

#include "base/process_handle.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/sys/socket.h"
#include "ocirun/container/environment.h"
#include "ocirun/container/hooks.h"
#include "ocirun/container/lifecycle.h"
#include "ocirun/container/seccomp_agent.h"
#include "ocirun/init/sync.h"
#include "ocirun/log/log.h"

namespace ocirun::container {
namespace {

Status CheckCreated(ContainerStatus status) {
  switch (status) {
    case ContainerStatus::kCreated:
      return OkStatus();
    case ContainerStatus::kStopped:
      return FailedPrecondition("cannot start a container that has stopped");
    case ContainerStatus::kRunning:
      return FailedPrecondition("cannot start an already running container");
    default:
      return FailedPrecondition("cannot start a container in the {} state", StatusName(status));
  }
}

// Who hears of the failure may delete the container at once: it is to be stopped by then.
void AwaitEnd(const ProcessHandle& init) {
  constexpr int kMilliseconds = 2000;
  std::vector<pollfd> ended(1);
  init.Poll(&ended, kMilliseconds);
}

// runtime.md#lifecycle, steps 7 and 9: the container is stopped, and goes on with its destruction.
void DestroyAfterHook(const Store& store, const Record& record) {
  const Status destroyed = Destroy(store, record);
  if (!destroyed.ok()) Warn("destroying the container: {}", MessageOf(destroyed));
}

}  // namespace

Status Start(const Store& store, const std::string& id) {
  ASSIGN_OR_RETURN(const UniqueFd lock, store.Lock(id));
  ASSIGN_OR_RETURN(const Record record, store.Load(id));
  RETURN_IF_ERROR(CheckCreated(store.StatusOf(record)));
  oci::Spec spec;
  if (record.later.at_start) {
    ASSIGN_OR_RETURN(spec, store.LoadSpec(record));
  }
  const auto init = ProcessHandle::Open(record.init_pid, record.init_start_time);
  ASSIGN_OR_RETURN(const UniqueFd socket, sys::ConnectUnix(store.StartSocket(id), SOCK_SEQPACKET));
  // Once init has accepted, a second start must not find the socket.
  IgnoreError(sys::Unlink(store.StartSocket(id)), "init has ended if it is gone");
  const Status started = init::ExpectEnd(socket, [&](UniqueFd listener) {
    return SendToAgent(*spec.linux.seccomp, record, ContainerStatus::kCreated, record.init_pid,
                       listener);
  });
  if (!started.ok() && init.ok()) AwaitEnd(*init);
  if (started.code() == init::kHookFailed) DestroyAfterHook(store, record);
  RETURN_IF_ERROR(started);
  const Status hooks =
      RunHooks(spec.hooks.poststart, "poststart", StateJson(record, ContainerStatus::kRunning));
  if (!hooks.ok()) DestroyAfterHook(store, record);
  return hooks;
}

Status StartAndWaitReady(const Store& store, const std::string& id) {
  auto notify = NotifySocket::FromEnvironment(store, id);
  if (!notify.has_value()) return Start(store, id);
  ASSIGN_OR_RETURN(const Record record, store.Load(id));
  // Before it may run: it may have ended by the time that it is waited for.
  const auto init = ProcessHandle::Open(record.init_pid, record.init_start_time);
  RETURN_IF_ERROR(notify->Listen());
  RETURN_IF_ERROR(Start(store, id));
  RETURN_IF_ERROR(init.status());
  return notify->WaitReady(*init);
}

}  // namespace ocirun::container
