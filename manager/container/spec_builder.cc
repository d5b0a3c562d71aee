// SPDX-License-Identifier: Apache-2.0
#include "manager/container/spec_builder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "base/file.h"
#include "base/path.h"
#include "base/sys/file.h"
#include "manager/container/log_options.h"

namespace ocirun::container {
namespace {

using ocid::v1::Container;
using ocid::v1::ContainerConfig;
using ocid::v1::HostConfig;

constexpr const char* kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr uint64_t kDefaultShm = 64u << 20;
constexpr uint32_t kMaxTerminalSide = UINT16_MAX;  // of struct winsize

const std::vector<std::string> kDefaultCapabilities = {
    "CHOWN",   "DAC_OVERRIDE", "FSETID",           "FOWNER",
    "MKNOD",   "NET_RAW",      "SETGID",           "SETUID",
    "SETFCAP", "SETPCAP",      "NET_BIND_SERVICE", "SYS_CHROOT",
    "KILL",    "AUDIT_WRITE"};

const std::vector<std::string> kAllCapabilities = {"CHOWN",
                                                   "DAC_OVERRIDE",
                                                   "DAC_READ_SEARCH",
                                                   "FOWNER",
                                                   "FSETID",
                                                   "KILL",
                                                   "SETGID",
                                                   "SETUID",
                                                   "SETPCAP",
                                                   "LINUX_IMMUTABLE",
                                                   "NET_BIND_SERVICE",
                                                   "NET_BROADCAST",
                                                   "NET_ADMIN",
                                                   "NET_RAW",
                                                   "IPC_LOCK",
                                                   "IPC_OWNER",
                                                   "SYS_MODULE",
                                                   "SYS_RAWIO",
                                                   "SYS_CHROOT",
                                                   "SYS_PTRACE",
                                                   "SYS_PACCT",
                                                   "SYS_ADMIN",
                                                   "SYS_BOOT",
                                                   "SYS_NICE",
                                                   "SYS_RESOURCE",
                                                   "SYS_TIME",
                                                   "SYS_TTY_CONFIG",
                                                   "MKNOD",
                                                   "LEASE",
                                                   "AUDIT_WRITE",
                                                   "AUDIT_CONTROL",
                                                   "SETFCAP",
                                                   "MAC_OVERRIDE",
                                                   "MAC_ADMIN",
                                                   "SYSLOG",
                                                   "WAKE_ALARM",
                                                   "BLOCK_SUSPEND",
                                                   "AUDIT_READ",
                                                   "PERFMON",
                                                   "BPF",
                                                   "CHECKPOINT_RESTORE"};

const std::vector<std::string> kMaskedPaths = {
    "/proc/acpi",       "/proc/asound",      "/proc/interrupts",
    "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};
const std::vector<std::string> kReadonlyPaths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                                 "/proc/sysrq-trigger"};

StatusOr<std::string> CapabilityName(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (text.starts_with("CAP_")) text = text.substr(4);
  if (text != "ALL" &&
      std::find(kAllCapabilities.begin(), kAllCapabilities.end(), text) == kAllCapabilities.end()) {
    return InvalidArgument("invalid capability: \"CAP_{}\"", text);
  }
  return text;
}

// What this daemon may give at all: a host may lack some (a container, a virtual machine).
std::set<std::string> AvailableCapabilities() {
  std::set<std::string> available;
  for (size_t i = 0; i < kAllCapabilities.size(); ++i) available.insert(kAllCapabilities[i]);
  const auto status = sys::Open("/proc/self/status", O_RDONLY);
  if (!status.ok()) return available;
  const auto text = sys::ReadAll(*status, 1u << 16);
  const size_t at = text.ok() ? text->find("CapBnd:\t") : std::string::npos;
  if (at == std::string::npos) return available;
  uint64_t mask = 0;
  std::from_chars(text->data() + at + 8, text->data() + text->size(), mask, 16);
  for (size_t i = 0; i < kAllCapabilities.size(); ++i) {
    if ((mask >> i & 1) == 0) available.erase(kAllCapabilities[i]);
  }
  return available;
}

StatusOr<std::vector<std::string>> CapabilitiesOf(const HostConfig& host) {
  std::set<std::string> add;
  std::set<std::string> drop;
  for (const std::string& text : host.cap_add()) {
    ASSIGN_OR_RETURN(std::string name, CapabilityName(text));
    add.insert(std::move(name));
  }
  for (const std::string& text : host.cap_drop()) {
    ASSIGN_OR_RETURN(std::string name, CapabilityName(text));
    drop.insert(std::move(name));
  }
  const std::set<std::string> available = AvailableCapabilities();
  std::set<std::string> have;
  if (host.privileged() || add.contains("ALL")) {
    have = available;
  } else if (!drop.contains("ALL")) {
    have.insert(kDefaultCapabilities.begin(), kDefaultCapabilities.end());
  }
  for (const std::string& name : drop) have.erase(name);
  for (const std::string& name : add) {
    if (name != "ALL") have.insert(name);
  }
  std::vector<std::string> names;
  for (const std::string& name : kAllCapabilities) {
    if (have.contains(name) && available.contains(name)) names.push_back("CAP_" + name);
  }
  return names;
}

void SetCapabilities(const std::vector<std::string>& names, bool root, Json* process) {
  Json& capabilities = (*process)["capabilities"];
  capabilities["bounding"] = names;
  // An ordinary user keeps none over the exec, as under Docker.
  capabilities["permitted"] = root ? names : std::vector<std::string>();
  capabilities["effective"] = capabilities["permitted"];
}

Json MountOf(const std::string& target, const std::string& type, const std::string& source,
             std::vector<std::string> options) {
  return {{"destination", target}, {"type", type}, {"source", source}, {"options", options}};
}

std::vector<Json> DefaultMounts(const HostConfig& host) {
  const std::string sys_mode = host.privileged() ? "rw" : "ro";
  const uint64_t shm = host.shm_size() == 0 ? kDefaultShm : host.shm_size();
  std::vector<Json> mounts = {
      MountOf("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      MountOf("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      MountOf("/dev/pts", "devpts", "devpts",
              {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      MountOf("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", sys_mode}),
      MountOf("/sys/fs/cgroup", "cgroup", "cgroup", {sys_mode, "nosuid", "noexec", "nodev"}),
      MountOf("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"})};
  const bool host_ipc = host.ipc_mode() == "host";
  // A host that has not mounted it has it nevertheless: mqueue belongs to the IPC namespace.
  if (host_ipc && PathExists("/dev/mqueue")) {
    mounts.back() = MountOf("/dev/mqueue", "bind", "/dev/mqueue", {"rbind"});
  }
  if (host_ipc && PathExists("/dev/shm")) {
    mounts.push_back(MountOf("/dev/shm", "bind", "/dev/shm", {"rbind"}));
  } else if (host.ipc_mode() != "none") {
    mounts.push_back(
        MountOf("/dev/shm", "tmpfs", "shm",
                {"nosuid", "noexec", "nodev", "mode=1777", fmt::format("size={}", shm)}));
  }
  return mounts;
}

void AddMount(const Json& mount, std::vector<Json>* mounts) {
  std::erase_if(*mounts,
                [&](const Json& old) { return old["destination"] == mount["destination"]; });
  mounts->push_back(mount);
}

Json MountsOf(const Container& container, const SpecPaths& paths) {
  const HostConfig& host = container.host_config();
  std::vector<Json> mounts = DefaultMounts(host);
  for (const auto& [target, source] :
       {std::pair("/etc/resolv.conf", paths.resolv_conf),
        std::pair("/etc/hostname", paths.hostname), std::pair("/etc/hosts", paths.hosts)}) {
    std::vector<std::string> options = {"rbind", "rprivate"};
    if (host.readonly_rootfs()) options.emplace_back("ro");
    AddMount(MountOf(target, "bind", source, options), &mounts);
  }
  for (const auto& mount : host.mounts()) {
    std::vector<std::string> options(mount.options().begin(), mount.options().end());
    if (mount.type() == "tmpfs") {
      options.insert(options.begin(), {"noexec", "nosuid", "nodev"});
      AddMount(MountOf(mount.target(), "tmpfs", "tmpfs", options), &mounts);
      continue;
    }
    options.insert(options.begin(),
                   {"rbind", mount.propagation().empty() ? "rprivate" : mount.propagation()});
    if (mount.read_only()) options.emplace_back("ro");
    AddMount(MountOf(mount.target(), "bind", mount.source(), options), &mounts);
  }
  // A folder before what is inside it; the defaults keep their order.
  std::stable_sort(mounts.begin(), mounts.end(), [](const Json& a, const Json& b) {
    const auto depth = [](const Json& mount) {
      const auto& path = mount["destination"].get_ref<const std::string&>();
      return std::count(path.begin(), path.end(), '/');
    };
    return depth(a) < depth(b);
  });
  return mounts;
}

// NAME=VALUE, later ones win; a name alone takes the variable away.
std::vector<std::string> MergeEnv(const std::vector<std::string>& words) {
  std::vector<std::string> merged;
  for (const std::string& word : words) {
    const std::string name = word.substr(0, word.find('='));
    std::erase_if(merged,
                  [&](const std::string& old) { return old.substr(0, old.find('=')) == name; });
    if (word.find('=') != std::string::npos) merged.push_back(word);
  }
  return merged;
}

std::vector<std::string> EnvOf(const ContainerConfig& config) {
  std::vector<std::string> env = {kPath, "HOSTNAME=" + config.hostname()};
  if (config.tty()) env.emplace_back("TERM=xterm");
  env.insert(env.end(), config.env().begin(), config.env().end());
  return MergeEnv(env);
}

Json RulesOfDevices(const HostConfig& host) {
  Json rules = Json::array();
  if (host.privileged()) {
    rules.push_back({{"allow", true}, {"access", "rwm"}});
    return rules;
  }
  rules.push_back({{"allow", false}, {"access", "rwm"}});
  for (const auto& [major, minor] : {std::pair(1, 5), std::pair(1, 3), std::pair(1, 9),
                                     std::pair(1, 8), std::pair(5, 0), std::pair(5, 1)}) {
    rules.push_back(
        {{"allow", true}, {"type", "c"}, {"major", major}, {"minor", minor}, {"access", "rwm"}});
  }
  return rules;
}

Status AddDevices(const HostConfig& host, Json* linux_part) {
  for (const auto& device : host.devices()) {
    ASSIGN_OR_RETURN(const struct stat info, sys::StatPath(device.path_on_host()));
    if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode)) {
      return InvalidArgument(
          "error gathering device information while adding custom device "
          "\"{}\": not a device node",
          device.path_on_host());
    }
    const std::string type = S_ISCHR(info.st_mode) ? "c" : "b";
    const Json numbers = {
        {"type", type}, {"major", major(info.st_rdev)}, {"minor", minor(info.st_rdev)}};
    Json node = numbers;
    node["path"] = device.path_in_container();
    node["fileMode"] = info.st_mode & 0777;
    node["uid"] = info.st_uid;
    node["gid"] = info.st_gid;
    (*linux_part)["devices"].push_back(node);
    Json rule = numbers;
    rule["allow"] = true;
    rule["access"] = device.cgroup_permissions().empty() ? "rwm" : device.cgroup_permissions();
    (*linux_part)["resources"]["devices"].push_back(rule);
  }
  return OkStatus();
}

Json ResourcesOf(const HostConfig& host) {
  Json resources;
  resources["devices"] = RulesOfDevices(host);
  if (host.memory() > 0) {
    resources["memory"]["limit"] = host.memory();
    resources["memory"]["swap"] = host.memory_swap() != 0 ? host.memory_swap() : 2 * host.memory();
  }
  if (host.memory_reservation() > 0) {
    resources["memory"]["reservation"] = host.memory_reservation();
  }
  if (host.has_memory_swappiness()) {
    resources["memory"]["swappiness"] = host.memory_swappiness();
  }
  if (host.oom_kill_disable()) resources["memory"]["disableOOMKiller"] = true;
  if (host.nano_cpus() > 0) {
    resources["cpu"]["period"] = 100000;
    resources["cpu"]["quota"] = host.nano_cpus() / 10000;
  }
  if (host.cpu_period() > 0) resources["cpu"]["period"] = host.cpu_period();
  if (host.cpu_quota() > 0) resources["cpu"]["quota"] = host.cpu_quota();
  if (host.cpu_shares() > 0) resources["cpu"]["shares"] = host.cpu_shares();
  if (!host.cpuset_cpus().empty()) resources["cpu"]["cpus"] = host.cpuset_cpus();
  if (!host.cpuset_mems().empty()) resources["cpu"]["mems"] = host.cpuset_mems();
  if (host.has_pids_limit() && host.pids_limit() > 0) {
    resources["pids"]["limit"] = host.pids_limit();
  }
  if (host.blkio_weight() > 0) resources["blockIO"]["weight"] = host.blkio_weight();
  return resources;
}

Json NamespacesOf(const HostConfig& host, const SpecPaths& paths) {
  Json namespaces = Json::array({{{"type", "mount"}}});
  if (!paths.netns.empty()) namespaces.push_back({{"type", "network"}, {"path", paths.netns}});
  if (host.uts_mode() != "host") namespaces.push_back({{"type", "uts"}});
  if (host.ipc_mode() != "host") namespaces.push_back({{"type", "ipc"}});
  if (paths.pidns.empty()) namespaces.push_back({{"type", "pid"}});
  if (!paths.pidns.empty() && paths.pidns != "host") {
    namespaces.push_back({{"type", "pid"}, {"path", paths.pidns}});
  }
  if (host.cgroupns_mode() == "private") namespaces.push_back({{"type", "cgroup"}});
  return namespaces;
}

// contrib/seccomp/default.json: a profile, rules for who lacks a capability, and names that a
// capability allows.
Json SeccompFor(const Json& document, const std::vector<std::string>& capabilities) {
  Json profile = document["profile"];
  const std::set<std::string> have(capabilities.begin(), capabilities.end());
  for (const auto& [capability, rules] : document["without"].items()) {
    if (have.contains(capability)) continue;
    for (const Json& rule : rules) profile["syscalls"].push_back(rule);
  }
  for (const auto& [capability, names] : document["with"].items()) {
    if (!have.contains(capability)) continue;
    profile["syscalls"].push_back({{"names", names}, {"action", "SCMP_ACT_ALLOW"}});
  }
  return profile;
}

// A mount has its propagation only below a root that has no less.
std::string RootfsPropagation(const HostConfig& host) {
  std::string out;
  for (const auto& mount : host.mounts()) {
    if (mount.propagation().ends_with("shared")) return "shared";
    if (mount.propagation().ends_with("slave")) out = "rslave";
  }
  return out;
}

StatusOr<Json> LinuxOf(const Container& container, const SpecPaths& paths) {
  const HostConfig& host = container.host_config();
  Json part;
  part["cgroupsPath"] = paths.cgroup;
  part["namespaces"] = NamespacesOf(host, paths);
  part["resources"] = ResourcesOf(host);
  RETURN_IF_ERROR(AddDevices(host, &part));
  if (!host.privileged()) {
    part["maskedPaths"] = kMaskedPaths;
    part["readonlyPaths"] = kReadonlyPaths;
    const auto& options = host.security_opt();
    const bool unconfined =
        std::find(options.begin(), options.end(), "seccomp=unconfined") != options.end();
    ASSIGN_OR_RETURN(const auto capabilities, CapabilitiesOf(host));
    if (!unconfined) part["seccomp"] = SeccompFor(paths.seccomp, capabilities);
  }
  if (!paths.netns.empty()) {
    part["sysctl"] = {{"net.ipv4.ip_unprivileged_port_start", "0"},
                      {"net.ipv4.ping_group_range", "0 2147483647"}};
  }
  for (const auto& [name, value] : host.sysctls()) part["sysctl"][name] = value;
  if (const std::string word = RootfsPropagation(host); !word.empty())
    part["rootfsPropagation"] = word;
  return part;
}

StatusOr<Json> ProcessOf(const Container& container, const UniqueFd& rootfs) {
  const ContainerConfig& config = container.config();
  const HostConfig& host = container.host_config();
  Json process;
  process["terminal"] = config.tty();
  ASSIGN_OR_RETURN(
      process["user"],
      ResolveUser(config.user(), {host.group_add().begin(), host.group_add().end()}, rootfs));
  std::vector<std::string> args = {container.path()};
  args.insert(args.end(), container.args().begin(), container.args().end());
  process["args"] = args;
  process["env"] = EnvOf(config);
  process["cwd"] = config.working_dir().empty() ? "/" : config.working_dir();
  ASSIGN_OR_RETURN(const auto capabilities, CapabilitiesOf(host));
  SetCapabilities(capabilities, process["user"]["uid"] == 0, &process);
  for (const std::string& option : host.security_opt()) {
    if (option == "no-new-privileges" || option == "no-new-privileges:true" ||
        option == "no-new-privileges=true") {
      process["noNewPrivileges"] = true;
    }
  }
  if (host.oom_score_adj() != 0) process["oomScoreAdj"] = host.oom_score_adj();
  for (const auto& limit : host.ulimits()) {
    std::string type = "RLIMIT_" + limit.name();
    for (char& c : type) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    const auto value = [](int64_t n) { return n < 0 ? UINT64_MAX : static_cast<uint64_t>(n); };
    process["rlimits"].push_back(
        {{"type", type}, {"soft", value(limit.soft())}, {"hard", value(limit.hard())}});
  }
  return process;
}

bool OneOf(const std::string& text, std::initializer_list<const char*> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

}  // namespace

Status CheckSupported(const ContainerConfig& config, const HostConfig& host) {
  const auto refuse = [](const std::string& what) {
    return Unsupported("{} is not supported yet", what);
  };
  if (!OneOf(host.userns_mode(), {"", "host"})) return refuse("--userns " + host.userns_mode());
  if (!OneOf(host.ipc_mode(), {"", "private", "shareable", "host", "none"})) {
    return refuse("--ipc " + host.ipc_mode());
  }
  if (!OneOf(host.uts_mode(), {"", "host"})) return refuse("--uts " + host.uts_mode());
  if (!OneOf(host.cgroupns_mode(), {"", "host", "private"})) {
    return refuse("--cgroupns " + host.cgroupns_mode());
  }
  if (!OneOf(host.runtime(), {"", "ocirun"})) return refuse("--runtime " + host.runtime());
  if (host.volumes_from_size() > 0) return refuse("--volumes-from");
  if (host.links_size() > 0) return refuse("--link");
  if (config.volumes_size() > 0) return refuse("a volume");
  if (host.init()) return refuse("--init");
  if (host.device_cgroup_rules_size() > 0) return refuse("--device-cgroup-rule");
  if (config.healthcheck().test_size() > 0) return refuse("--health-cmd");
  RETURN_IF_ERROR(ParseLogConfig(host.log_config()).status());
  for (const std::string& option : host.security_opt()) {
    if (!OneOf(option, {"no-new-privileges", "no-new-privileges:true", "no-new-privileges=true",
                        "no-new-privileges:false", "no-new-privileges=false", "seccomp=unconfined",
                        "apparmor=unconfined", "label=disable", "label:disable"})) {
      return refuse("--security-opt " + option);
    }
  }
  for (const auto& mount : host.mounts()) {
    if (!OneOf(mount.type(), {"bind", "tmpfs"})) {
      return refuse("a mount of type " + mount.type());
    }
    if (!mount.target().starts_with('/')) {
      return InvalidArgument("invalid mount path: '{}' mount path must be absolute",
                             mount.target());
    }
  }
  return CapabilitiesOf(host).status();
}

StatusOr<Json> BuildSpec(const Container& container, const SpecPaths& paths,
                         const UniqueFd& rootfs) {
  const HostConfig& host = container.host_config();
  Json spec;
  spec["ociVersion"] = "1.2.0";
  ASSIGN_OR_RETURN(spec["process"], ProcessOf(container, rootfs));
  spec["root"] = {{"path", paths.rootfs}, {"readonly", host.readonly_rootfs()}};
  if (host.uts_mode() != "host") {
    spec["hostname"] = container.config().hostname();
    if (!container.config().domainname().empty()) {
      spec["domainname"] = container.config().domainname();
    }
  }
  spec["mounts"] = MountsOf(container, paths);
  ASSIGN_OR_RETURN(spec["linux"], LinuxOf(container, paths));
  return spec;
}

Status CheckMountTypes(const Json& spec, const UniqueFd& rootfs) {
  std::vector<std::string> above;
  for (const Json& mount : spec["mounts"]) {
    const std::string target = mount["destination"];
    // What an earlier mount brings is not the image's.
    const bool covered = std::any_of(above.begin(), above.end(), [&](const std::string& folder) {
      return target.starts_with(folder + "/");
    });
    above.push_back(target);
    if (covered || mount["type"] != "bind") continue;
    const std::string source = mount["source"];
    const auto there = OpenInRoot(rootfs, target, O_PATH);
    if (!there.ok()) continue;  // it will be made
    ASSIGN_OR_RETURN(const struct stat from, sys::StatPath(source));
    ASSIGN_OR_RETURN(const struct stat onto, sys::Stat(*there));
    if (S_ISDIR(from.st_mode) == S_ISDIR(onto.st_mode)) continue;
    return InvalidArgument(
        "cannot mount \"{}\" on \"{}\": {} on {}: Are you trying to mount a directory onto a file "
        "(or vice-versa)? Check if the specified host path exists and is the expected type",
        source, target, S_ISDIR(from.st_mode) ? "a folder" : "a file",
        S_ISDIR(onto.st_mode) ? "a folder of the image" : "a file of the image");
  }
  return OkStatus();
}

void SetConsoleSize(const ocid::v1::TerminalSize& size, Json* process) {
  if (!(*process)["terminal"].get<bool>() || size.width() == 0 || size.height() == 0) return;
  (*process)["consoleSize"] = {{"width", std::min(size.width(), kMaxTerminalSide)},
                               {"height", std::min(size.height(), kMaxTerminalSide)}};
}

StatusOr<Json> BuildExecProcess(const Json& spec, const ExecOptions& options,
                                const UniqueFd& rootfs) {
  Json process = spec["process"];
  process["args"] = options.args;
  process["terminal"] = options.tty;
  process.erase("consoleSize");
  SetConsoleSize(options.size, &process);
  std::vector<std::string> env = process["env"].get<std::vector<std::string>>();
  if (options.tty) env.emplace_back("TERM=xterm");
  env.insert(env.end(), options.env.begin(), options.env.end());
  process["env"] = MergeEnv(env);
  if (!options.cwd.empty()) process["cwd"] = options.cwd;
  if (!options.user.empty()) {
    ASSIGN_OR_RETURN(process["user"], ResolveUser(options.user, {}, rootfs));
  }
  std::vector<std::string> capabilities =
      process["capabilities"]["bounding"].get<std::vector<std::string>>();
  if (options.privileged) {
    HostConfig all;
    all.set_privileged(true);
    ASSIGN_OR_RETURN(capabilities, CapabilitiesOf(all));
  }
  SetCapabilities(capabilities, process["user"]["uid"] == 0, &process);
  return process;
}

}  // namespace ocirun::container
