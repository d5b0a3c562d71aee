// SPDX-License-Identifier: Apache-2.0
//
// Making a container: what the client asked for over what the image says.
#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/file.h"
#include "base/random.h"
#include "base/sys/file.h"
#include "manager/container/check.h"
#include "manager/container/log_options.h"
#include "manager/container/manager.h"
#include "manager/container/spec_builder.h"

namespace ocirun::container {
namespace {

using ocid::v1::Container;
using ocid::v1::ContainerConfig;
using ocid::v1::CreateContainerRequest;
using ocid::v1::ImageConfig;

// A variable of the client over the image's of the same name.
void MergeEnv(const ImageConfig& image, ContainerConfig* config) {
  std::vector<std::string> merged(image.env().begin(), image.env().end());
  for (const std::string& word : config->env()) {
    const std::string name = word.substr(0, word.find('=') + 1);
    const auto same = std::find_if(merged.begin(), merged.end(), [&](const std::string& old) {
      return old.starts_with(name) && !name.empty();
    });
    if (same != merged.end()) {
      *same = word;
    } else {
      merged.push_back(word);
    }
  }
  config->clear_env();
  config->mutable_env()->Add(merged.begin(), merged.end());
}

void MergeImage(const ImageConfig& image, ContainerConfig* config) {
  MergeEnv(image, config);
  if (config->user().empty()) config->set_user(image.user());
  if (config->working_dir().empty()) config->set_working_dir(image.working_dir());
  if (config->stop_signal().empty()) config->set_stop_signal(image.stop_signal());
  if (!config->entrypoint_set() && config->entrypoint().empty()) {
    if (config->cmd().empty()) *config->mutable_cmd() = image.cmd();
    *config->mutable_entrypoint() = image.entrypoint();
  }
  for (const auto& [name, value] : image.labels()) {
    if (!config->labels().contains(name)) (*config->mutable_labels())[name] = value;
  }
  for (const std::string& port : image.exposed_ports()) {
    const auto& ports = config->exposed_ports();
    if (std::find(ports.begin(), ports.end(), port) == ports.end()) config->add_exposed_ports(port);
  }
}

std::string HostName() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

StatusOr<uint16_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), port);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size() || port == 0) {
    return InvalidArgument("invalid port specification: \"{}\"", text);
  }
  return port;
}

Status CheckBinds(ocid::v1::HostConfig* host) {
  for (auto& mount : *host->mutable_mounts()) {
    if (mount.target() == "/") {
      return InvalidArgument("invalid specification: destination can't be '/'");
    }
    if (mount.type() != "bind") continue;
    if (!mount.source().starts_with('/')) {
      return InvalidArgument(
          "invalid mount config for type \"bind\": invalid mount path: '{}' "
          "mount path must be absolute",
          mount.source());
    }
    if (PathExists(mount.source())) continue;
    if (!mount.create_source()) {
      return InvalidArgument(
          "invalid mount config for type \"bind\": bind source path does not "
          "exist: {}",
          mount.source());
    }
    RETURN_IF_ERROR(MakeDirs(mount.source(), 0755));
  }
  return OkStatus();
}

}  // namespace

StatusOr<network::PortMapping> ParseBinding(const ocid::v1::PortBinding& binding) {
  network::PortMapping mapping{.host_ip = binding.host_ip()};
  const std::string& text = binding.container_port();
  const size_t slash = text.find('/');
  if (slash != std::string::npos) mapping.protocol = text.substr(slash + 1);
  if (mapping.protocol != "tcp" && mapping.protocol != "udp") {
    return InvalidArgument("invalid proto: {}", mapping.protocol);
  }
  ASSIGN_OR_RETURN(mapping.container_port, ParsePort(text.substr(0, slash)));
  if (binding.host_port().empty() || binding.host_port() == "0") return mapping;
  const size_t dash = binding.host_port().find('-');
  ASSIGN_OR_RETURN(mapping.host_port, ParsePort(binding.host_port().substr(0, dash)));
  if (dash != std::string::npos) {
    ASSIGN_OR_RETURN(mapping.host_port_end, ParsePort(binding.host_port().substr(dash + 1)));
    if (mapping.host_port_end < mapping.host_port) {
      return InvalidArgument("invalid port specification: \"{}\"", binding.host_port());
    }
  }
  return mapping;
}

Status ContainerManager::CheckName(const std::string& name) {
  const bool begins = !name.empty() && std::isalnum(static_cast<unsigned char>(name[0])) != 0;
  const bool clean = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-';
  });
  if (!begins || !clean || name.size() < 2 || name.size() > 255) {
    return InvalidArgument(
        "Invalid container name ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name);
  }
  ASSIGN_OR_RETURN(const auto rows,
                   database_->Query("SELECT id FROM containers WHERE name = ?", {name}));
  if (rows.empty()) return OkStatus();
  return Error(StatusCode::kAlreadyExists,
               "Conflict. The container name \"/{}\" is already in use by container \"{}\". You "
               "have to remove (or rename) that container to be able to reuse that name.",
               name, rows[0].Text(0));
}

std::string ContainerManager::PickName() {
  for (;;) {
    std::string name = RandomName();
    const auto rows = database_->Query("SELECT 1 FROM containers WHERE name = ?", {name});
    if (!rows.ok() || rows->empty()) return name;
    name += RandomHex(1);
    if (CheckName(name).ok()) return name;
  }
}

