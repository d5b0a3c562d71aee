// SPDX-License-Identifier: Apache-2.0
#include <linux/capability.h>
#include <sched.h>
#include <sys/resource.h>

#include <iterator>

#include "ocirun/spec/spec.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace ocirun::oci {
namespace {

constexpr struct {
  NamespaceType type;
  uint64_t flag;
  std::string_view name, proc_name;
} kNamespaces[] = {
    {NamespaceType::kPid, CLONE_NEWPID, "pid", "pid"},
    {NamespaceType::kNetwork, CLONE_NEWNET, "network", "net"},
    {NamespaceType::kMount, CLONE_NEWNS, "mount", "mnt"},
    {NamespaceType::kIpc, CLONE_NEWIPC, "ipc", "ipc"},
    {NamespaceType::kUts, CLONE_NEWUTS, "uts", "uts"},
    {NamespaceType::kUser, CLONE_NEWUSER, "user", "user"},
    {NamespaceType::kCgroup, CLONE_NEWCGROUP, "cgroup", "cgroup"},
    {NamespaceType::kTime, CLONE_NEWTIME, "time", "time"},
};

constexpr struct {
  std::string_view name;
  int resource;
} kRlimits[] = {
    {"RLIMIT_AS", RLIMIT_AS},           {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},         {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},     {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK}, {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},       {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},     {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},   {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_STACK", RLIMIT_STACK},     {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
};

// In the order of linux/capability.h: the index is the bit.
constexpr std::string_view kCapabilities[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};
static_assert(std::size(kCapabilities) == CAP_CHECKPOINT_RESTORE + 1);

}  // namespace

std::string_view NamespaceName(NamespaceType type) {
  return kNamespaces[static_cast<size_t>(type)].name;
}
uint64_t NamespaceFlag(NamespaceType type) { return kNamespaces[static_cast<size_t>(type)].flag; }
std::string_view NamespaceProcName(NamespaceType type) {
  return kNamespaces[static_cast<size_t>(type)].proc_name;
}

int RlimitResource(std::string_view name) {
  for (const auto& limit : kRlimits)
    if (limit.name == name) return limit.resource;
  return -1;
}

int CapabilityBit(std::string_view name) {
  for (size_t bit = 0; bit < std::size(kCapabilities); ++bit)
    if (kCapabilities[bit] == name) return static_cast<int>(bit);
  return -1;
}

std::string_view CapabilityName(int bit) {
  if (bit < 0 || static_cast<size_t>(bit) >= std::size(kCapabilities)) return {};
  return kCapabilities[bit];
}

const Namespace* Linux::Find(NamespaceType type) const {
  for (const Namespace& ns : namespaces)
    if (ns.type == type) return &ns;
  return nullptr;
}

bool Linux::Makes(NamespaceType type) const {
  const Namespace* ns = Find(type);
  return ns != nullptr && ns->path.empty();
}

bool Linux::Joins(NamespaceType type) const {
  const Namespace* ns = Find(type);
  return ns != nullptr && !ns->path.empty();
}

}  // namespace ocirun::oci
