// SPDX-License-Identifier: Apache-2.0
#include "ctl/commands/run_options.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "base/file.h"
#include "ctl/output/units.h"

namespace ocirun::ctl {
namespace {

using ocid::v1::ContainerConfig;
using ocid::v1::HostConfig;

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// Lines NAME=VALUE or NAME of --env-file and --label-file.
Status AddFileLines(const std::vector<std::string>& files, std::vector<std::string>* words) {
  for (const std::string& file : files) {
    const auto text = ReadFile(file);
    if (!text.ok() && ErrnoOf(text.status()) == ENOENT) {
      return NotFound("open {}: no such file or directory", file);
    }
    RETURN_IF_ERROR(text.status());
    std::istringstream lines(*text);
    for (std::string line; std::getline(lines, line);) {
      const size_t begin = line.find_first_not_of(" \t");
      if (begin != std::string::npos && line[begin] != '#') words->push_back(line.substr(begin));
    }
  }
  return OkStatus();
}

bool IsAddress(const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> address{};
  return inet_pton(AF_INET, text.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, text.c_str(), address.data()) == 1;
}

Status CheckAddress(const std::string& text) {
  if (IsAddress(text)) return OkStatus();
  return InvalidArgument("{} is not an ip address", text);
}

// Labels of letters, digits and inner dashes, with a letter somewhere; "." is no search at all.
Status CheckSearchDomain(const std::string& text) {
  const auto alnum = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  const std::string name = text.ends_with('.') ? text.substr(0, text.size() - 1) : text;
  bool letter = false;
  bool good = !name.empty();
  for (const std::string& label : Split(name, '.')) {
    good = good && !label.empty() && alnum(label.front()) && alnum(label.back());
    for (const char c : label) {
      good = good && (alnum(c) || c == '-');
      letter = letter || std::isalpha(static_cast<unsigned char>(c)) != 0;
    }
  }
  if (text == "." || (good && letter)) return OkStatus();
  return InvalidArgument("{} is not a valid domain", text);
}

// NAME:ADDRESS; the address may have colons.
Status CheckExtraHost(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos || colon == 0) {
    return InvalidArgument("bad format for add-host: \"{}\"", text);
  }
  const std::string address = text.substr(colon + 1);
  if (address == "host-gateway" || IsAddress(address)) return OkStatus();
  return InvalidArgument("invalid IP address in add-host: \"{}\"", address);
}

Status CheckLabel(const std::string& text) {
  if (!text.empty() && text[0] != '=') return OkStatus();
  return InvalidArgument("invalid label '{}': empty name", text);
}

// Those that belong to a namespace of the container's own.
Status CheckSysctl(const std::string& text) {
  constexpr std::array kWhole = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                 "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                 "kernel.shmmni", "kernel.shm_rmid_forced"};
  const std::string name = text.substr(0, text.find('='));
  const bool known = std::find(kWhole.begin(), kWhole.end(), name) != kWhole.end() ||
                     name.starts_with("net.") || name.starts_with("fs.mqueue.");
  if (known && name.size() < text.size()) return OkStatus();
  return InvalidArgument("sysctl '{}' is not whitelisted", text);
}

Status CheckStream(const std::string& text) {
  std::string lower = text;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (lower == "stdin" || lower == "stdout" || lower == "stderr") return OkStatus();
  return InvalidArgument("valid streams are STDIN, STDOUT and STDERR");
}

StatusOr<int> ParsePort(const std::string& text) {
  int value = -1;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ptr != text.data() + text.size() || result.ec == std::errc::invalid_argument ||
      value < 0) {
    return InvalidArgument("strconv.ParseUint: parsing \"{}\": invalid syntax", text);
  }
  if (value > 65535 || result.ec != std::errc()) {
    return InvalidArgument("strconv.ParseUint: parsing \"{}\": value out of range", text);
  }
  return value;
}

struct PortRange {
  int first = 0;
  int last = 0;
  [[nodiscard]] int size() const { return last - first + 1; }
};

