// SPDX-License-Identifier: Apache-2.0
//
// Commands on containers that are one call a container, and ps, logs, port.
#include <algorithm>

#include "ctl/commands/commands.h"
#include "ctl/commands/filters.h"
#include "ctl/output/table.h"
#include "ctl/output/units.h"

namespace ocirun::ctl {
namespace {

using ocid::v1::Container;
using ocid::v1::ContainerState;

std::string StateWord(const ContainerState& state) {
  switch (state.status()) {
    case ContainerState::STATUS_RUNNING:
      return "running";
    case ContainerState::STATUS_PAUSED:
      return "paused";
    case ContainerState::STATUS_RESTARTING:
      return "restarting";
    case ContainerState::STATUS_EXITED:
      return "exited";
    case ContainerState::STATUS_DEAD:
      return "dead";
    default:
      return "created";
  }
}

std::string StatusText(const ContainerState& state) {
  const UnixNanos now = NowUnixNanos();
  const std::string up = "Up " + HumanDuration(now - state.started_at());
  const std::string ago = HumanDuration(now - state.finished_at()) + " ago";
  switch (state.status()) {
    case ContainerState::STATUS_RUNNING:
      return up;
    case ContainerState::STATUS_PAUSED:
      return up + " (Paused)";
    case ContainerState::STATUS_RESTARTING:
      return fmt::format("Restarting ({}) {}", state.exit_code(), ago);
    case ContainerState::STATUS_EXITED:
      return fmt::format("Exited ({}) {}", state.exit_code(), ago);
    case ContainerState::STATUS_DEAD:
      return "Dead";
    default:
      return "Created";
  }
}

std::string PortsText(const Container& record) {
  std::string text;
  for (const auto& port : record.ports()) {
    text += (text.empty() ? "" : ", ") + port.host_ip() + ":" + port.host_port() + "->" +
            port.container_port();
  }
  if (record.state().pid() == 0) return text;
  for (const std::string& exposed : record.config().exposed_ports()) {
    const bool published =
        std::any_of(record.ports().begin(), record.ports().end(),
                    [&](const auto& port) { return port.container_port() == exposed; });
    if (!published) text += (text.empty() ? "" : ", ") + exposed;
  }
  return text;
}

std::string JoinLabels(const Container& record) {
  std::string text;
  for (const auto& [key, value] : record.config().labels()) {
    text += (text.empty() ? "" : ",") + key + "=" + value;
  }
  return text;
}

struct PsOptions {
  bool all = false, quiet = false, no_trunc = false, latest = false, size = false;
  int last = -1;
  std::string format;
  std::vector<std::string> filters;
};

OrderedJson RowOf(const Container& record, const PsOptions& options) {
  OrderedJson row;
  std::string command = record.path();
  for (const std::string& word : record.args()) command += " " + word;
  if (!options.no_trunc && command.size() > 20) command = command.substr(0, 19) + "…";
  row["ID"] = options.no_trunc ? record.id() : ShortId(record.id());
  row["Image"] = record.image();
  row["Command"] = "\"" + command + "\"";
  row["RunningFor"] = HumanDuration(NowUnixNanos() - record.created()) + " ago";
  row["CreatedAt"] = TimeText(record.created());
  row["Status"] = StatusText(record.state());
  row["State"] = StateWord(record.state());
  row["Ports"] = PortsText(record);
  row["Names"] = record.name();
  row["Size"] = HumanSize(record.size_rw()) + " (virtual " + HumanSize(record.size_root_fs()) + ")";
  row["Labels"] = JoinLabels(record);
  std::string mounts;
  for (const auto& mount : record.mounts()) {
    mounts += (mounts.empty() ? "" : ",") + (mount.name().empty() ? mount.source() : mount.name());
  }
  row["Mounts"] = mounts;
  row["LocalVolumes"] = "0";
  row["Networks"] = record.networks_size() > 0 ? record.networks(0).network() : "";
  return row;
}

int RunPs(Session* session, const PsOptions& options) {
  ocid::v1::ListContainersRequest request;
  request.set_all(options.all);
  request.set_size(options.size);
  if (options.latest) request.set_last(1);
  if (options.last >= 0) request.set_last(static_cast<uint32_t>(options.last));
  const Status parsed = AddFilters(options.filters, request.mutable_filters());
  if (!parsed.ok()) return Fail(parsed);
  ocid::v1::ListContainersResponse response;
  grpc::ClientContext context;
  const Status status =
      session->Check(session->containers().ListContainers(&context, request, &response));
  if (!status.ok()) return Fail(status);
  Listing listing{.columns = {{"ID", "CONTAINER ID"},
                              {"Image", "IMAGE"},
                              {"Command", "COMMAND"},
                              {"RunningFor", "CREATED"},
                              {"Status", "STATUS"},
                              {"Ports", "PORTS"},
                              {"Names", "NAMES"}},
                  .more_headings = {{"CreatedAt", "CREATED AT"},
                                    {"State", "STATE"},
                                    {"Size", "SIZE"},
                                    {"Labels", "LABELS"},
                                    {"Mounts", "MOUNTS"},
                                    {"Networks", "NETWORKS"},
                                    {"LocalVolumes", "LOCAL VOLUMES"}}};
  if (options.size) listing.columns.emplace_back("Size", "SIZE");
  for (const Container& record : response.containers()) {
    if (options.quiet) {
      fmt::print("{}\n", options.no_trunc ? record.id() : ShortId(record.id()));
    }
    listing.rows.push_back(RowOf(record, options));
  }
  if (options.quiet) return 0;
  const auto text = FormatListing(listing, options.format);
  if (!text.ok()) return Fail(text.status());
  fmt::print("{}", *text);
  return 0;
}

struct LogsOptions {
  std::string name, since, until, tail = "all";
  bool follow = false, timestamps = false;
};

int RunLogs(Session* session, const LogsOptions& options) {
  ocid::v1::GetLogsRequest request;
  request.set_container(options.name);
  request.set_follow(options.follow);
  request.set_stdout(true);
  request.set_stderr(true);
  if (options.tail != "all") {
    char* end = nullptr;
    const long lines = std::strtol(options.tail.c_str(), &end, 10);
    if (*end != '\0') return FailHere("invalid value for --tail: " + options.tail, 125);
    if (lines >= 0) request.set_tail(static_cast<uint32_t>(lines));
  }
  for (const bool since : {true, false}) {
    const std::string& text = since ? options.since : options.until;
    if (text.empty()) continue;
    const auto time = ParseTimestamp(text);
    if (!time.ok()) return Fail(time.status());
    if (since) request.set_since(*time);
    if (!since) request.set_until(*time);
  }
  grpc::ClientContext context;
  const auto reader = session->containers().GetLogs(&context, request);
  ocid::v1::LogEntry entry;
  while (reader->Read(&entry)) {
    const bool error = entry.output().stream() == ocid::v1::Output::STREAM_STDERR;
    FILE* out = error ? stderr : stdout;
    if (options.timestamps) fmt::print(out, "{} ", FormatRfc3339Nano(entry.time()));
    std::fwrite(entry.output().data().data(), 1, entry.output().data().size(), out);
    if (options.follow) std::fflush(out);
  }
  const Status status = session->Check(reader->Finish());
  return status.ok() ? 0 : Fail(status);
}

int RunPort(Session* session, const std::string& name, const std::string& wanted) {
  ocid::v1::GetContainerRequest request;
  request.set_container(name);
  Container record;
  grpc::ClientContext context;
  const Status status =
      session->Check(session->containers().GetContainer(&context, request, &record));
  if (!status.ok()) return Fail(status);
  const std::string full =
      wanted.find('/') == std::string::npos && !wanted.empty() ? wanted + "/tcp" : wanted;
  bool found = false;
  for (const auto& port : record.ports()) {
    const std::string address = port.host_ip() + ":" + port.host_port();
    if (full.empty()) fmt::print("{} -> {}\n", port.container_port(), address);
    if (port.container_port() == full) fmt::print("{}\n", address);
    found = found || port.container_port() == full;
  }
  if (found || full.empty()) return 0;
  return FailHere(fmt::format("Error: No public port '{}' published for {}", full, name));
}

// A command with one call a container; `method` is the stub's, `fill` puts options in.
template <typename Request, typename Response, typename Method>
Status CallOne(Session* session, Method method, Request request) {
  Response response;
  grpc::ClientContext context;
  return session->Check((session->containers().*method)(&context, request, &response));
}

using Names = std::vector<std::string>;
using Stub = ocid::v1::ContainerService::Stub;

template <typename Request, typename Response, typename Method>
void AddSimple(CLI::App* app, Session* session, const char* name, const char* help, Method method) {
  auto names = std::make_shared<Names>();
  CLI::App* command = app->add_subcommand(name, help);
  command->add_option("container", *names, "CONTAINER [CONTAINER...]")->required();
  command->callback([=] {
    session->run = [=] {
      return ForEach(*names, [&](const std::string& one) {
        Request request;
        request.set_container(one);
        return CallOne<Request, Response>(session, method, request);
      });
    };
  });
}

template <typename Request, typename Response, typename Method>
void AddStopping(CLI::App* app, Session* session, const char* name, const char* help,
                 Method method) {
  struct Options {
    Names names;
    std::string signal;
    int timeout = INT_MIN;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(name, help);
  command->add_option("container", options->names, "CONTAINER [CONTAINER...]")->required();
  command->add_option("-t,--time,--timeout", options->timeout, "Seconds to wait before killing");
  command->add_option("-s,--signal", options->signal, "Signal to send");
  command->callback([=] {
    session->run = [=] {
      return ForEach(options->names, [&](const std::string& one) {
        Request request;
        request.set_container(one);
        request.set_signal(options->signal);
        if (options->timeout != INT_MIN) request.set_timeout_seconds(options->timeout);
        return CallOne<Request, Response>(session, method, request);
      });
    };
  });
}

void AddRemoveAndKill(CLI::App* app, Session* session) {
  struct Options {
    Names names;
    bool force = false, volumes = false;
    std::string signal;
  };
  auto options = std::make_shared<Options>();
  CLI::App* rm = app->add_subcommand("rm", "Remove one or more containers");
  rm->add_option("container", options->names, "CONTAINER [CONTAINER...]")->required();
  rm->add_flag("-f,--force", options->force, "Force the removal of a running container");
  rm->add_flag("-v,--volumes", options->volumes, "Remove anonymous volumes, too");
  rm->callback([=] {
    session->run = [=] {
      return ForEach(options->names, [&](const std::string& one) -> Status {
        ocid::v1::RemoveContainerRequest request;
        request.set_container(one);
        request.set_force(options->force);
        request.set_volumes(options->volumes);
        Status status =
            CallOne<ocid::v1::RemoveContainerRequest, ocid::v1::RemoveContainerResponse>(
                session, &Stub::RemoveContainer, request);
        if (options->force && status.code() == StatusCode::kNotFound) {
          fmt::print(stderr, "{}\n", MessageOf(status));  // told, but no failure
          return absl::OkStatus();
        }
        return status;
      });
    };
  });
  CLI::App* kill = app->add_subcommand("kill", "Kill one or more running containers");
  kill->add_option("container", options->names, "CONTAINER [CONTAINER...]")->required();
  kill->add_option("-s,--signal", options->signal, "Signal to send to the container");
  kill->callback([=] {
    session->run = [=] {
      return ForEach(options->names, [&](const std::string& one) {
        ocid::v1::KillContainerRequest request;
        request.set_container(one);
        request.set_signal(options->signal);
        return CallOne<ocid::v1::KillContainerRequest, ocid::v1::KillContainerResponse>(
            session, &Stub::KillContainer, request);
      });
    };
  });
}

void AddWaitAndRename(CLI::App* app, Session* session) {
  auto names = std::make_shared<Names>();
  CLI::App* wait =
      app->add_subcommand("wait", "Block until containers stop, then print exit codes");
  wait->add_option("container", *names, "CONTAINER [CONTAINER...]")->required();
  wait->callback([=] {
    session->run = [=] {
      int code = 0;
      for (const std::string& one : *names) {
        ocid::v1::WaitContainerRequest request;
        request.set_container(one);
        ocid::v1::WaitContainerResponse response;
        grpc::ClientContext context;
        const Status status =
            session->Check(session->containers().WaitContainer(&context, request, &response));
        if (!status.ok()) code = Fail(status);
        if (status.ok()) fmt::print("{}\n", response.exit_code());
      }
      return code;
    };
  });
  auto pair = std::make_shared<std::pair<std::string, std::string>>();
  CLI::App* rename = app->add_subcommand("rename", "Rename a container");
  rename->add_option("container", pair->first, "CONTAINER")->required();
  rename->add_option("name", pair->second, "NEW_NAME")->required();
  rename->callback([=] {
    session->run = [=] {
      ocid::v1::RenameContainerRequest request;
      request.set_container(pair->first);
      request.set_name(pair->second);
      const Status status =
          CallOne<ocid::v1::RenameContainerRequest, ocid::v1::RenameContainerResponse>(
              session, &Stub::RenameContainer, request);
      return status.ok() ? 0 : Fail(status);
    };
  });
}

void AddLogsAndPort(CLI::App* app, Session* session) {
  auto options = std::make_shared<LogsOptions>();
  CLI::App* logs = app->add_subcommand("logs", "Fetch the logs of a container");
  logs->add_option("container", options->name, "CONTAINER")->required();
  logs->add_flag("-f,--follow", options->follow, "Follow log output");
  logs->add_flag("-t,--timestamps", options->timestamps, "Show timestamps");
  logs->add_option("-n,--tail", options->tail, "Number of lines to show from the end");
  logs->add_option("--since", options->since, "Show logs since a timestamp or duration");
  logs->add_option("--until", options->until, "Show logs before a timestamp or duration");
  logs->callback([=] { session->run = [=] { return RunLogs(session, *options); }; });
  auto pair = std::make_shared<std::pair<std::string, std::string>>();
  CLI::App* port = app->add_subcommand("port", "List port mappings of a container");
  port->add_option("container", pair->first, "CONTAINER")->required();
  port->add_option("private_port", pair->second, "PRIVATE_PORT[/PROTO]");
  port->callback(
      [=] { session->run = [=] { return RunPort(session, pair->first, pair->second); }; });
}

}  // namespace

void AddContainerCommands(CLI::App* app, Session* session) {
  auto options = std::make_shared<PsOptions>();
  CLI::App* ps =
      app->add_subcommand(app->get_name() == "container" ? "ls" : "ps", "List containers");
  ps->add_flag("-a,--all", options->all, "Show all containers");
  ps->add_flag("-q,--quiet", options->quiet, "Only display container IDs");
  ps->add_flag("--no-trunc", options->no_trunc, "Don't truncate output");
  ps->add_flag("-l,--latest", options->latest, "Show the latest created container");
  ps->add_flag("-s,--size", options->size, "Display total file sizes");
  ps->add_option("-n,--last", options->last, "Show n last created containers");
  ps->add_option("--format", options->format, "Format output with a template");
  ps->add_option("-f,--filter", options->filters, "Filter output")->allow_extra_args(false);
  ps->callback([=] { session->run = [=] { return RunPs(session, *options); }; });
  using namespace ocid::v1;  // NOLINT: the messages of the calls below
  AddStopping<StopContainerRequest, StopContainerResponse>(
      app, session, "stop", "Stop one or more running containers", &Stub::StopContainer);
  AddStopping<RestartContainerRequest, RestartContainerResponse>(
      app, session, "restart", "Restart one or more containers", &Stub::RestartContainer);
  AddSimple<PauseContainerRequest, PauseContainerResponse>(
      app, session, "pause", "Pause all processes of containers", &Stub::PauseContainer);
  AddSimple<UnpauseContainerRequest, UnpauseContainerResponse>(
      app, session, "unpause", "Unpause all processes of containers", &Stub::UnpauseContainer);
  AddRemoveAndKill(app, session);
  AddWaitAndRename(app, session);
  AddLogsAndPort(app, session);
}

}  // namespace ocirun::ctl
