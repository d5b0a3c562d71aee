// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/idmap.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/path.h"
#include "base/subprocess.h"
#include "base/sys/file.h"
#include "base/sys/process.h"

namespace ocirun::linux_ {
namespace {

std::string Lines(const std::vector<oci::IdMapping>& mappings) {
  std::string text;
  for (const oci::IdMapping& m : mappings)
    text += fmt::format("{} {} {}\n", m.container_id, m.host_id, m.size);
  return text;
}

// newuidmap and newgidmap are set-uid programs that do what an ordinary user may not.
Status RunMapper(const std::string& name, pid_t pid, const std::vector<oci::IdMapping>& mappings) {
  for (const char* folder : {"/usr/bin/", "/bin/", "/usr/local/bin/"}) {
    Command command{.path = folder + name, .args = {name, std::to_string(pid)}};
    if (!PathExists(command.path)) continue;
    for (const oci::IdMapping& m : mappings)
      for (const uint32_t number : {m.container_id, m.host_id, m.size})
        command.args.push_back(std::to_string(number));
    ASSIGN_OR_RETURN(const CommandResult result, RunCommand(command));
    if (sys::ExitCodeOf(result.wait_status) == 0) return OkStatus();
    return Error(StatusCode::kPermissionDenied, "{}: {}", name, result.error_output);
  }
  return FailedPrecondition("{} is needed for this mapping and is not installed", name);
}

bool MapsOnlySelf(const std::vector<oci::IdMapping>& mappings, uint32_t self) {
  return mappings.size() == 1 && mappings[0].size == 1 && mappings[0].host_id == self;
}

Status WriteMap(pid_t pid, const std::string& file, const std::string& mapper,
                const std::vector<oci::IdMapping>& mappings, uint32_t self) {
  const std::string path = fmt::format("/proc/{}/{}", pid, file);
  const Status written = WriteFile(path, Lines(mappings));
  if (ErrnoOf(written) != EPERM || ::geteuid() == 0 || MapsOnlySelf(mappings, self)) return written;
  return RunMapper(mapper, pid, mappings);
}

// A user namespace with these maps and nobody in it: a child makes it and is ended.
StatusOr<UniqueFd> NewUserNamespace(const std::vector<oci::IdMapping>& uids,
                                    const std::vector<oci::IdMapping>& gids) {
  ASSIGN_OR_RETURN(const pid_t pid, sys::Clone(CLONE_NEWUSER));
  if (pid == 0)
    for (;;) ::pause();
  const sys::ChildGuard guard(pid);
  RETURN_IF_ERROR(WriteIdMaps(pid, uids, gids));
  return sys::Open(fmt::format("/proc/{}/ns/user", pid), O_RDONLY);
}

Status SetIdMap(const UniqueFd& tree, IdMapScope scope, const UniqueFd& user_namespace) {
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_IDMAP;
  attr.userns_fd = static_cast<uint64_t>(user_namespace.get());
  const unsigned flags = AT_EMPTY_PATH | (scope == IdMapScope::kTree ? AT_RECURSIVE : 0);
  if (::syscall(SYS_mount_setattr, tree.get(), "", flags, &attr, sizeof attr) == 0)
    return OkStatus();
  if (errno == ENOSYS) return Unsupported("an idmapped mount needs Linux 5.12 (mount_setattr)");
  return SysError(errno, "mount_setattr MOUNT_ATTR_IDMAP");
}

// Turns ids of the container's user namespace into those of the host.
Status MakeAbsolute(const std::vector<size_t>& relative,
                    const std::vector<oci::IdMapping>& container,
                    std::vector<oci::IdMapping>* mappings) {
  for (const size_t place : relative) {
    oci::IdMapping& wanted = (*mappings)[place];
    const auto holds = [&](const oci::IdMapping& one) {
      return wanted.host_id >= one.container_id &&
             uint64_t{wanted.host_id} + wanted.size <= uint64_t{one.container_id} + one.size;
    };
    const auto found = std::find_if(container.begin(), container.end(), holds);
    if (found == container.end())
      return InvalidArgument("idmap: no mapping of the container's user namespace holds @{}-{}-{}",
                             wanted.container_id, wanted.host_id, wanted.size);
    wanted.host_id += found->host_id - found->container_id;
  }
  return OkStatus();
}

}  // namespace

Status WriteIdMaps(pid_t pid, const std::vector<oci::IdMapping>& uids,
                   const std::vector<oci::IdMapping>& gids) {
  // An ordinary user may map a group only if the namespace has given up setgroups(2), with which a
  // member could leave a group that locks him out (user_namespaces(7)).
  if (::geteuid() != 0 && MapsOnlySelf(gids, ::getegid()))
    RETURN_IF_ERROR(WriteFile(fmt::format("/proc/{}/setgroups", pid), "deny"));
  RETURN_IF_ERROR(
      Annotate(WriteMap(pid, "gid_map", "newgidmap", gids, ::getegid()), "gidMappings"));
  return Annotate(WriteMap(pid, "uid_map", "newuidmap", uids, ::geteuid()), "uidMappings");
}

Status MapMount(const UniqueFd& tree, const MountOptions& options, const oci::Linux& config,
                const UniqueFd& joined) {
  if (options.uid_mappings.empty() && joined.valid()) return SetIdMap(tree, options.id_map, joined);
  auto uids = options.uid_mappings.empty() ? config.uid_mappings : options.uid_mappings;
  auto gids = options.gid_mappings.empty() ? config.gid_mappings : options.gid_mappings;
  RETURN_IF_ERROR(MakeAbsolute(options.relative_uids, config.uid_mappings, &uids));
  RETURN_IF_ERROR(MakeAbsolute(options.relative_gids, config.gid_mappings, &gids));
  if (uids.empty() || gids.empty())
    return InvalidArgument(
        "an idmapped mount needs mappings of its own or a user namespace with mappings");
  ASSIGN_OR_RETURN(const UniqueFd user_namespace, NewUserNamespace(uids, gids));
  return SetIdMap(tree, options.id_map, user_namespace);
}

}  // namespace ocirun::linux_
