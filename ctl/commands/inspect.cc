// SPDX-License-Identifier: Apache-2.0
//
// inspect: containers and images as Docker's API shows them.
#include <algorithm>
#include <map>

#include "ctl/commands/commands.h"
#include "ctl/output/template.h"
#include "ctl/output/units.h"

namespace ocirun::ctl {
namespace {

using ocid::v1::Container;
using ocid::v1::ContainerState;
using ocid::v1::Image;
using Words = google::protobuf::RepeatedPtrField<std::string>;

OrderedJson ListOf(const Words& words) {
  return std::vector<std::string>(words.begin(), words.end());
}
OrderedJson ListOrNull(const Words& words) { return words.empty() ? OrderedJson() : ListOf(words); }
OrderedJson SetOrNull(const Words& words) {
  OrderedJson set;
  for (const std::string& word : words) set[word] = OrderedJson::object();
  return set;
}
template <typename Map>
OrderedJson MapOf(const Map& map) {
  std::map<std::string, std::string> sorted(map.begin(), map.end());
  OrderedJson object = OrderedJson::object();
  for (const auto& [key, value] : sorted) object[key] = value;
  return object;
}

OrderedJson StateOf(const ContainerState& state) {
  const auto is = [&](ContainerState::Status status) { return state.status() == status; };
  const bool paused = is(ContainerState::STATUS_PAUSED);
  const bool restarting = is(ContainerState::STATUS_RESTARTING);
  const char* word = is(ContainerState::STATUS_RUNNING)  ? "running"
                     : paused                            ? "paused"
                     : restarting                        ? "restarting"
                     : is(ContainerState::STATUS_EXITED) ? "exited"
                                                         : "created";
  return {{"Status", word},
          {"Running", is(ContainerState::STATUS_RUNNING) || paused || restarting},
          {"Paused", paused},
          {"Restarting", restarting},
          {"OOMKilled", state.oom_killed()},
          {"Dead", is(ContainerState::STATUS_DEAD)},
          {"Pid", state.pid()},
          {"ExitCode", state.exit_code()},
          {"Error", state.error()},
          {"StartedAt", TimeText(state.started_at())},
          {"FinishedAt", TimeText(state.finished_at())}};
}

OrderedJson BindingsOf(const google::protobuf::RepeatedPtrField<ocid::v1::PortBinding>& bindings) {
  std::map<std::string, OrderedJson> sorted;  // as encoding/json does with Go's map
  for (const auto& binding : bindings) {
    sorted[binding.container_port()].push_back(
        {{"HostIp", binding.host_ip()}, {"HostPort", binding.host_port()}});
  }
  OrderedJson object = OrderedJson::object();
  for (const auto& [port, list] : sorted) object[port] = list;
  return object;
}

OrderedJson MountsOfHost(const ocid::v1::HostConfig& host) {
  OrderedJson devices = OrderedJson::array();
  for (const auto& device : host.devices()) {
    devices.push_back({{"PathOnHost", device.path_on_host()},
                       {"PathInContainer", device.path_in_container()},
                       {"CgroupPermissions", device.cgroup_permissions()}});
  }
  return devices;
}

OrderedJson UlimitsOf(const ocid::v1::HostConfig& host) {
  OrderedJson limits;
  for (const auto& limit : host.ulimits()) {
    limits.push_back({{"Name", limit.name()}, {"Hard", limit.hard()}, {"Soft", limit.soft()}});
  }
  return limits;
}

const std::vector<std::string> kMaskedPaths = {
    "/proc/asound",     "/proc/acpi",        "/proc/interrupts",
    "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};
const std::vector<std::string> kReadonlyPaths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                                 "/proc/sysrq-trigger"};

OrderedJson HostConfigOf(const Container& record) {
  const auto& host = record.host_config();
  const auto null = OrderedJson();
  OrderedJson policy = {{"Name", host.restart_policy().name()},
                        {"MaximumRetryCount", host.restart_policy().maximum_retry_count()}};
  OrderedJson log = {{"Type", host.log_config().type()},
                     {"Config", MapOf(host.log_config().options())}};
  const std::string ipc = host.ipc_mode().empty() ? "private" : host.ipc_mode();
  const std::string cgroupns = host.cgroupns_mode().empty() ? "host" : host.cgroupns_mode();
  OrderedJson o;
  o["Binds"] = ListOrNull(host.binds());
  o["ContainerIDFile"] = host.container_id_file();
  o["LogConfig"] = log;
  o["NetworkMode"] = host.network_mode();
  o["PortBindings"] = BindingsOf(host.port_bindings());
  o["RestartPolicy"] = policy;
  o["AutoRemove"] = host.auto_remove();
  o["VolumeDriver"] = "";
  o["VolumesFrom"] = ListOrNull(host.volumes_from());
  o["CapAdd"] = ListOrNull(host.cap_add());
  o["CapDrop"] = ListOrNull(host.cap_drop());
  o["CgroupnsMode"] = cgroupns;
  o["Dns"] = ListOf(host.dns());
  o["DnsOptions"] = ListOf(host.dns_options());
  o["DnsSearch"] = ListOf(host.dns_search());
  o["ExtraHosts"] = ListOrNull(host.extra_hosts());
  o["GroupAdd"] = ListOrNull(host.group_add());
  o["IpcMode"] = ipc;
  o["Cgroup"] = "";
  o["Links"] = null;
  o["OomScoreAdj"] = host.oom_score_adj();
  o["PidMode"] = host.pid_mode();
  o["Privileged"] = host.privileged();
  o["PublishAllPorts"] = host.publish_all_ports();
  o["ReadonlyRootfs"] = host.readonly_rootfs();
  o["SecurityOpt"] = ListOrNull(host.security_opt());
  o["UTSMode"] = host.uts_mode();
  o["UsernsMode"] = host.userns_mode();
  o["ShmSize"] = host.shm_size();
  o["Runtime"] = record.runtime();
  o["ConsoleSize"] = {0, 0};
  o["Isolation"] = "";
  o["CpuShares"] = host.cpu_shares();
  o["Memory"] = host.memory();
  o["NanoCpus"] = host.nano_cpus();
  o["CgroupParent"] = host.cgroup_parent();
  o["BlkioWeight"] = host.blkio_weight();
  o["BlkioWeightDevice"] = OrderedJson::array();
  o["BlkioDeviceReadBps"] = null;
  o["BlkioDeviceWriteBps"] = null;
  o["BlkioDeviceReadIOps"] = null;
  o["BlkioDeviceWriteIOps"] = null;
  o["CpuPeriod"] = host.cpu_period();
  o["CpuQuota"] = host.cpu_quota();
  o["CpuRealtimePeriod"] = 0;
  o["CpuRealtimeRuntime"] = 0;
  o["CpusetCpus"] = host.cpuset_cpus();
  o["CpusetMems"] = host.cpuset_mems();
  o["Devices"] = MountsOfHost(host);
  o["DeviceCgroupRules"] = null;
  o["DeviceRequests"] = null;
  o["KernelMemory"] = 0;
  o["KernelMemoryTCP"] = 0;
  o["MemoryReservation"] = host.memory_reservation();
  o["MemorySwap"] =
      host.memory_swap() == 0 && host.memory() > 0 ? 2 * host.memory() : host.memory_swap();
  o["MemorySwappiness"] =
      host.has_memory_swappiness() ? OrderedJson(host.memory_swappiness()) : null;
  o["OomKillDisable"] = host.oom_kill_disable();
  o["PidsLimit"] = host.has_pids_limit() ? OrderedJson(host.pids_limit()) : null;
  o["Ulimits"] = UlimitsOf(host);
  o["CpuCount"] = 0;
  o["CpuPercent"] = 0;
  o["IOMaximumIOps"] = 0;
  o["IOMaximumBandwidth"] = 0;
  const bool masked = !host.privileged();
  o["MaskedPaths"] = masked ? OrderedJson(kMaskedPaths) : null;
  o["ReadonlyPaths"] = masked ? OrderedJson(kReadonlyPaths) : null;
  return o;
}

OrderedJson ConfigOf(const Container& record) {
  const auto& config = record.config();
  OrderedJson o;
  o["Hostname"] = config.hostname();
  o["Domainname"] = config.domainname();
  o["User"] = config.user();
  o["AttachStdin"] = config.attach_stdin();
  o["AttachStdout"] = config.attach_stdout();
  o["AttachStderr"] = config.attach_stderr();
  if (config.exposed_ports_size() > 0) o["ExposedPorts"] = SetOrNull(config.exposed_ports());
  o["Tty"] = config.tty();
  o["OpenStdin"] = config.open_stdin();
  o["StdinOnce"] = config.stdin_once();
  o["Env"] = ListOf(config.env());
  o["Cmd"] = ListOrNull(config.cmd());
  o["Image"] = config.image();
  o["Volumes"] = SetOrNull(config.volumes());
  o["WorkingDir"] = config.working_dir();
  o["Entrypoint"] = ListOrNull(config.entrypoint());
  o["OnBuild"] = OrderedJson();
  o["Labels"] = MapOf(config.labels());
  if (!config.stop_signal().empty()) o["StopSignal"] = config.stop_signal();
  if (config.has_stop_timeout_seconds()) o["StopTimeout"] = config.stop_timeout_seconds();
  return o;
}

OrderedJson EndpointOf(const ocid::v1::NetworkEndpoint& endpoint) {
  return {{"IPAMConfig", nullptr},
          {"Links", nullptr},
          {"Aliases", ListOrNull(endpoint.aliases())},
          {"NetworkID", endpoint.network_id()},
          {"EndpointID", endpoint.endpoint_id()},
          {"Gateway", endpoint.gateway()},
          {"IPAddress", endpoint.ip_address()},
          {"IPPrefixLen", endpoint.ip_prefix_length()},
          {"IPv6Gateway", ""},
          {"GlobalIPv6Address", ""},
          {"GlobalIPv6PrefixLen", 0},
          {"MacAddress", endpoint.mac_address()},
          {"DriverOpts", nullptr}};
}

OrderedJson NetworkOf(const Container& record) {
  const ocid::v1::NetworkEndpoint none;
  const bool bridged = record.networks_size() > 0 && record.networks(0).network() == "bridge";
  const auto& bridge = bridged ? record.networks(0) : none;
  OrderedJson ports = BindingsOf(record.ports());
  if (record.state().pid() != 0) {
    for (const std::string& port : record.config().exposed_ports()) {
      if (!ports.contains(port)) ports[port] = nullptr;
    }
  }
  OrderedJson networks = OrderedJson::object();
  for (const auto& endpoint : record.networks())
    networks[endpoint.network()] = EndpointOf(endpoint);
  return {{"Bridge", ""},
          {"SandboxID", record.sandbox_id()},
          {"HairpinMode", false},
          {"LinkLocalIPv6Address", ""},
          {"LinkLocalIPv6PrefixLen", 0},
          {"Ports", ports},
          {"SandboxKey", record.sandbox_key()},
          {"SecondaryIPAddresses", nullptr},
          {"SecondaryIPv6Addresses", nullptr},
          {"EndpointID", bridge.endpoint_id()},
          {"Gateway", bridge.gateway()},
          {"GlobalIPv6Address", ""},
          {"GlobalIPv6PrefixLen", 0},
          {"IPAddress", bridge.ip_address()},
          {"IPPrefixLen", bridge.ip_prefix_length()},
          {"IPv6Gateway", ""},
          {"MacAddress", bridge.mac_address()},
          {"Networks", networks}};
}

OrderedJson ContainerJson(const Container& record) {
  OrderedJson o;
  o["Id"] = record.id();
  o["Created"] = TimeText(record.created());
  o["Path"] = record.path();
  o["Args"] = ListOf(record.args());
  o["State"] = StateOf(record.state());
  o["Image"] = record.image_id();
  o["ResolvConfPath"] = record.resolv_conf_path();
  o["HostnamePath"] = record.hostname_path();
  o["HostsPath"] = record.hosts_path();
  o["LogPath"] = record.log_path();
  o["Name"] = "/" + record.name();
  o["RestartCount"] = record.state().restart_count();
  o["Driver"] = "overlay2";
  o["Platform"] = "linux";
  o["MountLabel"] = "";
  o["ProcessLabel"] = "";
  o["AppArmorProfile"] = record.app_armor_profile();
  o["ExecIDs"] = ListOrNull(record.exec_ids());
  o["HostConfig"] = HostConfigOf(record);
  o["GraphDriver"] = {{"Data",
                       {{"LowerDir", record.lower_dir()},
                        {"MergedDir", record.merged_dir()},
                        {"UpperDir", record.upper_dir()},
                        {"WorkDir", record.work_dir()}}},
                      {"Name", "overlay2"}};
  if (record.has_size_rw()) o["SizeRw"] = record.size_rw();
  if (record.has_size_root_fs()) o["SizeRootFs"] = record.size_root_fs();
  OrderedJson mounts = OrderedJson::array();
  for (const auto& mount : record.mounts()) {
    mounts.push_back({{"Type", mount.type()},
                      {"Source", mount.source()},
                      {"Destination", mount.destination()},
                      {"Mode", mount.mode()},
                      {"RW", mount.rw()},
                      {"Propagation", mount.propagation()}});
  }
  o["Mounts"] = mounts;
  o["Config"] = ConfigOf(record);
  o["NetworkSettings"] = NetworkOf(record);
  return o;
}

OrderedJson ImageConfigOf(const Image& image) {
  OrderedJson config;
  config["Hostname"] = "";
  config["Domainname"] = "";
  config["User"] = image.config().user();
  for (const char* no : {"AttachStdin", "AttachStdout", "AttachStderr"}) config[no] = false;
  if (image.config().exposed_ports_size() > 0) {
    config["ExposedPorts"] = SetOrNull(image.config().exposed_ports());
  }
  for (const char* no : {"Tty", "OpenStdin", "StdinOnce"}) config[no] = false;
  config["Env"] = ListOf(image.config().env());
  config["Cmd"] = ListOrNull(image.config().cmd());
  config["Image"] = "";
  config["Volumes"] = SetOrNull(image.config().volumes());
  config["WorkingDir"] = image.config().working_dir();
  config["Entrypoint"] = ListOrNull(image.config().entrypoint());
  config["OnBuild"] = ListOrNull(image.config().on_build());
  config["Labels"] =
      image.config().labels().empty() ? OrderedJson() : MapOf(image.config().labels());
  if (!image.config().stop_signal().empty()) config["StopSignal"] = image.config().stop_signal();
  return config;
}

// Of the container that an image was committed from. Images are only pulled here, and the daemon
// keeps no such record of them: as Docker shows one that was built without.
OrderedJson NoContainerConfig() {
  OrderedJson config;
  for (const char* key : {"Hostname", "Domainname", "User"}) config[key] = "";
  for (const char* key :
       {"AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"}) {
    config[key] = false;
  }
  config["Env"] = nullptr;
  config["Cmd"] = nullptr;
  config["Image"] = "";
  config["Volumes"] = nullptr;
  config["WorkingDir"] = "";
  for (const char* key : {"Entrypoint", "OnBuild", "Labels"}) config[key] = nullptr;
  return config;
}

OrderedJson ImageJson(const Image& image) {
  std::string lower;
  for (int i = image.layer_folders_size() - 2; i >= 0; --i) {
    lower += (lower.empty() ? "" : ":") + image.layer_folders(i);
  }
  OrderedJson data;
  if (!lower.empty()) data["LowerDir"] = lower;
  if (image.layer_folders_size() > 0) {
    data["UpperDir"] = image.layer_folders(image.layer_folders_size() - 1);
  }
  OrderedJson o;
  o["Id"] = image.id();
  o["RepoTags"] = ListOf(image.repo_tags());
  o["RepoDigests"] = ListOf(image.repo_digests());
  o["Parent"] = image.parent();
  o["Comment"] = image.comment();
  o["Created"] = TimeText(image.created());
  o["Container"] = "";
  o["ContainerConfig"] = NoContainerConfig();
  o["DockerVersion"] = image.docker_version();
  o["Author"] = image.author();
  o["Config"] = ImageConfigOf(image);
  o["Architecture"] = image.architecture();
  if (!image.variant().empty()) o["Variant"] = image.variant();
  o["Os"] = image.os();
  o["Size"] = image.size();
  o["VirtualSize"] = image.size();
  o["GraphDriver"] = {{"Data", data}, {"Name", "overlay2"}};
  o["RootFS"] = {{"Type", "layers"}, {"Layers", ListOf(image.diff_ids())}};
  o["Metadata"] = {{"LastTagTime", TimeText(image.last_tagged())}};
  return o;
}

struct InspectOptions {
  std::vector<std::string> names;
  std::string format, type;
  bool size = false;
};

StatusOr<OrderedJson> InspectOne(Session* session, const std::string& name,
                                 const InspectOptions& options) {
  if (options.type != "image") {
    ocid::v1::GetContainerRequest request;
    request.set_container(name);
    request.set_size(options.size);
    Container record;
    grpc::ClientContext context;
    const Status status =
        session->Check(session->containers().GetContainer(&context, request, &record));
    if (status.ok()) return ContainerJson(record);
    if (status.code() != StatusCode::kNotFound) return status;
    if (options.type == "container") return NotFound("Error: No such container: {}", name);
  }
  ocid::v1::GetImageRequest request;
  request.set_image(name);
  Image image;
  grpc::ClientContext context;
  const Status status = session->Check(session->images().GetImage(&context, request, &image));
  if (status.ok()) return ImageJson(image);
  if (status.code() != StatusCode::kNotFound) return status;
  return NotFound("Error: No such {}: {}", options.type.empty() ? "object" : options.type, name);
}

int RunInspect(Session* session, const InspectOptions& options) {
  if (!options.type.empty() && options.type != "image" && options.type != "container") {
    return FailHere(fmt::format("\"{}\" is not a valid value for --type", options.type));
  }
  const bool plain = options.format.empty() || options.format == "json";
  const auto parsed = Template::Parse(plain ? "" : options.format);
  if (!parsed.ok()) return FailHere(MessageOf(parsed.status()), kBadTemplate);
  OrderedJson found = OrderedJson::array();
  std::vector<Status> errors;
  for (const std::string& name : options.names) {
    StatusOr<OrderedJson> one = InspectOne(session, name, options);
    if (one.ok()) found.push_back(*std::move(one));
    if (!one.ok()) errors.push_back(one.status());
  }
  int code = 0;
  if (plain) {
    fmt::print("{}\n", options.format.empty() ? found.dump(4) : found.dump());
  } else {
    std::string out;
    for (const OrderedJson& one : found) {
      const auto text = parsed->Execute(one);
      if (text.ok()) out += *text + "\n";
      if (!text.ok()) errors.push_back(text.status());
    }
    fmt::print("{}", out.empty() ? "\n" : out);
  }
  for (const Status& error : errors) code = Fail(error);
  return code;
}

}  // namespace

void AddInspectCommand(Command* app, Session* session) {
  auto options = std::make_shared<InspectOptions>();
  const bool image = app->name() == "image";
  const bool container = app->name() == "container";
  const char* usage = image       ? "[OPTIONS] IMAGE [IMAGE...]"
                      : container ? "[OPTIONS] CONTAINER [CONTAINER...]"
                                  : "[OPTIONS] NAME|ID [NAME|ID...]";
  const char* about = image       ? "Display detailed information on one or more images"
                      : container ? "Display detailed information on one or more containers"
                                  : "Return low-level information on objects";
  Command* inspect = app->Add("inspect", usage, about, {1, Arity::kAny});
  inspect->Option("-f,--format", &options->format, "Format the output using the given Go template");
  if (!image) {
    inspect->Flag("-s,--size", &options->size, "Display total file sizes of containers");
  }
  if (image || container) {
    options->type = app->name();
  } else {
    inspect->Option("--type", &options->type, "Return JSON for specified type");
  }
  inspect->run = [=] {
    options->names = inspect->words();
    return RunInspect(session, *options);
  };
}

}  // namespace ocirun::ctl