// "80", "8000-8010"
StatusOr<PortRange> ParsePorts(const std::string& text) {
  const size_t dash = text.find('-');
  PortRange range;
  ASSIGN_OR_RETURN(range.first, ParsePort(text.substr(0, dash)));
  range.last = range.first;
  if (dash != std::string::npos) {
    ASSIGN_OR_RETURN(range.last, ParsePort(text.substr(dash + 1)));
  }
  if (range.last < range.first) {
    return InvalidArgument("Invalid range specified for the Port: {}", text);
  }
  return range;
}

// 80, 8000-8010, either with /PROTO
Status AddExpose(const std::string& text, ContainerConfig* config) {
  if (text.find(':') != std::string::npos) {
    return InvalidArgument("invalid port format for --expose: {}", text);
  }
  const size_t slash = text.find('/');
  const std::string protocol = slash == std::string::npos ? "tcp" : text.substr(slash + 1);
  const auto range = ParsePorts(text.substr(0, slash));
  if (!range.ok()) {
    return InvalidArgument("invalid range format for --expose: {}, error: {}", text,
                           MessageOf(range.status()));
  }
  for (int port = range->first; port <= range->last; ++port) {
    config->add_exposed_ports(fmt::format("{}/{}", port, protocol));
  }
  return OkStatus();
}

// [IP:][HOST[-END]:]CONTAINER[-END][/PROTO]; an IPv6 address stands in brackets.
Status AddPublish(const std::string& text, ContainerConfig* config, HostConfig* host) {
  const size_t slash = text.find('/');
  const std::string protocol = slash == std::string::npos ? "tcp" : text.substr(slash + 1);
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") {
    return InvalidArgument("Invalid proto: {}", protocol);
  }
  std::string rest = text.substr(0, slash);
  const std::string container = rest.substr(rest.rfind(':') + 1);
  rest.resize(rest.size() - container.size() - (rest.size() > container.size() ? 1 : 0));
  const size_t colon = rest.rfind(':');
  const bool bracketed = rest.ends_with(']');  // an address and no port of the host
  const std::string host_port =
      bracketed ? "" : rest.substr(colon == std::string::npos ? 0 : colon + 1);
  std::string address = bracketed ? rest : colon == std::string::npos ? "" : rest.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) {
    address = address.substr(1, address.size() - 2);
  }
  if (!address.empty() && !IsAddress(address)) {
    return InvalidArgument("Invalid ip address: {}", address);
  }
  if (container.empty()) return InvalidArgument("No port specified: {}<empty>", text);
  const auto inside = ParsePorts(container);
  if (!inside.ok() || inside->first == 0) {
    return InvalidArgument("Invalid containerPort: {}", container);
  }
  PortRange outside;
  if (!host_port.empty()) {
    const auto range = ParsePorts(host_port);
    if (!range.ok()) return InvalidArgument("Invalid hostPort: {}", host_port);
    outside = *range;
  }
  const bool one_to_one = outside.size() == inside->size();
  if (!host_port.empty() && !one_to_one && inside->size() != 1) {
    return InvalidArgument("Invalid ranges specified for container and host Ports: {} and {}",
                           container, host_port);
  }
  for (int port = inside->first; port <= inside->last; ++port) {
    auto* binding = host->add_port_bindings();
    binding->set_container_port(fmt::format("{}/{}", port, protocol));
    config->add_exposed_ports(binding->container_port());
    binding->set_host_ip(address);
    if (host_port.empty()) continue;
    binding->set_host_port(one_to_one ? std::to_string(outside.first + port - inside->first)
                                      : host_port);
  }
  return OkStatus();
}

