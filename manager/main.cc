// SPDX-License-Identifier: Apache-2.0
//
// ocid, the daemon: reads its configuration, opens its stores, serves gRPC until SIGTERM.
// Containers run on without it.
#include <fcntl.h>
#include <google/protobuf/message.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <malloc.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <clocale>
#include <csignal>
#include <filesystem>

#include "base/file.h"
#include "base/option_set.h"
#include "base/random.h"
#include "base/sys/file.h"
#include "base/version.h"
#include "manager/api/services.h"
#include "manager/config.h"
#include "manager/content/digest.h"

namespace ocirun {
namespace {

constexpr int kMaxMessage = 4 << 20;
// Calls at once, each of which has a thread; one more is RESOURCE_EXHAUSTED.
constexpr int kMaxCalls = 1000;
// Threads come and go with every call and container. With an arena for each CPU times eight, as
// malloc has it, what they leave adds up to tens of megabytes that nobody uses.
constexpr int kArenas = 2;
constexpr timespec kTrimEvery{.tv_sec = 30, .tv_nsec = 0};

struct Settings {
  std::string config = "/etc/ocirun/ocid.yaml";
  std::string root = "/var/lib/ocirun";
  std::string state = "/run/ocid";
  std::string listen = "unix:///run/ocid/ocid.sock";
  bool debug = false;
};

// Holds the folder for this daemon alone, as long as it lives.
StatusOr<UniqueFd> LockFolder(const std::string& folder) {
  ASSIGN_OR_RETURN(UniqueFd file, sys::Open(folder + "/lock", O_RDWR | O_CREAT, 0600));
  if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    return FailedPrecondition("another ocid uses {}: give this one another --root", folder);
  }
  return file;
}

// The images that the build made; once, so that one that was removed stays away.
Status ImportDefaults(image::ImageStore* images, const std::string& root,
                      const std::string& program_folder) {
  const std::string done = root + "/default-images";
  if (PathExists(done)) return OkStatus();
  std::error_code error;
  const std::string folder = program_folder + "/../share/ocirun/images";
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const Status imported = images->ImportLayout(entry.path().string(), name);
    if (!imported.ok()) return Annotate(imported, "default image " + name);
  }
  return WriteFileDurable(done, "");
}

StatusOr<Json> LoadSeccomp(const std::string& program_folder) {
  const std::string path = program_folder + "/../share/ocirun/seccomp.json";
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParseJson(text);
}

// Everything that the services stand on, in the order of their needs.
struct Daemon {
  Config config;
  std::string instance;
  UniqueFd lock;
  container::EventLog events;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<content::ContentStore> content;
  std::unique_ptr<snapshot::Snapshotter> snapshotter;
  std::unique_ptr<image::ImageStore> images;
  std::unique_ptr<network::BridgeNetwork> bridge;
  std::unique_ptr<container::ContainerManager> containers;
};

Status OpenStores(const Settings& settings, Daemon* daemon) {
  RETURN_IF_ERROR(MakeDirs(settings.root, 0711));
  RETURN_IF_ERROR(MakeDirs(settings.state, 0711));
  ASSIGN_OR_RETURN(daemon->lock, LockFolder(settings.root));
  ASSIGN_OR_RETURN(daemon->config, LoadConfig(settings.config));
  daemon->instance = daemon->config.instance;
  if (daemon->instance.empty()) {
    const std::string real = std::filesystem::canonical(settings.root).string();
    daemon->instance = content::DigestOf(real).substr(7, 8);
  }
  std::error_code error;
  const std::string program =
      std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
  ASSIGN_OR_RETURN(daemon->database, store::Database::Open(settings.root + "/meta.db"));
  ASSIGN_OR_RETURN(daemon->content, content::ContentStore::Open(settings.root + "/content"));
  ASSIGN_OR_RETURN(daemon->snapshotter, snapshot::Snapshotter::Open(settings.root + "/overlay"));
  ASSIGN_OR_RETURN(daemon->images,
                   image::ImageStore::Open(daemon->database.get(), daemon->content.get(),
                                           daemon->snapshotter.get(), daemon->config.registries));
  ASSIGN_OR_RETURN(daemon->bridge,
                   network::BridgeNetwork::Open({.instance = daemon->instance,
                                                 .bridge_name = daemon->config.bridge,
                                                 .subnet = daemon->config.subnet},
                                                daemon->database.get()));
  ASSIGN_OR_RETURN(Json seccomp, LoadSeccomp(program));
  ASSIGN_OR_RETURN(daemon->containers,
                   container::ContainerManager::Open({.root = settings.root,
                                                      .state = settings.state,
                                                      .instance = daemon->instance,
                                                      .runtime = program + "/ocirun",
                                                      .shim = program + "/ocishim",
                                                      .seccomp = std::move(seccomp)},
                                                     daemon->database.get(), daemon->images.get(),
                                                     daemon->snapshotter.get(),
                                                     daemon->bridge.get(), &daemon->events));
  return ImportDefaults(daemon->images.get(), settings.root, program);
}

