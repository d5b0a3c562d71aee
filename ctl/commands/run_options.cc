// SPDX-License-Identifier: Apache-2.0
#include "ctl/commands/run_options.h"

#include <algorithm>
#include <charconv>
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

// Lines NAME=VALUE or NAME (from our environment) of --env-file and --label-file.
Status AddFileLines(const std::vector<std::string>& files, std::vector<std::string>* words) {
  for (const std::string& file : files) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      const size_t begin = line.find_first_not_of(" \t");
      if (begin != std::string::npos && line[begin] != '#') words->push_back(line.substr(begin));
    }
  }
  return absl::OkStatus();
}

Status AddEnv(const RunOptions& options, ContainerConfig* config) {
  std::vector<std::string> words;
  RETURN_IF_ERROR(AddFileLines(options.env_files, &words));
  words.insert(words.end(), options.env.begin(), options.env.end());
  for (const std::string& word : words) {
    if (word.empty() || word[0] == '=') {
      return InvalidArgument(
          "invalid argument \"{}\" for \"-e, --env\" flag: invalid environment "
          "variable: {}",
          word, word);
    }
    if (word.find('=') != std::string::npos) {
      config->add_env(word);
    } else if (const char* value = std::getenv(word.c_str()); value != nullptr) {
      config->add_env(word + "=" + value);
    }
  }
  return absl::OkStatus();
}

// [IP:][HOST[-END]:]CONTAINER[-END][/PROTO]
Status AddPublish(const std::string& text, ContainerConfig* config, HostConfig* host) {
  const size_t slash = text.find('/');
  const std::string protocol = slash == std::string::npos ? "tcp" : text.substr(slash + 1);
  const std::vector<std::string> parts = Split(text.substr(0, slash), ':');
  const auto bad = [&](const char* what) {
    return InvalidArgument("invalid argument \"{}\" for \"-p, --publish\" flag: {}: {}", text, what,
                           parts.back());
  };
  if (parts.size() > 3 || parts.back().empty()) return bad("invalid containerPort");
  const std::string host_port = parts.size() > 1 ? parts[parts.size() - 2] : "";
  const auto range = [](const std::string& word) -> std::pair<int, int> {
    const size_t dash = word.find('-');
    const auto number = [](const std::string& digits) {
      int value = -1;
      const auto r = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      return r.ptr == digits.data() + digits.size() && value <= 65535 ? value : -1;
    };
    const int first = number(word.substr(0, dash));
    return {first, dash == std::string::npos ? first : number(word.substr(dash + 1))};
  };
  const auto [first, last] = range(parts.back());
  if (first <= 0 || last < first) return bad("invalid containerPort");
  std::pair<int, int> on_host = {0, 0};
  if (!host_port.empty()) on_host = range(host_port);
  if (on_host.first < 0 || on_host.second < on_host.first) return bad("invalid hostPort");
  const bool one_to_one = on_host.second - on_host.first == last - first;
  if (!host_port.empty() && !one_to_one && first != last) {
    return bad("invalid ranges specified for container and host Ports");
  }
  for (int port = first; port <= last; ++port) {
    auto* binding = host->add_port_bindings();
    binding->set_container_port(fmt::format("{}/{}", port, protocol));
    config->add_exposed_ports(binding->container_port());
    if (parts.size() == 3) binding->set_host_ip(parts[0]);
    if (host_port.empty()) continue;
    binding->set_host_port(one_to_one ? std::to_string(on_host.first + port - first) : host_port);
  }
  return absl::OkStatus();
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
  if (parts.size() < 3) return absl::OkStatus();
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
  return absl::OkStatus();
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
      return InvalidArgument("invalid argument \"{}\" for \"--mount\" flag: unexpected key '{}'",
                             text, key);
    }
  }
  if (mount->target().empty()) {
    return InvalidArgument("invalid argument \"{}\" for \"--mount\" flag: target is required",
                           text);
  }
  return absl::OkStatus();
}

void AddTmpfs(const std::string& text, HostConfig* host) {
  const size_t colon = text.find(':');
  auto* mount = host->add_mounts();
  mount->set_type("tmpfs");
  mount->set_target(text.substr(0, colon));
  if (colon == std::string::npos) return;
  for (const std::string& word : Split(text.substr(colon + 1), ',')) mount->add_options(word);
}

Status AddUlimit(const std::string& text, HostConfig* host) {
  const size_t equals = text.find('=');
  const std::vector<std::string> values =
      Split(equals == std::string::npos ? "" : text.substr(equals + 1), ':');
  auto* limit = host->add_ulimits();
  limit->set_name(text.substr(0, equals));
  char* end = nullptr;
  limit->set_soft(std::strtoll(values[0].c_str(), &end, 10));
  if (values[0].empty() || *end != '\0')
    return InvalidArgument("invalid ulimit argument: {}", text);
  limit->set_hard(values.size() > 1 ? std::strtoll(values[1].c_str(), nullptr, 10) : limit->soft());
  return absl::OkStatus();
}

