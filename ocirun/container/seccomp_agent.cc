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
  if (!agent.ok())
    return Annotate(agent.status(),
                    "linux.seccomp.listenerPath: failed to connect with seccomp agent");
  return Annotate(sys::SendFd(*agent, listener, message.dump()), "linux.seccomp.listenerPath");
}

}  // namespace ocirun::container
