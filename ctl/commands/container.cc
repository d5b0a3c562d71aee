// SPDX-License-Identifier: Apache-2.0
//
// Commands on containers that are one call a container, and ps, logs, port.
#include <algorithm>
#include <array>

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
  if (!options.no_trunc) command = Ellipsis(command, 20);
  row["ID"] = options.no_trunc ? record.id() : ShortId(record.id());
  row["Image"] = record.image();
  row["Command"] = "\"" + command + "\"";
  row["RunningFor"] = HumanDuration(NowUnixNanos() - record.created()) + " ago";
  row["CreatedAt"] = GoTimeText(record.created());
  row["Status"] = StatusText(record.state());
  row["State"] = StateWord(record.state());
  row["Ports"] = PortsText(record);
  row["Names"] = record.name();
  row["Size"] = HumanSize(record.size_rw());
  if (record.size_root_fs() > 0) {
    row["Size"] =
        HumanSize(record.size_rw()) + " (virtual " + HumanSize(record.size_root_fs()) + ")";
  }
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

// Checks the values of `status` and `health`, and takes `health` out: ocid runs no health checks,
// so that the health of every container is "none". False when the words leave no container.
StatusOr<bool> TakeHealth(const std::vector<std::string>& words, std::vector<std::string>* others) {
  constexpr std::array kStates = {"paused", "restarting", "removing", "running",
                                  "dead",   "created",    "exited"};
  constexpr std::array kHealths = {"starting", "healthy", "unhealthy", "none"};
  const auto in = [](const auto& list, const std::string& value) {
    return std::find(list.begin(), list.end(), value) != list.end();
  };
  bool asked = false;
  bool none = false;
  for (const std::string& word : words) {
    const std::string key = word.substr(0, word.find('='));
    const std::string value = word.substr(std::min(word.size(), key.size() + 1));
    if ((key == "status" && !in(kStates, value)) || (key == "health" && !in(kHealths, value))) {
      return InvalidArgument("Invalid filter '{}'", word);
    }
    if (key != "health") others->push_back(word);
    asked = asked || key == "health";
    none = none || (key == "health" && value == "none");
  }
  return !asked || none;
}

int RunPs(Session* session, const PsOptions& options) {
  ocid::v1::ListContainersRequest request;
  request.set_all(options.all);
  request.set_size(options.size || options.format.find(".Size") != std::string::npos);
  if (options.latest) request.set_last(1);
  if (options.last >= 0) request.set_last(static_cast<uint32_t>(options.last));
  std::vector<std::string> filters;
  const auto healthy = TakeHealth(options.filters, &filters);
  if (!healthy.ok()) return Fail(healthy.status());
  const Status parsed = AddFilters(filters, request.mutable_filters());
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
                                    {"LocalVolumes", "LOCAL VOLUMES"}},
                  .type = "*formatter.ContainerContext"};
  if (options.size) listing.columns.emplace_back("Size", "SIZE");
  if (!*healthy) response.clear_containers();
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
  bool follow = false, timestamps = false, details = false;
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
    if (*end != '\0' || options.tail.empty()) {
      return FailHere("invalid value for --tail: " + options.tail);
    }
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
    if (options.timestamps) fmt::print(out, "{} ", FormatRfc3339NanoFixed(entry.time()));
    // The details are what --log-opt labels and env choose, which ocid refuses: none, and a space.
    if (options.details) fmt::print(out, " ");
    std::fwrite(entry.output().data().data(), 1, entry.output().data().size(), out);
    if (options.follow) std::fflush(out);
  }
  const Status status = session->Check(reader->Finish());
  return status.ok() ? 0 : Fail(NotFoundHere(status));
}