Status AddRestart(const std::string& text, HostConfig* host) {
  const size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  if (name != "no" && name != "always" && name != "unless-stopped" && name != "on-failure") {
    return InvalidArgument(
        "invalid restart policy: unknown policy '{}'; use one of 'no', 'always', "
        "'on-failure', or 'unless-stopped'",
        name);
  }
  host->mutable_restart_policy()->set_name(name);
  if (colon != std::string::npos) {
    host->mutable_restart_policy()->set_maximum_retry_count(
        static_cast<uint32_t>(std::strtoul(text.c_str() + colon + 1, nullptr, 10)));
  }
  return absl::OkStatus();
}

Status SetBytes(const std::string& text, const std::function<void(int64_t)>& set) {
  if (text.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int64_t bytes, ParseBytes(text));
  set(bytes);
  return absl::OkStatus();
}

template <typename Map>
void AddPairs(const std::vector<std::string>& words, Map* map) {
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    (*map)[word.substr(0, equals)] = equals == std::string::npos ? "" : word.substr(equals + 1);
  }
}

Status FillConfig(const CLI::App& command, const RunOptions& options, ContainerConfig* config) {
  config->set_image(options.words[0]);
  config->mutable_cmd()->Add(options.words.begin() + 1, options.words.end());
  config->set_hostname(options.hostname);
  config->set_domainname(options.domainname);
  config->set_user(options.user);
  config->set_working_dir(options.workdir);
  config->set_tty(options.tty);
  config->set_open_stdin(options.interactive);
  config->set_stdin_once(options.interactive && !options.detach);
  config->set_attach_stdin(options.interactive && !options.detach);
  config->set_attach_stdout(!options.detach);
  config->set_attach_stderr(!options.detach);
  config->set_stop_signal(options.stop_signal);
  if (command.count("--stop-timeout") > 0) config->set_stop_timeout_seconds(options.stop_timeout);
  if (command.count("--entrypoint") > 0) {
    config->set_entrypoint_set(true);
    if (!options.entrypoint.empty()) config->add_entrypoint(options.entrypoint);
  }
  for (const std::string& port : options.expose) {
    config->add_exposed_ports(port.find('/') == std::string::npos ? port + "/tcp" : port);
  }
  std::vector<std::string> labels;
  RETURN_IF_ERROR(AddFileLines(options.label_files, &labels));
  labels.insert(labels.end(), options.labels.begin(), options.labels.end());
  AddPairs(labels, config->mutable_labels());
  return AddEnv(options, config);
}

Status FillHost(const CLI::App& command, const RunOptions& options, ContainerConfig* config,
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
  host->set_blkio_weight(options.blkio_weight);
  if (command.count("--pids-limit") > 0) host->set_pids_limit(options.pids_limit);
  if (command.count("--memory-swappiness") > 0) {
    host->set_memory_swappiness(options.memory_swappiness);
  }
  if (!options.cpus.empty()) {
    char* end = nullptr;
    const double cpus = std::strtod(options.cpus.c_str(), &end);
    if (*end != '\0' || cpus <= 0) {
      return InvalidArgument("invalid argument \"{}\" for \"--cpus\" flag: not a number of CPUs",
                             options.cpus);
    }
    host->set_nano_cpus(static_cast<int64_t>(cpus * 1e9));
  }
  RETURN_IF_ERROR(SetBytes(options.memory, [&](int64_t n) { host->set_memory(n); }));
  RETURN_IF_ERROR(SetBytes(options.memory_swap, [&](int64_t n) { host->set_memory_swap(n); }));
  RETURN_IF_ERROR(
      SetBytes(options.memory_reservation, [&](int64_t n) { host->set_memory_reservation(n); }));
  RETURN_IF_ERROR(
      SetBytes(options.shm_size, [&](int64_t n) { host->set_shm_size(static_cast<uint64_t>(n)); }));
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
  return absl::OkStatus();
}

}  // namespace

