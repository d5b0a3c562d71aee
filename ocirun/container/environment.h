// SPDX-License-Identifier: Apache-2.0
//
// What the caller of the runtime hands through to the container by environment variables.
#pragma once

#include <optional>
#include <string>

#include "base/process_handle.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "ocirun/container/state.h"
#include "ocirun/spec/spec.h"

namespace ocirun::container {

// Socket activation (sd_listen_fds(3)): the number of descriptors from 3 on that are meant for this
// process, 0 without any; the container's process is told of them as its own.
int PassListenFds(oci::Process* process);

// Every entry must be NAME=VALUE, as runc wants it: of others each program makes something else.
Status CheckEnvironment(const std::vector<std::string>& env);

// Fails when one of the descriptors 3 .. 3+n-1 is not open: the container would get something else
// under its number.
Status CheckPreservedFds(int n);

// The readiness protocol of systemd (sd_notify(3)). The container gets a socket of its own at
// /run/notify/notify.sock; when it says that it is ready, the service manager is told so, and that
// init is the main process.
//
//   <root>/ID/notify/          bound read-only to /run/notify
//     notify.sock              bound by `run`, or by `start` after a `create`
class NotifySocket {
 public:
  // Nothing unless this process has NOTIFY_SOCKET.
  static std::optional<NotifySocket> FromEnvironment(const Store& store, const std::string& id);

  // Adds the mount and the variable.
  void AddTo(oci::Spec* spec) const;
  // The folder must exist before the container is made, the socket before it starts.
  Status MakeFolder() const;
  Status Listen();

  // To be polled; invalid before Listen().
  [[nodiscard]] const UniqueFd& socket() const { return socket_; }
  // Reads what has come. True once the container was ready and the service manager knows.
  StatusOr<bool> Forward(pid_t init) const;
  // Waits until then, or until init has ended.
  Status WaitReady(const ProcessHandle& init) const;

 private:
  NotifySocket(std::string host, std::string folder)
      : host_(std::move(host)), folder_(std::move(folder)) {}
  std::string host_, folder_;
  UniqueFd socket_;
};

}  // namespace ocirun::container
