// SPDX-License-Identifier: Apache-2.0
#include "ocirun/container/clone.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstring>

#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/sys/socket.h"
#include "ocirun/init/sync.h"
#include "ocirun/linux/time_namespace.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace ocirun::container {
namespace {

using init::JoinedNamespace;
using oci::NamespaceType;

uint64_t CloneFlags(const oci::Linux& config) {
  uint64_t flags = 0;
  for (const oci::Namespace& ns : config.namespaces) {
    // The cgroup namespace comes later, when init is in its cgroup, and the time namespace is made
    // before the clone or, in a user namespace, by init: its offsets must be written first.
    const bool later = ns.type == NamespaceType::kCgroup || ns.type == NamespaceType::kTime;
    if (ns.path.empty() && !later) flags |= oci::NamespaceFlag(ns.type);
  }
  return flags;
}

Status EnterOne(const JoinedNamespace& ns) {
  return Annotate(sys::SetNs(ns.fd, static_cast<int>(oci::NamespaceFlag(ns.type))),
                  oci::NamespaceName(ns.type));
}

// The namespaces that the caller's children go into, for the time of one clone: hooks that run
// later belong into ours.
class ChildrensNamespaces {
 public:
  ChildrensNamespaces() = default;
  ChildrensNamespaces(const ChildrensNamespaces&) = delete;
  ChildrensNamespaces& operator=(const ChildrensNamespaces&) = delete;

  Status Choose(const oci::Linux& config, const std::vector<JoinedNamespace>& joined) {
    for (const JoinedNamespace& ns : joined) {
      // The helper of CloneAsSibling() enters that one, and the others before it.
      const bool helper = FindJoined(joined, NamespaceType::kUser) != nullptr;
      if (!helper && init::JoinedAtClone(ns.type, config)) RETURN_IF_ERROR(Enter(ns));
    }
    // One in a user namespace belongs to that: init makes it.
    if (config.Makes(NamespaceType::kTime) && config.Find(NamespaceType::kUser) == nullptr) {
      RETURN_IF_ERROR(Remember(NamespaceType::kTime));
      RETURN_IF_ERROR(linux_::NewTimeNamespace(config.time_offsets));
    }
    return OkStatus();
  }

  Status Restore() {
    for (const JoinedNamespace& ns : own_)
      RETURN_IF_ERROR(sys::SetNs(ns.fd, static_cast<int>(oci::NamespaceFlag(ns.type))));
    return OkStatus();
  }

 private:
  Status Remember(NamespaceType type) {
    ASSIGN_OR_RETURN(
        UniqueFd own,
        sys::Open(fmt::format("/proc/self/ns/{}", oci::NamespaceProcName(type)), O_RDONLY));
    own_.push_back({type, std::move(own)});
    return OkStatus();
  }
  Status Enter(const JoinedNamespace& ns) {
    RETURN_IF_ERROR(Remember(ns.type));
    return EnterOne(ns);
  }
  std::vector<JoinedNamespace> own_;
};

// In the helper: enters, clones its own sibling, and tells the runtime its number.
Status CloneSibling(const std::function<Status(const UniqueFd&)>& enter, uint64_t flags,
                    const UniqueFd& runtime, pid_t* pid) {
  RETURN_IF_ERROR(enter(runtime));
  ASSIGN_OR_RETURN(*pid, sys::Clone(flags | CLONE_PARENT));
  if (*pid == 0) return OkStatus();
  return sys::Send(runtime, {reinterpret_cast<const char*>(pid), sizeof *pid});
}

}  // namespace

StatusOr<std::vector<JoinedNamespace>> OpenNamespaces(const oci::Linux& config) {
  std::vector<JoinedNamespace> out;
  for (const oci::Namespace& ns : config.namespaces) {
    if (ns.path.empty()) continue;
    auto fd = sys::Open(ns.path, O_RDONLY);
    if (!fd.ok()) return Annotate(fd.status(), "linux.namespaces");
    constexpr unsigned long kNsGetNstype = 0xb703;  // NS_GET_NSTYPE, linux/nsfs.h
    const int type = ::ioctl(fd->get(), kNsGetNstype);
    if (type < 0 || static_cast<uint64_t>(type) != oci::NamespaceFlag(ns.type))
      return InvalidArgument("linux.namespaces: {} is not a {} namespace", ns.path,
                             oci::NamespaceName(ns.type));
    out.push_back({ns.type, std::move(*fd)});
  }
  return out;
}

const UniqueFd* FindJoined(const std::vector<JoinedNamespace>& joined, NamespaceType type) {
  for (const JoinedNamespace& ns : joined)
    if (ns.type == type) return &ns.fd;
  return nullptr;
}

Status EnterNamespaces(const std::vector<const JoinedNamespace*>& namespaces) {
  const JoinedNamespace* user = nullptr;
  std::vector<const JoinedNamespace*> refused;
  for (const JoinedNamespace* ns : namespaces) {
    if (ns->type == NamespaceType::kUser)
      user = ns;
    else if (!EnterOne(*ns).ok())
      refused.push_back(ns);
  }
  if (user != nullptr) RETURN_IF_ERROR(EnterOne(*user));
  for (const JoinedNamespace* ns : refused) RETURN_IF_ERROR(EnterOne(*ns));
  return OkStatus();
}

StatusOr<pid_t> CloneAsSibling(const std::function<Status(const UniqueFd&)>& enter, uint64_t flags,
                               cgroup::Entry* cgroups) {
  ASSIGN_OR_RETURN(auto sockets, sys::SocketPair());
  // It starts in the container's cgroup v2, for its child to inherit: inside, it has no right to
  // it.
  ASSIGN_OR_RETURN(const pid_t helper, cgroup::CloneInto(cgroups, 0));
  if (helper == 0) {
    sockets.first.Reset();
    pid_t pid = -1;
    const Status status = CloneSibling(enter, flags, sockets.second, &pid);
    if (status.ok() && pid == 0) return 0;
    if (!status.ok())
      IgnoreError(init::SendFailure(sockets.second, status), "without an answer it fails as well");
    ::_exit(0);
  }
  sys::ChildGuard guard(helper);
  sockets.second.Reset();
  ASSIGN_OR_RETURN(const std::string answer, sys::Receive(sockets.first, 4096));
  pid_t pid = 0;
  if (answer.size() != sizeof pid) return init::FailureOf(answer);
  std::memcpy(&pid, answer.data(), sizeof pid);
  return pid;
}

StatusOr<pid_t> CloneInit(const oci::Linux& config, const std::vector<JoinedNamespace>& joined,
                          cgroup::Entry* cgroups) {
  ChildrensNamespaces chosen;
  RETURN_IF_ERROR(chosen.Choose(config, joined));
  std::vector<const JoinedNamespace*> at_clone;
  for (const JoinedNamespace& ns : joined)
    if (init::JoinedAtClone(ns.type, config)) at_clone.push_back(&ns);
  auto pid = FindJoined(joined, NamespaceType::kUser) != nullptr
                 ? CloneAsSibling([&](const UniqueFd&) { return EnterNamespaces(at_clone); },
                                  CloneFlags(config), cgroups)
                 : cgroup::CloneInto(cgroups, CloneFlags(config));
  if (!pid.ok() || *pid > 0) RETURN_IF_ERROR(chosen.Restore());
  return pid;
}

}  // namespace ocirun::container