void AddRunOptions(CLI::App* command, const std::shared_ptr<RunOptions>& o) {
  command->prefix_command();
  const auto flag = [&](const char* name, bool* value, const char* help) {
    command->add_flag(name, *value, help);
  };
  const auto text = [&](const char* name, std::string* value, const char* help) {
    command->add_option(name, *value, help);
  };
  const auto list = [&](const char* name, std::vector<std::string>* value, const char* help) {
    command->add_option(name, *value, help)->allow_extra_args(false);
  };
  flag("-d,--detach", &o->detach, "Run container in background and print container ID");
  flag("-i,--interactive", &o->interactive, "Keep STDIN open even if not attached");
  flag("-t,--tty", &o->tty, "Allocate a pseudo-TTY");
  flag("--rm", &o->remove, "Automatically remove the container when it exits");
  flag("--privileged", &o->privileged, "Give extended privileges to this container");
  flag("--read-only", &o->read_only, "Mount the container's root filesystem as read only");
  flag("-P,--publish-all", &o->publish_all, "Publish all exposed ports to random ports");
  flag("--init", &o->init, "Run an init inside the container");
  flag("-q,--quiet", &o->quiet, "Suppress the pull output");
  flag("--sig-proxy", &o->sig_proxy, "Proxy received signals to the process");
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
  text("--detach-keys", &o->detach_keys, "Override the key sequence for detaching");
  text("--stop-signal", &o->stop_signal, "Signal to stop the container");
  text("--ipc", &o->ipc, "IPC mode to use");
  text("--pid", &o->pid, "PID namespace to use");
  text("--uts", &o->uts, "UTS namespace to use");
  text("--userns", &o->userns, "User namespace to use");
  text("--cgroupns", &o->cgroupns, "Cgroup namespace to use");
  text("--cgroup-parent", &o->cgroup_parent, "Parent cgroup for the container");
  text("--runtime", &o->runtime, "Runtime to use for this container");
  text("--log-driver", &o->log_driver, "Logging driver for the container");
  text("-m,--memory", &o->memory, "Memory limit");
  text("--memory-swap", &o->memory_swap, "Swap limit equal to memory plus swap: '-1' to unlimit");
  text("--memory-reservation", &o->memory_reservation, "Memory soft limit");
  text("--cpus", &o->cpus, "Number of CPUs");
  text("--cpuset-cpus", &o->cpuset_cpus, "CPUs in which to allow execution (0-3, 0,1)");
  text("--cpuset-mems", &o->cpuset_mems, "MEMs in which to allow execution (0-3, 0,1)");
  text("--shm-size", &o->shm_size, "Size of /dev/shm");
  list("-e,--env", &o->env, "Set environment variables");
  list("--env-file", &o->env_files, "Read in a file of environment variables");
  list("-l,--label", &o->labels, "Set meta data on a container");
  list("--label-file", &o->label_files, "Read in a line delimited file of labels");
  list("-p,--publish", &o->publish, "Publish a container's port(s) to the host");
  list("--expose", &o->expose, "Expose a port or a range of ports");
  list("-v,--volume", &o->volumes, "Bind mount a volume");
  list("--mount", &o->mounts, "Attach a filesystem mount to the container");
  list("--tmpfs", &o->tmpfs, "Mount a tmpfs directory");
  list("--cap-add", &o->cap_add, "Add Linux capabilities");
  list("--cap-drop", &o->cap_drop, "Drop Linux capabilities");
  list("--dns", &o->dns, "Set custom DNS servers");
  list("--dns-search", &o->dns_search, "Set custom DNS search domains");
  list("--dns-option,--dns-opt", &o->dns_options, "Set DNS options");
  list("--add-host", &o->add_hosts, "Add a custom host-to-IP mapping (host:ip)");
  list("--group-add", &o->group_add, "Add additional groups to join");
  list("--security-opt", &o->security_opt, "Security Options");
  list("--sysctl", &o->sysctls, "Sysctl options");
  list("--device", &o->devices, "Add a host device to the container");
  list("--ulimit", &o->ulimits, "Ulimit options");
  list("--log-opt", &o->log_opts, "Log driver options");
  list("--volumes-from", &o->volumes_from, "Mount volumes from the specified container(s)");
  command->add_option("-c,--cpu-shares", o->cpu_shares, "CPU shares (relative weight)");
  command->add_option("--cpu-period", o->cpu_period, "Limit CPU CFS period");
  command->add_option("--cpu-quota", o->cpu_quota, "Limit CPU CFS quota");
  command->add_option("--pids-limit", o->pids_limit, "Tune container pids limit");
  command->add_option("--stop-timeout", o->stop_timeout,
                      "Timeout (in seconds) to stop a container");
  command->add_option("--oom-score-adj", o->oom_score_adj, "Tune host's OOM preferences");
  command->add_option("--blkio-weight", o->blkio_weight, "Block IO (relative weight)");
  command->add_option("--memory-swappiness", o->memory_swappiness, "Tune memory swappiness");
}

StatusOr<ocid::v1::CreateContainerRequest> BuildCreateRequest(const CLI::App& command,
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