// SOURCE:TARGET[:MODE] or TARGET
Status AddVolume(const std::string& text, HostConfig* host) {
  const std::vector<std::string> parts = Split(text, ':');
  if (parts.size() > 3 || parts.back().empty()) {
    return InvalidArgument("invalid volume specification: '{}'", text);
  }
  auto* mount = host->add_mounts();
  const bool bind = parts.size() > 1 && (parts[0].starts_with('/') || parts[0].starts_with('.'));
  mount->set_type(bind ? "bind" : "volume");
  mount->set_target(parts.size() > 1 ? parts[1] : parts[0]);
  if (parts.size() > 1) {
    mount->set_source(bind ? std::filesystem::absolute(parts[0]).lexically_normal().string()
                           : parts[0]);
    host->add_binds(text);
  }
  mount->set_create_source(bind);
  if (parts.size() < 3) return OkStatus();
  mount->set_mode(parts[2]);
  for (const std::string& word : Split(parts[2], ',')) {
    if (word == "ro") {
      mount->set_read_only(true);
    } else if (word.ends_with("private") || word.ends_with("slave") || word.ends_with("shared")) {
      mount->set_propagation(word);
    } else if (word != "rw" && word != "z" && word != "Z") {
      return InvalidArgument("invalid mode: {}", word);
    }
  }
  return OkStatus();
}

// type=bind,source=/a,target=/b,readonly
Status AddMount(const std::string& text, HostConfig* host) {
  auto* mount = host->add_mounts();
  mount->set_type("volume");
  for (const std::string& word : Split(text, ',')) {
    const size_t equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "true" : word.substr(equals + 1);
    if (key == "type") {
      mount->set_type(value);
    } else if (key == "source" || key == "src") {
      mount->set_source(value);
    } else if (key == "target" || key == "dst" || key == "destination") {
      mount->set_target(value);
    } else if (key == "readonly" || key == "ro") {
      mount->set_read_only(value == "true" || value == "1");
    } else if (key == "bind-propagation") {
      mount->set_propagation(value);
    } else if (key == "tmpfs-size") {
      mount->add_options("size=" + value);
    } else if (key == "tmpfs-mode") {
      mount->add_options("mode=" + value);
    } else {
      return InvalidArgument("unexpected key '{}' in '{}'", key, word);
    }
  }
  if (mount->target().empty()) return InvalidArgument("target is required");
  return OkStatus();
}

void AddTmpfs(const std::string& text, HostConfig* host) {
  const size_t colon = text.find(':');
  auto* mount = host->add_mounts();
  mount->set_type("tmpfs");
  mount->set_target(text.substr(0, colon));
  if (colon == std::string::npos) return;
  for (const std::string& word : Split(text.substr(colon + 1), ',')) mount->add_options(word);
}

// NAME=SOFT[:HARD]
Status AddUlimit(const std::string& text, HostConfig* host) {
  const size_t equals = text.find('=');
  const std::vector<std::string> values =
      Split(equals == std::string::npos ? "" : text.substr(equals + 1), ':');
  if (equals == std::string::npos || values.size() > 2) {
    return InvalidArgument("invalid ulimit argument: {}", text);
  }
  auto* limit = host->add_ulimits();
  limit->set_name(text.substr(0, equals));
  ASSIGN_OR_RETURN(const int64_t soft, ParseInt(values[0]));
  ASSIGN_OR_RETURN(const int64_t hard, ParseInt(values.back()));
  limit->set_soft(soft);
  limit->set_hard(hard);
  if (hard != -1 && (soft == -1 || soft > hard)) {
    return InvalidArgument("ulimit soft limit must be less than or equal to hard limit: {} > {}",
                           soft, hard);
  }
  return OkStatus();
}

Status AddRestart(const std::string& text, HostConfig* host) {
  const size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  if (name != "no" && name != "always" && name != "unless-stopped" && name != "on-failure") {
    return InvalidArgument("invalid restart policy '{}'", name);
  }
  if (host->auto_remove() && name != "no") {
    return InvalidArgument("Conflicting options: --restart and --rm");
  }
  host->mutable_restart_policy()->set_name(name);
  if (colon == std::string::npos) return OkStatus();
  const auto count = ParseInt(text.substr(colon + 1));
  if (!count.ok()) return InvalidArgument("maximum retry count must be an integer");
  if (name != "on-failure") {
    return InvalidArgument("maximum retry count cannot be used with restart policy '{}'", name);
  }
  if (*count < 0) return InvalidArgument("maximum retry count cannot be negative");
  host->mutable_restart_policy()->set_maximum_retry_count(static_cast<uint32_t>(*count));
  return OkStatus();
}

