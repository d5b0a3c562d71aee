// SPDX-License-Identifier: Apache-2.0
//
// config.json of the OCI runtime specification 1.3 for Linux, as plain values.
//
// Parse() turns text into these types once, at the edge; nothing behind it looks at JSON. What may
// be absent is std::optional or an empty container. What the specification knows and this runtime
// does not do yet is refused by Parse() by name, so that no field of config.json is ignored in
// silence. Names and order follow the specification: config.md, config-linux.md.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ocirun::oci {

// The newest version of the specification that we know.
inline constexpr char kVersion[] = "1.3.0";

// No user and no group: to setresuid(2) it means that the id, which is root's, stays as it is.
inline constexpr uint32_t kNoId = 0xffffffff;

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::optional<mode_t> umask;
  std::vector<gid_t> additional_gids;
};

// Names with their CAP_ prefix that this runtime knows; unknown ones are warned about
// (Spec::warnings).
struct Capabilities {
  std::vector<std::string> bounding, effective, inheritable, permitted, ambient;
};

struct Rlimit {
  std::string type;  // RLIMIT_NOFILE
  int resource = 0;
  uint64_t soft = 0, hard = 0;
};

struct ConsoleSize {
  uint16_t width = 0, height = 0;
};

// sched_setattr(2); only what the policy takes may be set.
struct Scheduler {
  uint32_t policy = 0;  // SCHED_*
  int32_t nice = 0, priority = 0;
  uint64_t flags = 0;                              // SCHED_FLAG_*
  uint64_t runtime = 0, deadline = 0, period = 0;  // nanoseconds
};

// ioprio_set(2).
struct IoPriority {
  int io_class = 0;  // IOPRIO_CLASS_RT, _BE or _IDLE as the kernel numbers them
  int priority = 0;
};

// CPU numbers for sched_setaffinity(2); empty: left as it is. `initial` holds while the process
// that is exec'd is still outside the container's cgroup, `final` from then on.
struct CpuAffinity {
  std::vector<unsigned> initial, final;
};

struct Process {
  bool terminal = false;
  std::optional<ConsoleSize> console_size;
  std::string cwd;
  std::vector<std::string> env;
  std::vector<std::string> args;
  User user;
  std::optional<Capabilities> capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::optional<int> oom_score_adj;
  std::string apparmor_profile, selinux_label;
  std::optional<Scheduler> scheduler;
  std::optional<IoPriority> io_priority;
  std::optional<CpuAffinity> exec_cpu_affinity;  // of processes that `exec` adds
};

struct Root {
  std::string path;  // absolute after Parse(); relative ones are relative to the bundle
  bool readonly = false;
};

struct IdMapping {
  uint32_t container_id = 0, host_id = 0, size = 0;
};

struct Mount {
  std::string destination;  // absolute inside the container
  std::string type;
  std::string source;  // of a bind mount: absolute after Parse()
  std::vector<std::string> options;
  std::vector<IdMapping> uid_mappings, gid_mappings;  // both or none: an idmapped mount
};

enum class NamespaceType { kPid, kNetwork, kMount, kIpc, kUts, kUser, kCgroup, kTime };
inline constexpr NamespaceType kNamespaceTypes[] = {
    NamespaceType::kUser, NamespaceType::kMount, NamespaceType::kPid,    NamespaceType::kNetwork,
    NamespaceType::kIpc,  NamespaceType::kUts,   NamespaceType::kCgroup, NamespaceType::kTime};
// "pid", "network", ... as config.json names them.
std::string_view NamespaceName(NamespaceType type);
// The CLONE_NEW* flag.
uint64_t NamespaceFlag(NamespaceType type);
// "pid", "net", "mnt", ... as /proc/PID/ns names them.
std::string_view NamespaceProcName(NamespaceType type);

struct Namespace {
  NamespaceType type = NamespaceType::kPid;
  std::string path;  // empty: a new one
};

struct Device {
  char type = 'c';  // c, b or p; u is c
  std::string path;
  int64_t major = 0, minor = 0;
  std::optional<mode_t> file_mode;
  uid_t uid = 0;
  gid_t gid = 0;
};

struct DeviceRule {
  bool allow = false;
  char type = 'a';                      // a, c or b
  std::optional<int64_t> major, minor;  // absent: all
  std::string access;                   // of r, w, m
};

struct MemoryResources {
  std::optional<int64_t> limit, reservation, swap, kernel, kernel_tcp;  // bytes, -1 = unlimited
  std::optional<uint64_t> swappiness;
  std::optional<bool> disable_oom_killer, use_hierarchy, check_before_update;
};

struct CpuResources {
  std::optional<uint64_t> shares, period, realtime_period, burst;  // times in microseconds
  std::optional<int64_t> quota, realtime_runtime, idle;
  std::string cpus, mems;
};

struct WeightDevice {
  int64_t major = 0, minor = 0;
  std::optional<uint16_t> weight, leaf_weight;
};

struct ThrottleDevice {
  int64_t major = 0, minor = 0;
  uint64_t rate = 0;
};

struct BlockIo {
  std::optional<uint16_t> weight, leaf_weight;
  std::vector<WeightDevice> weight_device;
  std::vector<ThrottleDevice> read_bps, write_bps, read_iops, write_iops;
};