// The parents of containers' cgroups; one that is in use stays (EBUSY).
void RemoveCgroups(const std::string& instance) {
  std::error_code error;
  const std::string top = "/sys/fs/cgroup";
  rmdir((top + "/ocid-" + instance).c_str());
  for (const auto& entry : std::filesystem::directory_iterator(top, error)) {
    if (entry.is_directory(error)) rmdir((entry.path().string() + "/ocid-" + instance).c_str());
  }
}

// gRPC makes the socket with the umask's mode.
StatusOr<std::unique_ptr<grpc::Server>> Listen(const std::string& address,
                                               const std::vector<grpc::Service*>& services) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMaxMessage);
  grpc::ResourceQuota quota("ocid");
  quota.SetMaxThreads(kMaxCalls);
  builder.SetResourceQuota(quota);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  for (grpc::Service* service : services) builder.RegisterService(service);
  const mode_t old = umask(0177);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  umask(old);
  if (server == nullptr) return Error(StatusCode::kUnavailable, "cannot listen on {}", address);
  for (const char* name : {ocid::v1::ImageService::service_full_name(),
                           ocid::v1::ContainerService::service_full_name(),
                           ocid::v1::SystemService::service_full_name()}) {
    server->GetHealthCheckService()->SetServingStatus(name, true);
  }
  return server;
}

Status Run(const Settings& settings) {
  // Before any thread: all of them leave the signals to us.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  if (!settings.listen.starts_with("unix://")) {
    return InvalidArgument("--listen {}: only unix:// addresses are served", settings.listen);
  }
  Daemon daemon;
  RETURN_IF_ERROR(OpenStores(settings, &daemon));
  std::vector<std::string> insecure;
  for (const auto& [host, registry] : daemon.config.registries) {
    if (registry.insecure) insecure.push_back(host);
  }
  api::ImageService images(daemon.images.get(), &daemon.events);
  api::ContainerService containers(daemon.containers.get(), daemon.images.get());
  api::SystemService facts({.root = settings.root,
                            .id = daemon.bridge->id().substr(0, 32),
                            .insecure_registries = insecure},
                           daemon.containers.get(), daemon.images.get(), &daemon.events);
  ASSIGN_OR_RETURN(const auto server, Listen(settings.listen, {&images, &containers, &facts}));
  spdlog::info("ocid {} serves {} (root {}, instance {})", kVersion, settings.listen, settings.root,
               daemon.instance);
  int signal = 0;
  // What a pull or a burst of containers took is given back.
  while ((signal = sigtimedwait(&signals, nullptr, &kTrimEvery)) < 0) malloc_trim(0);
  spdlog::info("{}: stopping; containers run on", signal == SIGTERM ? "SIGTERM" : "SIGINT");
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
  const Status closed = daemon.bridge->Close();
  if (!closed.ok()) spdlog::warn("{}", MessageOf(closed));
  RemoveCgroups(daemon.instance);
  // Monitor threads wait for containers: they end with the process.
  spdlog::shutdown();
  _exit(0);
}

// The exit status when the arguments ask for no daemon: an error, --help, --version.
std::optional<int> ParseArguments(const std::vector<std::string>& arguments, Settings* settings) {
  OptionSet options;
  bool version = false;
  options.Option("--config", &settings->config, "configuration file");
  options.Option("--root", &settings->root, "folder of images and containers");
  options.Option("--state", &settings->state, "folder of running containers");
  options.Option("--listen", &settings->listen, "address of the API");
  options.Flag("--debug", &settings->debug, "log more");
  options.Flag("-v,--version", &version, "print the version");
  const auto outcome = options.Parse(arguments);
  if (!outcome.ok() || !options.words().empty()) {
    const std::string error = outcome.ok() ? fmt::format("unexpected argument: {}", options.word(0))
                                           : MessageOf(outcome.status());
    fmt::print(stderr, "ocid: {}\nSee 'ocid --help'.\n", error);
    return 1;
  }
  if (*outcome != OptionSet::Outcome::kGo) {
    fmt::print("Usage:  ocid [OPTIONS]\n\nThe container daemon of ocirun\n\nOptions:\n{}",
               options.OptionsText());
    return 0;
  }
  if (!version) return std::nullopt;
  fmt::print("ocid version {}\n", kVersion);
  return 0;
}

}  // namespace
}  // namespace ocirun

int main(int argc, char** argv) {
  mallopt(M_ARENA_MAX, ocirun::kArenas);
  ocirun::Settings settings;
  if (const auto code = ocirun::ParseArguments({argv + 1, argv + argc}, &settings)) return *code;
  // Names in layers are bytes: libarchive converts them by the locale.
  setlocale(LC_CTYPE, "C.UTF-8");
  spdlog::set_default_logger(spdlog::stderr_logger_mt("ocid"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  if (settings.debug) spdlog::set_level(spdlog::level::debug);
  const ocirun::Status status = ocirun::Run(settings);
  if (!status.ok()) {
    spdlog::error("{}", ocirun::MessageOf(status));
    return 1;
  }
  return 0;
}
