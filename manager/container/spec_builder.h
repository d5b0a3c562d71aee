// SPDX-License-Identifier: Apache-2.0
//
// From what a client asked for to the bundle's config.json (runtime-spec): the defaults are
// Docker's (formats.md section 5).
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "ocid/v1/container.pb.h"

namespace ocirun::container {

// Where things of one container are on the host.
struct SpecPaths {
  std::string rootfs;
  std::string netns;  // empty: the host's network
  std::string pidns;  // empty: of its own; "host"
  std::string hosts, hostname, resolv_conf;
  std::string cgroup;
  Json seccomp;  // contrib/seccomp/default.json
};

// Refuses by name what is not supported; run at create, so that the client hears it at once.
Status CheckSupported(const ocid::v1::ContainerConfig& config,
                      const ocid::v1::HostConfig& host_config);

// The whole config.json. `rootfs` is the mounted root, for passwd and group.
StatusOr<Json> BuildSpec(const ocid::v1::Container& container, const SpecPaths& paths,
                         const UniqueFd& rootfs);

// InvalidArgument when a file is to be mounted on a folder of the image, or a folder on its file.
Status CheckMountTypes(const Json& spec, const UniqueFd& rootfs);

// Sets consoleSize of a process with a terminal, when the size is known.
void SetConsoleSize(const ocid::v1::TerminalSize& size, Json* process);

struct ExecOptions {
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd;
  std::string user;
  bool tty = false;
  ocid::v1::TerminalSize size;  // 0: not known
  bool privileged = false;
};
// The process of an exec, from the container's own.
StatusOr<Json> BuildExecProcess(const Json& spec, const ExecOptions& options,
                                const UniqueFd& rootfs);

// "root", "1000:users", ... as numbers, by the container's own files: {"uid", "gid",
// "additionalGids"}. NotFound "unable to find user X: no matching entries in passwd file".
StatusOr<Json> ResolveUser(const std::string& user, const std::vector<std::string>& groups,
                           const UniqueFd& rootfs);

}  // namespace ocirun::container