struct HugepageLimit {
  std::string page_size;  // "2MB"
  uint64_t limit = 0;
};

struct NetworkPriority {
  std::string interface;
  uint32_t priority = 0;
};

struct NetworkResources {
  std::optional<uint32_t> class_id;
  std::vector<NetworkPriority> priorities;
};

struct RdmaLimit {
  std::optional<uint32_t> hca_handles, hca_objects;
};

struct Resources {
  std::vector<DeviceRule> devices;
  MemoryResources memory;
  CpuResources cpu;
  BlockIo block_io;
  std::optional<int64_t> pids_limit;  // -1 = unlimited
  std::vector<HugepageLimit> hugepage_limits;
  NetworkResources network;
  std::map<std::string, RdmaLimit> rdma;  // by device
  std::map<std::string, std::string> unified;
};

struct SeccompArg {
  uint32_t index = 0;
  uint64_t value = 0, value_two = 0;
  std::string op;  // SCMP_CMP_EQ
};

struct SeccompRule {
  std::vector<std::string> names;
  std::string action;  // SCMP_ACT_ALLOW
  std::optional<uint32_t> errno_ret;
  std::vector<SeccompArg> args;
};

struct Seccomp {
  std::string default_action;
  std::optional<uint32_t> default_errno_ret;
  std::vector<std::string> architectures;  // SCMP_ARCH_X86_64
  // SECCOMP_FILTER_FLAG_LOG; absent is not the same as none: the runtime chooses.
  std::optional<std::vector<std::string>> flags;
  std::vector<SeccompRule> syscalls;
  std::string listener_path, listener_metadata;  // where SCMP_ACT_NOTIFY's descriptor goes
};

struct Hook {
  std::string path;  // absolute
  std::vector<std::string> args, env;
  std::optional<int64_t> timeout_seconds;
};

struct Hooks {
  std::vector<Hook> prestart, create_runtime, create_container, start_container, poststart,
      poststop;
};

struct TimeOffset {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
};

// set_mempolicy(2).
struct MemoryPolicy {
  int mode = 0;                 // MPOL_*
  unsigned flags = 0;           // MPOL_F_*
  std::vector<unsigned> nodes;  // ascending
};

struct IntelRdt {
  std::string clos_id;
  std::vector<std::string> schemata;
  std::string l3_cache_schema, mem_bw_schema;
  bool enable_monitoring = false;
};

struct Linux {
  std::vector<Namespace> namespaces;
  std::vector<IdMapping> uid_mappings, gid_mappings;
  std::vector<Device> devices;
  std::string cgroups_path;
  Resources resources;
  std::string rootfs_propagation;  // empty, [r]private, [r]slave, [r]shared, [r]unbindable
  std::optional<Seccomp> seccomp;
  std::map<std::string, std::string> sysctl;
  std::vector<std::string> masked_paths, readonly_paths;
  std::string mount_label;
  std::optional<unsigned long> personality;        // for personality(2)
  std::map<std::string, TimeOffset> time_offsets;  // "monotonic", "boottime"
  std::map<std::string, std::string> net_devices;  // the host's name -> the container's
  std::optional<MemoryPolicy> memory_policy;
  std::optional<IntelRdt> intel_rdt;

  // nullptr when the container shares the runtime's namespace of that type.
  [[nodiscard]] const Namespace* Find(NamespaceType type) const;
  [[nodiscard]] bool Makes(NamespaceType type) const;  // listed, and without a path
  [[nodiscard]] bool Joins(NamespaceType type) const;  // listed, and with one
};

struct Spec {
  std::string version;
  std::string hostname, domainname;
  std::optional<Process> process;
  Root root;
  std::vector<Mount> mounts;
  Hooks hooks;
  std::map<std::string, std::string> annotations;
  Linux linux;
  std::vector<std::string> warnings;  // what was read but has no effect here, one line each
};

// Parses and validates config.json. InvalidArgument names the JSON path of what is wrong;
// Unimplemented what is not supported. `bundle` (absolute) makes root.path absolute. No I/O.
StatusOr<Spec> Parse(std::string_view text, const std::string& bundle);

// Parses a list of mounts alone, as `mounts add` takes it. `folder` (absolute) makes the sources of
// bind mounts absolute.
StatusOr<std::vector<Mount>> ParseMounts(std::string_view text, const std::string& folder);

// Parses one process object, as `exec --process` takes it.
StatusOr<Process> ParseProcess(std::string_view text);

// Parses linux.resources alone, as `update --resources` takes it.
StatusOr<Resources> ParseResources(std::string_view text);

// "0-3,7" -> 0, 1, 2, 3, 7; ascending, each once. The most that a list of the kernel's may hold is
// 64 Ki numbers.
StatusOr<std::vector<unsigned>> ParseNumberList(std::string_view text);

// "MPOL_BIND", ...: what linux.memoryPolicy may say.
std::vector<std::string> MemoryPolicyModes();
std::vector<std::string> MemoryPolicyFlags();

// The resource's number for RLIMIT_*; -1 when there is none of that name.
int RlimitResource(std::string_view name);

// A bit of the capability sets for "CAP_CHOWN"; -1 when there is none of that name.
int CapabilityBit(std::string_view name);
// "CAP_CHOWN" for 0; empty past the last one that is known.
std::string_view CapabilityName(int bit);

}  // namespace ocirun::oci