int RunPort(Session* session, const std::string& name, const std::string& wanted) {
  ocid::v1::GetContainerRequest request;
  request.set_container(name);
  Container record;
  grpc::ClientContext context;
  const Status status =
      session->Check(session->containers().GetContainer(&context, request, &record));
  if (!status.ok()) return Fail(NotFoundHere(status));
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

// A command with one call a container; `method` is the stub's.
template <typename Request, typename Response, typename Method>
Status CallOne(Session* session, Method method, Request request) {
  Response response;
  grpc::ClientContext context;
  return session->Check((session->containers().*method)(&context, request, &response));
}

using Stub = ocid::v1::ContainerService::Stub;
constexpr const char* kContainers = "CONTAINER [CONTAINER...]";
constexpr const char* kOptionsContainers = "[OPTIONS] CONTAINER [CONTAINER...]";

template <typename Request, typename Response, typename Method>
void AddSimple(Command* app, Session* session, const char* name, const char* help, Method method) {
  Command* command = app->Add(name, kContainers, help, {1, Arity::kAny});
  command->run = [=] {
    return ForEach(command->words(), [&](const std::string& one) {
      Request request;
      request.set_container(one);
      return CallOne<Request, Response>(session, method, request);
    });
  };
}

template <typename Request, typename Response, typename Method>
void AddStopping(Command* app, Session* session, const char* name, const char* help,
                 Method method) {
  struct Options {
    std::string signal;
    int timeout = 10;
  };
  auto options = std::make_shared<Options>();
  Command* command = app->Add(name, kOptionsContainers, help, {1, Arity::kAny});
  command->Option("-t,--time,--timeout", &options->timeout,
                  "Seconds to wait for the containers to stop before killing them");
  command->Option("-s,--signal", &options->signal, "Signal to send to the container");
  command->run = [=] {
    return ForEach(command->words(), [&](const std::string& one) {
      Request request;
      request.set_container(one);
      request.set_signal(options->signal);
      if (command->Given("time")) request.set_timeout_seconds(options->timeout);
      return CallOne<Request, Response>(session, method, request);
    });
  };
}

struct RemoveOptions {
  bool force = false, volumes = false;
};

// With --force what is not there is told, but is no failure.
int RunRemove(Session* session, const std::vector<std::string>& names,
              const RemoveOptions& options) {
  int code = 0;
  for (const std::string& name : names) {
    ocid::v1::RemoveContainerRequest request;
    request.set_container(name);
    request.set_force(options.force);
    request.set_volumes(options.volumes);
    const Status status =
        CallOne<ocid::v1::RemoveContainerRequest, ocid::v1::RemoveContainerResponse>(
            session, &Stub::RemoveContainer, request);
    if (status.ok()) {
      fmt::print("{}\n", name);
      continue;
    }
    const int failed = Fail(NotFoundHere(status));
    if (!options.force || status.code() != StatusCode::kNotFound) code = failed;
  }
  return code;
}

void AddRemoveAndKill(Command* app, Session* session) {
  auto options = std::make_shared<RemoveOptions>();
  Command* rm = app->Add(
      "rm", kOptionsContainers, "Remove one or more containers", {1, Arity::kAny},
      app->name() == "container" ? std::vector<std::string>{"remove"} : std::vector<std::string>{});
  rm->Flag("-f,--force", &options->force,
           "Force the removal of a running container (uses SIGKILL)");
  rm->Flag("-v,--volumes", &options->volumes,
           "Remove anonymous volumes associated with the container");
  rm->run = [=] { return RunRemove(session, rm->words(), *options); };
  auto signal = std::make_shared<std::string>("KILL");
  Command* kill =
      app->Add("kill", kOptionsContainers, "Kill one or more running containers", {1, Arity::kAny});
  kill->Option("-s,--signal", signal.get(), "Signal to send to the container");
  kill->run = [=] {
    return ForEach(kill->words(), [&](const std::string& one) {
      ocid::v1::KillContainerRequest request;
      request.set_container(one);
      request.set_signal(*signal);
      return CallOne<ocid::v1::KillContainerRequest, ocid::v1::KillContainerResponse>(
          session, &Stub::KillContainer, request);
    });
  };
}

int RunWait(Session* session, const std::vector<std::string>& names) {
  int code = 0;
  for (const std::string& one : names) {
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
}

int RunRename(Session* session, const std::string& container, const std::string& name) {
  ocid::v1::RenameContainerRequest request;
  request.set_container(container);
  request.set_name(name);
  const Status status =
      CallOne<ocid::v1::RenameContainerRequest, ocid::v1::RenameContainerResponse>(
          session, &Stub::RenameContainer, request);
  if (status.ok()) return 0;
  Fail(status);
  return FailHere("Error: failed to rename container named " + container);
}

void AddWaitAndRename(Command* app, Session* session) {
  Command* wait = app->Add("wait", kContainers,
                           "Block until one or more containers stop, then print their exit codes",
                           {1, Arity::kAny});
  wait->run = [=] { return RunWait(session, wait->words()); };
  Command* rename = app->Add("rename", "CONTAINER NEW_NAME", "Rename a container", {2, 2});
  rename->run = [=] { return RunRename(session, rename->word(0), rename->word(1)); };
}

void AddLogsAndPort(Command* app, Session* session) {
  auto options = std::make_shared<LogsOptions>();
  Command* logs = app->Add("logs", "[OPTIONS] CONTAINER", "Fetch the logs of a container", {1, 1});
  logs->Flag("-f,--follow", &options->follow, "Follow log output");
  logs->Flag("-t,--timestamps", &options->timestamps, "Show timestamps");
  logs->Flag("--details", &options->details, "Show extra details provided to logs");
  logs->Option("-n,--tail", &options->tail, "Number of lines to show from the end of the logs");
  logs->Option("--since", &options->since,
               "Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m)");
  logs->Option("--until", &options->until,
               "Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m)");
  logs->run = [=] {
    options->name = logs->word(0);
    return RunLogs(session, *options);
  };
  Command* port = app->Add("port", "CONTAINER [PRIVATE_PORT[/PROTO]]",
                           "List port mappings or a specific mapping for the container", {1, 2});
  port->run = [=] {
    return RunPort(session, port->word(0), port->words().size() > 1 ? port->word(1) : "");
  };
}

}  // namespace

void AddContainerCommands(Command* app, Session* session) {
  auto options = std::make_shared<PsOptions>();
  const bool group = app->name() == "container";
  Command* ps =
      app->Add(group ? "ls" : "ps", "[OPTIONS]", "List containers", {},
               group ? std::vector<std::string>{"ps", "list"} : std::vector<std::string>{});
  ps->Flag("-a,--all", &options->all, "Show all containers (default shows just running)");
  ps->Flag("-q,--quiet", &options->quiet, "Only display container IDs");
  ps->Flag("--no-trunc", &options->no_trunc, "Don't truncate output");
  ps->Flag("-l,--latest", &options->latest,
           "Show the latest created container (includes all states)");
  ps->Flag("-s,--size", &options->size, "Display total file sizes");
  ps->Option("-n,--last", &options->last, "Show n last created containers (includes all states)");
  ps->Option("--format", &options->format, "Pretty-print containers using a Go template");
  ps->List("-f,--filter", &options->filters, "Filter output based on conditions provided",
           CheckFilter);
  ps->run = [=] { return RunPs(session, *options); };
  using namespace ocid::v1;  // NOLINT: the messages of the calls below
  AddStopping<StopContainerRequest, StopContainerResponse>(
      app, session, "stop", "Stop one or more running containers", &Stub::StopContainer);
  AddStopping<RestartContainerRequest, RestartContainerResponse>(
      app, session, "restart", "Restart one or more containers", &Stub::RestartContainer);
  AddSimple<PauseContainerRequest, PauseContainerResponse>(
      app, session, "pause", "Pause all processes within one or more containers",
      &Stub::PauseContainer);
  AddSimple<UnpauseContainerRequest, UnpauseContainerResponse>(
      app, session, "unpause", "Unpause all processes within one or more containers",
      &Stub::UnpauseContainer);
  AddRemoveAndKill(app, session);
  AddWaitAndRename(app, session);
  AddLogsAndPort(app, session);
}

}  // namespace ocirun::ctl