// -1 only where there is a meaning to it.
SetValue Bytes(int64_t* target, bool unlimited = false) {
  return [=](const std::string& text) -> Status {
    ASSIGN_OR_RETURN(*target, ParseBytes(text));
    if (*target < 0 && !unlimited) return InvalidArgument("invalid size: '{}'", text);
    return OkStatus();
  };
}

Status SetCpus(const std::string& text, int64_t* nano_cpus) {
  char* end = nullptr;
  const double cpus = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(cpus)) {
    return InvalidArgument("failed to parse {} as a rational number", text);
  }
  *nano_cpus = std::llround(cpus * 1e9);
  return OkStatus();
}

// What `add` finds wrong, before anything is made; the values are added when all is known.
template <typename Add>
SetValue CheckedBy(Add add) {
  return [add](const std::string& text) {
    HostConfig scratch;
    return add(text, &scratch);
  };
}

template <typename Map>
void AddPairs(const std::vector<std::string>& words, Map* map) {
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    (*map)[word.substr(0, equals)] = equals == std::string::npos ? "" : word.substr(equals + 1);
  }
}

Status FillConfig(const Command& command, const RunOptions& options, ContainerConfig* config) {
  config->set_image(options.words[0]);
  config->mutable_cmd()->Add(options.words.begin() + 1, options.words.end());
  config->set_hostname(options.hostname);
  config->set_domainname(options.domainname);
  config->set_user(options.user);
  config->set_working_dir(options.workdir);
  config->set_tty(options.tty);
  config->set_open_stdin(options.interactive);
  const bool stdin_attached = options.Attaches("stdin") && !options.detach;
  config->set_stdin_once(stdin_attached);
  config->set_attach_stdin(stdin_attached);
  config->set_attach_stdout(options.Attaches("stdout") && !options.detach);
  config->set_attach_stderr(options.Attaches("stderr") && !options.detach);
  config->set_stop_signal(options.stop_signal);
  if (command.Given("stop-timeout")) config->set_stop_timeout_seconds(options.stop_timeout);
  if (command.Given("entrypoint")) {
    config->set_entrypoint_set(true);
    if (!options.entrypoint.empty()) config->add_entrypoint(options.entrypoint);
  }
  for (const std::string& port : options.expose) RETURN_IF_ERROR(AddExpose(port, config));
  std::vector<std::string> labels;
  RETURN_IF_ERROR(AddFileLines(options.label_files, &labels));
  labels.insert(labels.end(), options.labels.begin(), options.labels.end());
  AddPairs(labels, config->mutable_labels());
  ASSIGN_OR_RETURN(const std::vector<std::string> env, ReadEnv(options.env_files, options.env));
  config->mutable_env()->Add(env.begin(), env.end());
  return OkStatus();
}

