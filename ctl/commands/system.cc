// SPDX-License-Identifier: Apache-2.0
#include "base/version.h"
#include "ctl/commands/commands.h"
#include "ctl/commands/filters.h"
#include "ctl/output/template.h"
#include "ctl/output/units.h"

namespace ocirun::ctl {
namespace {

// --format of these commands: read before the daemon is asked anything.
class Format {
 public:
  explicit Format(const std::string& text)
      : json_(text == "json"), parsed_(Template::Parse(json_ ? "" : text)) {}
  // What the command fails with; 0 when all is well. events says it in words of its own.
  [[nodiscard]] int Check(bool events = false) const {
    if (parsed_.ok()) return 0;
    std::string text = MessageOf(parsed_.status());
    if (events) text.replace(0, text.find(':'), "Error parsing format");
    return FailHere(text, kBadTemplate);
  }
  [[nodiscard]] int Print(const OrderedJson& data) const {
    const auto text = json_ ? data.dump() : parsed_->Execute(data);
    if (!text.ok()) return Fail(text.status());
    fmt::print("{}\n", *text);
    return 0;
  }

 private:
  bool json_;
  StatusOr<Template> parsed_;
};

int RunVersion(Session* session, const std::string& text) {
  const Format format(text);
  if (const int code = format.Check(); code != 0) return code;
  ocid::v1::GetVersionResponse server;
  grpc::ClientContext context;
  const Status status = session->Check(session->daemon().GetVersion(&context, {}, &server));
  OrderedJson data;
  data["Client"] = {{"Version", kVersion},
                    {"ApiVersion", "v1"},
                    {"GitCommit", kCommit},
                    {"Os", "linux"},
                    {"Context", "default"}};
  if (status.ok()) {
    data["Server"] = {{"Version", server.version()},  {"ApiVersion", server.api_version()},
                      {"GitCommit", server.commit()}, {"Os", server.os()},
                      {"Arch", server.arch()},        {"KernelVersion", server.kernel_version()}};
  }
  if (!text.empty()) {
    const int code = format.Print(data);
    return status.ok() ? code : Fail(status);
  }
  fmt::print("Client:\n Version:           {}\n API version:       v1\n Git commit:        {}\n",
             kVersion, kCommit);
  if (!status.ok()) return Fail(status);
  fmt::print(
      "\nServer:\n Engine:\n  Version:          {}\n  API version:      {}\n  Git commit:       "
      "{}\n"
      "  OS/Arch:          {}/{}\n  Kernel Version:   {}\n",
      server.version(), server.api_version(), server.commit(), server.os(), server.arch(),
      server.kernel_version());
  for (const auto& component : server.components()) {
    fmt::print(" {}:\n  Version:          {}\n  GitCommit:        {}\n", component.name(),
               component.version(), component.commit());
  }
  return 0;
}

std::string Join(const google::protobuf::RepeatedPtrField<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

OrderedJson InfoJson(const ocid::v1::GetInfoResponse& info) {
  return {{"ID", info.id()},
          {"Containers", info.containers()},
          {"ContainersRunning", info.containers_running()},
          {"ContainersPaused", info.containers_paused()},
          {"ContainersStopped", info.containers_stopped()},
          {"Images", info.images()},
          {"Driver", info.storage_driver()},
          {"LoggingDriver", info.logging_driver()},
          {"CgroupDriver", info.cgroup_driver()},
          {"CgroupVersion", info.cgroup_version()},
          {"KernelVersion", info.kernel_version()},
          {"OperatingSystem", info.operating_system()},
          {"OSType", info.os_type()},
          {"Architecture", info.architecture()},
          {"NCPU", info.cpus()},
          {"MemTotal", info.memory()},
          {"DockerRootDir", info.root_dir()},
          {"Name", info.name()},
          {"ServerVersion", info.server_version()},
          {"DefaultRuntime", info.default_runtime()},
          {"LiveRestoreEnabled", info.live_restore()}};
}

int RunInfo(Session* session, const std::string& text) {
  const Format format(text);
  if (const int code = format.Check(); code != 0) return code;
  ocid::v1::GetInfoResponse info;
  grpc::ClientContext context;
  const Status status = session->Check(session->daemon().GetInfo(&context, {}, &info));
  if (!text.empty()) return status.ok() ? format.Print(InfoJson(info)) : Fail(status);
  fmt::print("Client:\n Version:    {}\n\n", kVersion);
  if (!status.ok()) {
    fmt::print("Server:\nERROR: {}\n", MessageOf(status));
    return FailHere("errors pretty printing info");
  }
  fmt::print("Server:\n Containers: {}\n  Running: {}\n  Paused: {}\n  Stopped: {}\n Images: {}\n",
             info.containers(), info.containers_running(), info.containers_paused(),
             info.containers_stopped(), info.images());
  fmt::print(" Server Version: {}\n Storage Driver: {}\n Logging Driver: {}\n",
             info.server_version(), info.storage_driver(), info.logging_driver());
  fmt::print(" Cgroup Driver: {}\n Cgroup Version: {}\n Plugins:\n  Network: {}\n  Log: {}\n",
             info.cgroup_driver(), info.cgroup_version(), Join(info.network_plugins()),
             Join(info.log_plugins()));
  fmt::print(" Runtimes: {}\n Default Runtime: {}\n", Join(info.runtimes()),
             info.default_runtime());
  if (info.security_options_size() > 0) fmt::print(" Security Options:\n");
  for (const std::string& option : info.security_options()) fmt::print("  {}\n", option);
  fmt::print(" Kernel Version: {}\n Operating System: {}\n OSType: {}\n Architecture: {}\n",
             info.kernel_version(), info.operating_system(), info.os_type(), info.architecture());
  fmt::print(" CPUs: {}\n Total Memory: {}\n Name: {}\n ID: {}\n Docker Root Dir: {}\n",
             info.cpus(), BinarySize(info.memory()), info.name(), info.id(), info.root_dir());
  fmt::print(" Debug Mode: {}\n Insecure Registries:\n", info.debug());
  for (const std::string& host : info.insecure_registries()) fmt::print("  {}\n", host);
  fmt::print(" Live Restore Enabled: {}\n", info.live_restore());
  return 0;
}

struct EventsOptions {
  std::string since, until, format;
  std::vector<std::string> filters;
};

int RunEvents(Session* session, const EventsOptions& options) {
  const Format format(options.format);
  if (const int code = format.Check(true); code != 0) return code;
  ocid::v1::WatchEventsRequest request;
  for (const bool since : {true, false}) {
    const std::string& text = since ? options.since : options.until;
    if (text.empty()) continue;
    const auto time = ParseTimestamp(text);
    if (!time.ok()) return Fail(time.status());
    if (since) request.set_since(*time);
    if (!since) request.set_until(*time);
  }
  const Status parsed = AddFilters(options.filters, request.mutable_filters());
  if (!parsed.ok()) return Fail(parsed);
  grpc::ClientContext context;
  const auto reader = session->daemon().WatchEvents(&context, request);
  ocid::v1::Event event;
  while (reader->Read(&event)) {
    OrderedJson data = {{"Type", event.type()},
                        {"Action", event.action()},
                        {"Actor", {{"ID", event.actor_id()}}},
                        {"time", event.time() / 1'000'000'000},
                        {"timeNano", event.time()}};
    std::string attributes;
    for (const auto& [key, value] : event.attributes()) {
      attributes += (attributes.empty() ? "" : ", ") + key + "=" + value;
      data["Actor"]["Attributes"][key] = value;
    }
    if (!options.format.empty()) {
      if (const int code = format.Print(data); code != 0) return code;
    } else {
      fmt::print("{} {} {} {} ({})\n", FormatRfc3339Nano(event.time()), event.type(),
                 event.action(), event.actor_id(), attributes);
    }
    std::fflush(stdout);
  }
  const Status status = session->Check(reader->Finish());
  return status.ok() ? 0 : Fail(status);
}

}  // namespace

void AddSystemCommands(Command* app, Session* session) {
  auto format = std::make_shared<std::string>();
  const char* format_help = "Format the output using the given Go template";
  if (app->name() != "system") {
    Command* version = app->Add("version", "[OPTIONS]", "Show the version information", {});
    version->Option("-f,--format", format.get(), format_help);
    version->run = [=] { return RunVersion(session, *format); };
  }
  Command* info = app->Add("info", "[OPTIONS]", "Display system-wide information", {});
  info->Option("-f,--format", format.get(), format_help);
  info->run = [=] { return RunInfo(session, *format); };
  auto options = std::make_shared<EventsOptions>();
  Command* events = app->Add("events", "[OPTIONS]", "Get real time events from the server", {});
  events->Option("--since", &options->since, "Show all events created since timestamp");
  events->Option("--until", &options->until, "Stream events until this timestamp");
  events->Option("--format", &options->format, format_help);
  events->List("-f,--filter", &options->filters, "Filter output based on conditions provided",
               CheckFilter);
  events->run = [=] { return RunEvents(session, *options); };
}

}  // namespace ocirun::ctl
