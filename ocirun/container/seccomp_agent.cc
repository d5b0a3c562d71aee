// SPDX-License-Identifier: Apache-2.0
#include "ocirun/container/seccomp_agent.h"

#include <sys/socket.h>

#include "base/json.h"
#include "base/sys/socket.h"

namespace ocirun::container {

Status SendToAgent(const oci::Seccomp& seccomp, const Record& record, ContainerStatus status,
                   pid_t pid, const UniqueFd& listener) {
  Json message = {{"ociVersion", oci::kVersion},
                  {"fds", {"seccompFd"}},
                  {"pid", pid},
                  {"state", StateObject(record, status)}};
  if (!seccomp.listener_metadata.empty()) message["metadata"] = seccomp.listener_metadata;
  const auto agent = sys::ConnectUnix(seccomp.listener_path, SOCK_STREAM);
  const Status sent = agent.ok() ? sys::SendFd(*agent, listener, message.dump()) : agent.status();
  return Annotate(sent, "linux.seccomp.listenerPath");
}

}  // namespace ocirun::container
