// SPDX-License-Identifier: Apache-2.0
//
// run and create.
#include <unistd.h>

#include "base/file.h"
#include "ctl/commands/commands.h"
#include "ctl/commands/run_options.h"

namespace ocirun::ctl {
namespace {

constexpr int kDaemonError = 125;

struct Created {
  std::string id;
  int code = 0;  // not 0: failed, told already
};

int ExitCodeOf(const std::string& text) {
  const auto has = [&](const char* word) { return text.find(word) != std::string::npos; };
  if (has("executable file not found") || has("no such file or directory") ||
      has("No such file or directory")) {
    return 127;
  }
  return has("permission denied") || has("Permission denied") || has("is a directory")
             ? 126
             : kDaemonError;
}

// "ocictl: TEXT." and where to read on.
int FailRun(const Command& command, const std::string& text) {
  const std::string end = text.ends_with('.') ? "" : ".";
  return FailHere(fmt::format("ocictl: {}{}\nSee '{} --help'.", text, end, command.path()),
                  kDaemonError);
}

int FailStart(const Status& status) {
  const std::string text = MessageOf(status);
  return FailHere(fmt::format("ocictl: {}{}", text, text.ends_with('.') ? "" : "."),
                  ExitCodeOf(text));
}

Status TryCreate(Session* session, const ocid::v1::CreateContainerRequest& request,
                 ocid::v1::CreateContainerResponse* response) {
  grpc::ClientContext context;
  return session->Check(session->containers().CreateContainer(&context, request, response));
}

Status PullFor(Session* session, const RunOptions& options) {
  return PullImage(session, options.words[0], options.platform, options.quiet, stderr).status();
}

// Creates it, after a pull where the image is missing or --pull asks for it.
StatusOr<ocid::v1::CreateContainerResponse> CreateOrPull(
    Session* session, const ocid::v1::CreateContainerRequest& request, const RunOptions& options) {
  const std::string& image = options.words[0];
  if (options.pull == "always") RETURN_IF_ERROR(PullFor(session, options));
  ocid::v1::CreateContainerResponse response;
  const Status status = TryCreate(session, request, &response);
  const bool missing = status.code() == StatusCode::kNotFound &&
                       MessageOf(status).find("No such image") != std::string::npos;
  if (!missing || options.pull != "missing") {
    RETURN_IF_ERROR(status);
    return response;
  }
  fmt::print(stderr, "Unable to find image '{}' locally\n",
             HasTag(image) ? image : image + ":latest");
  RETURN_IF_ERROR(PullFor(session, options));
  RETURN_IF_ERROR(TryCreate(session, request, &response));
  return response;
}

// Errors of the words are told in both commands in the same way, those of the daemon are not.
Created Create(Session* session, const Command& command, const RunOptions& options) {
  const auto request = BuildCreateRequest(command, options);
  if (!request.ok()) return {.code = FailRun(command, MessageOf(request.status()))};
  if (options.pull != "always" && options.pull != "missing" && options.pull != "never") {
    return {.code = FailRun(command, fmt::format("invalid pull option: '{}': must be one of "
                                                 "\"always\", \"missing\" or \"never\"",
                                                 options.pull))};
  }
  if (!options.cidfile.empty() && PathExists(options.cidfile)) {
    return {.code = FailRun(command, fmt::format("container ID file found, make sure the other "
                                                 "container isn't running or delete {}",
                                                 options.cidfile))};
  }
  const auto response = CreateOrPull(session, *request, options);
  if (!response.ok()) {
    return {.code = command.name() == "create" ? Fail(response.status())
                                               : FailRun(command, MessageOf(response.status()))};
  }
  for (const std::string& warning : response->warnings()) {
    fmt::print(stderr, "WARNING: {}\n", warning);
  }
  if (!options.cidfile.empty()) {
    const Status written = WriteFile(options.cidfile, response->id());
    if (!written.ok()) return {.code = FailRun(command, MessageOf(written))};
  }
  return {.id = response->id()};
}

Status StartContainer(Session* session, const std::string& id) {
  ocid::v1::StartContainerRequest request;
  request.set_container(id);
  ocid::v1::StartContainerResponse response;
  grpc::ClientContext context;
  return session->Check(session->containers().StartContainer(&context, request, &response));
}

int RunDetached(Session* session, const std::string& id) {
  const Status status = StartContainer(session, id);
  if (!status.ok()) return FailStart(status);
  fmt::print("{}\n", id);
  return 0;
}

int Run(Session* session, const Command& command, const RunOptions& options) {
  if (options.detach && !options.attach.empty()) {
    return FailHere("Conflicting options: -a and -d");
  }
  const bool input = options.Attaches("stdin");
  if (input && options.tty && !options.detach && isatty(0) == 0) {
    return FailHere("the input device is not a TTY");
  }
  SignalThread signals;
  const Created created = Create(session, command, options);
  if (created.code != 0) return created.code;
  if (options.detach) return RunDetached(session, created.id);
  const bool output = options.Attaches("stdout");
  const bool errors = options.Attaches("stderr");
  // With neither output there is nothing to see but which container it is, and no end to wait for.
  const bool silent = !output && !errors;
  if (silent) {
    fmt::print("{}\n", created.id);
    std::fflush(stdout);
  }
  ExitWaiter waiter(session, {.id = created.id,
                              .removed = options.remove,
                              .restarts = !options.restart.empty() && options.restart != "no"});
  Status status;
  const StreamEnd end = AttachStreams(
      session, created.id,
      {.input = input,
       .output = output,
       .errors = errors,
       .tty = options.tty,
       .proxy_signals = options.sig_proxy,
       .detach_keys = options.detach_keys,
       .signals = &signals},
      [&] { return StartContainer(session, created.id); }, &status);
  if (end != StreamEnd::kEnded || silent) waiter.Cancel();
  if (end == StreamEnd::kFailed) return FailStart(status);
  if (end == StreamEnd::kDetached || silent) return 0;
  const auto code = waiter.Wait();
  if (!code.ok()) return FailStart(code.status());
  return *code;
}

}  // namespace

void AddRunCommands(Command* app, Session* session) {
  const char* usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]";
  for (const bool starts : {true, false}) {
    auto options = std::make_shared<RunOptions>();
    Command* command = app->Add(
        starts ? "run" : "create", usage,
        starts ? "Run a command in a new container" : "Create a new container", {1, Arity::kAny});
    AddRunOptions(command, options.get(), starts);
    command->run = [=] {
      options->words = command->words();
      if (starts) return Run(session, *command, *options);
      const Created created = Create(session, *command, *options);
      if (created.code == 0) fmt::print("{}\n", created.id);
      return created.code;
    };
  }
}

}  // namespace ocirun::ctl