Status ContainerManager::Fill(const CreateContainerRequest& request,
                              const image::ImageForContainer& image, Container* record) {
  *record->mutable_config() = request.config();
  *record->mutable_host_config() = request.host_config();
  ContainerConfig* config = record->mutable_config();
  ocid::v1::HostConfig* host = record->mutable_host_config();
  MergeImage(image.image.config(), config);
  if (config->hostname().empty()) {
    config->set_hostname(host->network_mode() == "host" || host->uts_mode() == "host"
                             ? HostName()
                             : record->id().substr(0, 12));
  }
  std::vector<std::string> args(config->entrypoint().begin(), config->entrypoint().end());
  args.insert(args.end(), config->cmd().begin(), config->cmd().end());
  if (args.empty()) return InvalidArgument("no command specified");
  record->set_path(args[0]);
  record->mutable_args()->Add(args.begin() + 1, args.end());

  if (host->network_mode().empty()) host->set_network_mode("default");
  const std::string& network = host->network_mode();
  if (network != "default" && network != "bridge" && network != "host" && network != "none" &&
      !network.starts_with("container:")) {
    return NotFound("network {} not found", network);
  }
  if (host->publish_all_ports()) {
    for (const std::string& port : config->exposed_ports()) {
      host->add_port_bindings()->set_container_port(port);
    }
  }
  for (const auto& binding : host->port_bindings()) RETURN_IF_ERROR(ParseBinding(binding).status());
  RETURN_IF_ERROR(CheckBinds(host));
  for (const auto& mount : host->mounts()) {
    auto* point = record->add_mounts();
    point->set_type(mount.type());
    point->set_source(mount.source());
    point->set_destination(mount.target());
    point->set_mode(mount.mode());
    point->set_rw(!mount.read_only());
    point->set_propagation(
        mount.propagation().empty() && mount.type() == "bind" ? "rprivate" : mount.propagation());
  }
  if (host->shm_size() == 0) host->set_shm_size(64u << 20);
  if (host->log_config().type().empty()) host->mutable_log_config()->set_type("json-file");
  return OkStatus();
}

StatusOr<ocid::v1::CreateContainerResponse> ContainerManager::Create(
    const CreateContainerRequest& request) {
  RETURN_IF_ERROR(CheckSupported(request.config(), request.host_config()));
  ASSIGN_OR_RETURN(const HostFacts facts, ReadHostFacts());
  RETURN_IF_ERROR(CheckRequest(request, facts));
  ASSIGN_OR_RETURN(const image::ImageForContainer image,
                   images_->GetForContainer(request.config().image()));
  RETURN_IF_ERROR(CheckPlatform(request.platform(), image.image, request.config().image()));
  auto live = std::make_shared<Live>();
  Container& record = live->record;
  record.set_id(RandomHex(32));
  record.set_name(request.name().empty() ? PickName() : request.name());
  if (!request.name().empty()) RETURN_IF_ERROR(CheckName(request.name()));
  record.set_created(NowUnixNanos());
  record.set_image_id(image.image.id());
  record.set_image(request.config().image());
  record.set_runtime("ocirun");
  record.mutable_state()->set_status(ocid::v1::ContainerState::STATUS_CREATED);
  RETURN_IF_ERROR(Fill(request, image, &record));
  const std::vector<std::string> warnings = AdaptToHost(facts, record.mutable_host_config());

  const std::string& id = record.id();
  const std::string home = Home(id);
  Undo remove([&] {
    IgnoreError(RemoveTree(home), "half made");
    IgnoreError(snapshotter_->RemoveContainer(id), "half made");
  });
  RETURN_IF_ERROR(MakeDirs(home, 0710));
  RETURN_IF_ERROR(snapshotter_->MakeContainer(id));
  ASSIGN_OR_RETURN(const LogOptions log, ParseLogConfig(record.host_config().log_config()));
  if (log.kept) record.set_log_path(home + "/" + id + "-json.log");
  record.set_hosts_path(home + "/hosts");
  record.set_hostname_path(home + "/hostname");
  record.set_resolv_conf_path(home + "/resolv.conf");
  record.set_upper_dir(snapshotter_->UpperPath(id));
  record.set_work_dir(snapshotter_->WorkPath(id));
  record.set_merged_dir(Bundle(id) + "/rootfs");
  std::string lower;
  for (auto folder = image.image.layer_folders().rbegin();
       folder != image.image.layer_folders().rend(); ++folder) {
    lower += (lower.empty() ? "" : ":") + *folder;
  }
  record.set_lower_dir(lower);
  {
    ASSIGN_OR_RETURN(const auto transaction, store::Transaction::Begin(database_));
    RETURN_IF_ERROR(CheckName(record.name()));  // another client may have taken it meanwhile
    std::string json;
    if (!google::protobuf::util::MessageToJsonString(record, &json).ok()) {
      return InvalidArgument("the container's configuration is not valid UTF-8");
    }
    RETURN_IF_ERROR(database_->Execute(
        "INSERT INTO containers (id, name, image, running, created, record) VALUES (?, ?, ?, 0, ?, "
        "?)",
        {id, record.name(), record.image_id(), record.created(), json}));
    for (size_t i = 0; i < image.chain_ids.size(); ++i) {
      RETURN_IF_ERROR(database_->Execute(
          "INSERT INTO container_layers (container, position, chain_id) VALUES (?, ?, ?)",
          {id, static_cast<int64_t>(i), image.chain_ids[i]}));
    }
    RETURN_IF_ERROR(transaction->Commit());
  }
  remove.Release();
  {
    const std::lock_guard lock(mutex_);
    containers_[id] = live;
  }
  Publish(record, "create");
  ocid::v1::CreateContainerResponse response;
  response.set_id(id);
  for (const std::string& warning : warnings) response.add_warnings(warning);
  if (image.image.config().volumes_size() > 0) {
    response.add_warnings(
        "the image's volumes are kept in the container's own layer: volumes are not supported yet");
  }
  if (image.image.config().healthcheck().test_size() > 0) {
    response.add_warnings("the image's health check is not run: it is not supported yet");
  }
  return response;
}

}  // namespace ocirun::container