Status FillHost(const Command& command, const RunOptions& options, ContainerConfig* config,
                HostConfig* host) {
  const auto copy = [](const std::vector<std::string>& from, auto* to) {
    to->Add(from.begin(), from.end());
  };
  copy(options.cap_add, host->mutable_cap_add());
  copy(options.cap_drop, host->mutable_cap_drop());
  copy(options.dns, host->mutable_dns());
  copy(options.dns_search, host->mutable_dns_search());
  copy(options.dns_options, host->mutable_dns_options());
  copy(options.add_hosts, host->mutable_extra_hosts());
  copy(options.group_add, host->mutable_group_add());
  copy(options.security_opt, host->mutable_security_opt());
  AddPairs(options.sysctls, host->mutable_sysctls());
  AddPairs(options.log_opts, host->mutable_log_config()->mutable_options());
  host->mutable_log_config()->set_type(options.log_driver);
  host->set_network_mode(options.network);
  host->set_auto_remove(options.remove);
  host->set_privileged(options.privileged);
  host->set_readonly_rootfs(options.read_only);
  host->set_publish_all_ports(options.publish_all);
  host->set_init(options.init);
  host->set_ipc_mode(options.ipc);
  host->set_pid_mode(options.pid);
  host->set_uts_mode(options.uts);
  host->set_userns_mode(options.userns);
  host->set_cgroupns_mode(options.cgroupns);
  host->set_cgroup_parent(options.cgroup_parent);
  host->set_runtime(options.runtime);
  host->set_container_id_file(options.cidfile);
  host->set_cpu_shares(options.cpu_shares);
  host->set_cpu_period(options.cpu_period);
  host->set_cpu_quota(options.cpu_quota);
  host->set_cpuset_cpus(options.cpuset_cpus);
  host->set_cpuset_mems(options.cpuset_mems);
  host->set_oom_score_adj(options.oom_score_adj);
  host->set_oom_kill_disable(options.oom_kill_disable);
  if (options.blkio_weight < 0 || options.blkio_weight > 65535) {
    return InvalidArgument(
        "invalid argument \"{}\" for \"--blkio-weight\" flag: value out of range",
        options.blkio_weight);
  }
  host->set_blkio_weight(static_cast<uint32_t>(options.blkio_weight));
  if (command.Given("pids-limit")) host->set_pids_limit(options.pids_limit);
  if (options.memory_swappiness < -1 || options.memory_swappiness > 100) {
    return InvalidArgument("invalid value: {}. Valid memory swappiness range is 0-100",
                           options.memory_swappiness);
  }
  if (options.memory_swappiness >= 0) {
    host->set_memory_swappiness(static_cast<uint64_t>(options.memory_swappiness));
  }
  host->set_nano_cpus(options.nano_cpus);
  host->set_memory(options.memory);
  host->set_memory_swap(options.memory_swap);
  host->set_memory_reservation(options.memory_reservation);
  host->set_shm_size(static_cast<uint64_t>(options.shm_size));
  host->mutable_restart_policy()->set_name("no");
  if (!options.restart.empty()) RETURN_IF_ERROR(AddRestart(options.restart, host));
  for (const std::string& text : options.publish) RETURN_IF_ERROR(AddPublish(text, config, host));
  for (const std::string& text : options.volumes) RETURN_IF_ERROR(AddVolume(text, host));
  for (const std::string& text : options.mounts) RETURN_IF_ERROR(AddMount(text, host));
  for (const std::string& text : options.tmpfs) AddTmpfs(text, host);
  for (const std::string& text : options.ulimits) RETURN_IF_ERROR(AddUlimit(text, host));
  for (const std::string& text : options.devices) {
    const std::vector<std::string> parts = Split(text, ':');
    auto* device = host->add_devices();
    device->set_path_on_host(parts[0]);
    device->set_path_in_container(parts.size() > 1 ? parts[1] : parts[0]);
    device->set_cgroup_permissions(parts.size() > 2 ? parts[2] : "rwm");
  }
  return OkStatus();
}

}  // namespace

bool RunOptions::Attaches(const std::string& stream) const {
  if (stream == "stdin" && !interactive) return false;
  return attach.empty() || std::any_of(attach.begin(), attach.end(), [&](const std::string& word) {
           return strcasecmp(word.c_str(), stream.c_str()) == 0;
         });
}

Status CheckEnv(const std::string& word) {
  if (!word.empty() && word[0] != '=') return OkStatus();
  return InvalidArgument("invalid environment variable: {}", word);
}

