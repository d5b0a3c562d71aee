// SPDX-License-Identifier: Apache-2.0
#include "ocirun/container/clone.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <utility>

#include "base/sys/file.h"
#include "base/sys/process.h"
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
    // before the clone or, in a user namespace, by init: its offsets must be written first. There
    // init makes the ipc namespace, too, when it is root: its message queues belong to who makes
    // it.
    const bool later =
        ns.type == NamespaceType::kCgroup || ns.type == NamespaceType::kTime ||
        (ns.type == NamespaceType::kIpc && config.Find(NamespaceType::kUser) != nullptr);
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

// What the helper leaves, in memory that the runtime sees whether they share all of it or not.
class Answer {
 public:
  static StatusOr<Answer> Make() {
    void* memory =
        ::mmap(nullptr, sizeof(Content), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return SysError(errno, "mmap");
    return Answer(static_cast<Content*>(memory));
  }
  Answer(Answer&& other) noexcept : content_(std::exchange(other.content_, nullptr)) {}
  Answer& operator=(Answer&&) = delete;
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
  ~Answer() {
    if (content_ != nullptr) ::munmap(content_, sizeof *content_);
  }

  void Set(const StatusOr<pid_t>& pid) {
    if (pid.ok())
      content_->pid = *pid;
    else
      content_->failure_size =
          init::FailurePacket(pid.status()).copy(content_->failure, sizeof content_->failure);
  }
  // Of a helper that has ended; without a word, if it was killed.
  [[nodiscard]] StatusOr<pid_t> Get() const {
    if (content_->pid > 0) return content_->pid;
    return init::FailureOf({content_->failure, content_->failure_size});
  }

 private:
  struct Content {
    pid_t pid;
    size_t failure_size;
    char failure[4096 - 2 * sizeof(size_t)];
  };
  explicit Answer(Content* content) : content_(content) {}
  Content* content_;
};

// Whether others may look at a process is a property of its memory: what a helper changes of it is
// given back.
class KeptDumpable {
 public:
  KeptDumpable() : was_(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)) {}
  KeptDumpable(const KeptDumpable&) = delete;
  KeptDumpable& operator=(const KeptDumpable&) = delete;
  ~KeptDumpable() {
    if (was_ == 1) ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  }

 private:
  int was_;
};

// In the helper. Returns its child's number; the child does not come back.
StatusOr<pid_t> CloneSibling(const SiblingOptions& options) {
  RETURN_IF_ERROR(options.enter());
  ASSIGN_OR_RETURN(const pid_t pid, sys::Clone(options.clone_flags | CLONE_PARENT));
  if (pid == 0) options.run();
  return pid;
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

StatusOr<pid_t> CloneAsSibling(const SiblingOptions& options, cgroup::Entry* cgroups) {
  const KeptDumpable dumpable;
  ASSIGN_OR_RETURN(Answer answer, Answer::Make());
  const uint64_t flags = options.enters_time_namespace ? 0 : CLONE_VM;
  ASSIGN_OR_RETURN(const pid_t helper,
                   cgroup::VforkInto(cgroups, flags, [&] { answer.Set(CloneSibling(options)); }));
  RETURN_IF_ERROR(sys::WaitPid(helper).status());
  return answer.Get();
}

StatusOr<pid_t> CloneInit(const oci::Linux& config, const std::vector<JoinedNamespace>& joined,
                          cgroup::Entry* cgroups, const std::function<void()>& run) {
  ChildrensNamespaces chosen;
  RETURN_IF_ERROR(chosen.Choose(config, joined));
  StatusOr<pid_t> pid = pid_t{0};
  if (FindJoined(joined, NamespaceType::kUser) != nullptr) {
    std::vector<const JoinedNamespace*> at_clone;
    for (const JoinedNamespace& ns : joined)
      if (init::JoinedAtClone(ns.type, config)) at_clone.push_back(&ns);
    pid = CloneAsSibling(
        {.enter = [&] { return EnterNamespaces(at_clone); },
         .run = run,
         .clone_flags = CloneFlags(config),
         .enters_time_namespace = FindJoined(joined, NamespaceType::kTime) != nullptr},
        cgroups);
  } else {
    pid = cgroup::CloneInto(cgroups, CloneFlags(config));
    if (pid.ok() && *pid == 0) run();
  }
  RETURN_IF_ERROR(chosen.Restore());
  return pid;
}

}  // namespace ocirun::container