StatusOr<std::vector<std::string>> ReadEnv(const std::vector<std::string>& files,
                                           const std::vector<std::string>& words) {
  std::vector<std::string> all;
  RETURN_IF_ERROR(AddFileLines(files, &all));
  all.insert(all.end(), words.begin(), words.end());
  std::vector<std::string> env;
  for (const std::string& word : all) {
    RETURN_IF_ERROR(CheckEnv(word));
    const char* value = std::getenv(word.c_str());
    if (word.find('=') != std::string::npos) {
      env.push_back(word);
    } else if (value != nullptr) {
      env.push_back(word + "=" + value);
    }
  }
  return env;
}

void AddRunOptions(Command* command, RunOptions* o, bool starts) {
  command->StopAtFirstWord();
  const auto flag = [&](const char* name, bool* value, const char* help) {
    command->Flag(name, value, help);
  };
  const auto text = [&](const char* name, std::string* value, const char* help) {
    command->Option(name, value, help);
  };
  const auto list = [&](const char* name, std::vector<std::string>* value, const char* help,
                        const SetValue& check = nullptr) {
    command->List(name, value, help, check);
  };
  if (starts) {
    flag("-d,--detach", &o->detach, "Run container in background and print container ID");
    flag("--sig-proxy", &o->sig_proxy, "Proxy received signals to the process");
    text("--detach-keys", &o->detach_keys, "Override the key sequence for detaching a container");
  }
  list("-a,--attach", &o->attach, "Attach to STDIN, STDOUT or STDERR", CheckStream);
  flag("-i,--interactive", &o->interactive, "Keep STDIN open even if not attached");
  flag("-t,--tty", &o->tty, "Allocate a pseudo-TTY");
  flag("--rm", &o->remove, "Automatically remove the container when it exits");
  flag("--privileged", &o->privileged, "Give extended privileges to this container");
  flag("--read-only", &o->read_only, "Mount the container's root filesystem as read only");
  flag("-P,--publish-all", &o->publish_all, "Publish all exposed ports to random ports");
  flag("--init", &o->init, "Run an init inside the container");
  flag("-q,--quiet", &o->quiet, "Suppress the pull output");
  flag("--oom-kill-disable", &o->oom_kill_disable, "Disable OOM Killer");
  text("--name", &o->name, "Assign a name to the container");
  text("-h,--hostname", &o->hostname, "Container host name");
  text("--domainname", &o->domainname, "Container NIS domain name");
  text("-u,--user", &o->user, "Username or UID (format: <name|uid>[:<group|gid>])");
  text("-w,--workdir", &o->workdir, "Working directory inside the container");
  text("--network,--net", &o->network, "Connect a container to a network");
  text("--entrypoint", &o->entrypoint, "Overwrite the default ENTRYPOINT of the image");
  text("--restart", &o->restart, "Restart policy to apply when a container exits");
  text("--platform", &o->platform, "Set platform if server is multi-platform capable");
  text("--pull", &o->pull, "Pull image before running (always, missing, never)");
  text("--cidfile", &o->cidfile, "Write the container ID to the file");
  text("--stop-signal", &o->stop_signal, "Signal to stop the container");
  text("--ipc", &o->ipc, "IPC mode to use");
  text("--pid", &o->pid, "PID namespace to use");
  text("--uts", &o->uts, "UTS namespace to use");
  text("--userns", &o->userns, "User namespace to use");
  text("--cgroupns", &o->cgroupns, "Cgroup namespace to use");
  text("--cgroup-parent", &o->cgroup_parent, "Parent cgroup for the container");
  text("--runtime", &o->runtime, "Runtime to use for this container");
  text("--log-driver", &o->log_driver, "Logging driver for the container");
  text("--cpuset-cpus", &o->cpuset_cpus, "CPUs in which to allow execution (0-3, 0,1)");
  text("--cpuset-mems", &o->cpuset_mems, "MEMs in which to allow execution (0-3, 0,1)");
  list("-e,--env", &o->env, "Set environment variables", CheckEnv);
  list("--env-file", &o->env_files, "Read in a file of environment variables");
  list("-l,--label", &o->labels, "Set meta data on a container", CheckLabel);
  list("--label-file", &o->label_files, "Read in a line delimited file of labels");
  list("-p,--publish", &o->publish, "Publish a container's port(s) to the host");
  list("--expose", &o->expose, "Expose a port or a range of ports");
  list("-v,--volume", &o->volumes, "Bind mount a volume");
  list("--mount", &o->mounts, "Attach a filesystem mount to the container", CheckedBy(AddMount));
  list("--tmpfs", &o->tmpfs, "Mount a tmpfs directory");
  list("--cap-add", &o->cap_add, "Add Linux capabilities");
  list("--cap-drop", &o->cap_drop, "Drop Linux capabilities");
  list("--dns", &o->dns, "Set custom DNS servers", CheckAddress);
  list("--dns-search", &o->dns_search, "Set custom DNS search domains", CheckSearchDomain);
  list("--dns-option,--dns-opt", &o->dns_options, "Set DNS options");
  list("--add-host", &o->add_hosts, "Add a custom host-to-IP mapping (host:ip)", CheckExtraHost);
  list("--group-add", &o->group_add, "Add additional groups to join");
  list("--security-opt", &o->security_opt, "Security Options");
  list("--sysctl", &o->sysctls, "Sysctl options", CheckSysctl);
  list("--device", &o->devices, "Add a host device to the container");
  list("--ulimit", &o->ulimits, "Ulimit options", CheckedBy(AddUlimit));
  list("--log-opt", &o->log_opts, "Log driver options");
  list("--volumes-from", &o->volumes_from, "Mount volumes from the specified container(s)");
  command->Parsed("-m,--memory", "bytes", Bytes(&o->memory), "Memory limit");
  command->Parsed("--memory-swap", "bytes", Bytes(&o->memory_swap, true),
                  "Swap limit equal to memory plus swap: '-1' to enable unlimited swap");
  command->Parsed("--memory-reservation", "bytes", Bytes(&o->memory_reservation),
                  "Memory soft limit");
  command->Parsed("--shm-size", "bytes", Bytes(&o->shm_size), "Size of /dev/shm");
  command->Parsed(
      "--cpus", "decimal", [o](const std::string& value) { return SetCpus(value, &o->nano_cpus); },
      "Number of CPUs");
  command->Option("-c,--cpu-shares", &o->cpu_shares, "CPU shares (relative weight)");
  command->Option("--cpu-period", &o->cpu_period,
                  "Limit CPU CFS (Completely Fair Scheduler) period");
  command->Option("--cpu-quota", &o->cpu_quota, "Limit CPU CFS (Completely Fair Scheduler) quota");
  command->Option("--pids-limit", &o->pids_limit,
                  "Tune container pids limit (set -1 for unlimited)");
  command->Option("--stop-timeout", &o->stop_timeout, "Timeout (in seconds) to stop a container");
  command->Option("--oom-score-adj", &o->oom_score_adj,
                  "Tune host's OOM preferences (-1000 to 1000)");
  command->Option("--blkio-weight", &o->blkio_weight,
                  "Block IO (relative weight), between 10 and 1000, or 0 to disable");
  command->Option("--memory-swappiness", &o->memory_swappiness,
                  "Tune container memory swappiness (0 to 100)");
}

StatusOr<ocid::v1::CreateContainerRequest> BuildCreateRequest(const Command& command,
                                                              const RunOptions& options) {
  ocid::v1::CreateContainerRequest request;
  request.set_name(options.name);
  request.set_platform(options.platform);
  RETURN_IF_ERROR(FillConfig(command, options, request.mutable_config()));
  RETURN_IF_ERROR(
      FillHost(command, options, request.mutable_config(), request.mutable_host_config()));
  request.mutable_host_config()->mutable_volumes_from()->Add(options.volumes_from.begin(),
                                                             options.volumes_from.end());
  return request;
}

}  // namespace ocirun::ctl
