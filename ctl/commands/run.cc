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

int FailRun(const std::string& verb, const std::string& text, int code) {
  return FailHere(
      fmt::format("ocictl: {}\n\nRun 'ocictl {} --help' for more information", text, verb), code);
}

int ExitCodeOf(const Status& status) {
  const std::string text = MessageOf(status);
  const auto has = [&](const char* word) { return text.find(word) != std::string::npos; };
  if (has("executable file not found") || has("no such file or directory") ||
      has("No such file or directory")) {
    return 127;
  }
  return has("permission denied") || has("Permission denied") || has("is a directory")
             ? 126
             : kDaemonError;
}

Status TryCreate(Session* session, const ocid::v1::CreateContainerRequest& request,
                 ocid::v1::CreateContainerResponse* response) {
  grpc::ClientContext context;
  return session->Check(session->containers().CreateContainer(&context, request, response));
}

Created Create(Session* session, const std::string& verb, const CLI::App& command,
               const RunOptions& options) {
  const auto request = BuildCreateRequest(command, options);
  if (!request.ok()) return {.code = FailRun(verb, MessageOf(request.status()), kDaemonError)};
  if (options.pull != "always" && options.pull != "missing" && options.pull != "never") {
    return {.code = FailRun(verb,
                            fmt::format("invalid pull option: '{}': must be one of \"always\", "
                                        "\"missing\" or \"never\"",
                                        options.pull),
                            kDaemonError)};
  }
  if (!options.cidfile.empty() && PathExists(options.cidfile)) {
    return {.code = FailRun(verb,
                            fmt::format("container ID file found, make sure the other container "
                                        "isn't running or delete {}",
                                        options.cidfile),
                            kDaemonError)};
  }
  const std::string& image = options.words[0];
  const auto pull = [&] {
    return PullImage(session, image, options.platform, options.quiet, stderr) == 0;
  };
  if (options.pull == "always" && !pull()) return {.code = kDaemonError};
  ocid::v1::CreateContainerResponse response;
  Status status = TryCreate(session, *request, &response);
  const bool missing = status.code() == StatusCode::kNotFound &&
                       MessageOf(status).find("No such image") != std::string::npos;
  if (missing && options.pull == "missing") {
    const bool tagged = image.find(':', image.find_last_of('/') + 1) != std::string::npos ||
                        image.find('@') != std::string::npos;
    fmt::print(stderr, "Unable to find image '{}' locally\n", tagged ? image : image + ":latest");
    if (!pull()) return {.code = FailRun(verb, "the image could not be pulled", kDaemonError)};
    status = TryCreate(session, *request, &response);
  }
  if (!status.ok()) return {.code = FailRun(verb, MessageOf(status), kDaemonError)};
  for (const std::string& warning : response.warnings()) {
    fmt::print(stderr, "WARNING: {}\n", warning);
  }
  if (!options.cidfile.empty()) {
    const Status written = WriteFile(options.cidfile, response.id());
    if (!written.ok()) return {.code = FailRun(verb, MessageOf(written), kDaemonError)};
  }
  return {.id = response.id()};
}

Status StartContainer(Session* session, const std::string& id) {
  ocid::v1::StartContainerRequest request;
  request.set_container(id);
  ocid::v1::StartContainerResponse response;
  grpc::ClientContext context;
  return session->Check(session->containers().StartContainer(&context, request, &response));
}

int Run(Session* session, const CLI::App& command, const RunOptions& options) {
  if (options.interactive && options.tty && !options.detach && isatty(0) == 0) {
    return FailHere("the input device is not a TTY");
  }
  const Created created = Create(session, "run", command, options);
  if (created.code != 0) return created.code;
  if (options.detach) {
    const Status status = StartContainer(session, created.id);
    if (!status.ok()) return FailRun("run", MessageOf(status), ExitCodeOf(status));
    fmt::print("{}\n", created.id);
    return 0;
  }
  ExitWaiter waiter(session, created.id, 0, options.remove);
  Status status;
  const StreamEnd end = AttachStreams(
      session, created.id,
      {.input = options.interactive,
       .tty = options.tty,
       .proxy_signals = options.sig_proxy && !options.tty,
       .detach_keys = options.detach_keys},
      [&] { return StartContainer(session, created.id); }, &status);
  if (end != StreamEnd::kEnded) waiter.Cancel();
  if (end == StreamEnd::kFailed) return FailRun("run", MessageOf(status), ExitCodeOf(status));
  if (end == StreamEnd::kDetached) return 0;
  const auto code = waiter.Wait();
  return code.ok() ? *code : FailRun("run", MessageOf(code.status()), kDaemonError);
}

}  // namespace

void AddRunCommands(CLI::App* app, Session* session) {
  for (const bool starts : {true, false}) {
    auto options = std::make_shared<RunOptions>();
    const std::string verb = starts ? "run" : "create";
    CLI::App* command = app->add_subcommand(
        verb, starts ? "Create and run a new container from an image" : "Create a new container");
    command->set_help_flag("--help", "Print this help");
    command->footer("IMAGE [COMMAND] [ARG...]");
    AddRunOptions(command, options);
    command->callback([=] {
      options->words = command->remaining();
      session->run = [=]() -> int {
        if (options->words.empty()) {
          return FailHere(fmt::format("\"ocictl {}\" requires at least 1 argument.\nSee 'ocictl {} "
                                      "--help'.",
                                      verb, verb),
                          kDaemonError);
        }
        if (options->words[0].starts_with('-')) {
          return FailHere(
              fmt::format("unknown flag: {}\nSee 'ocictl {} --help'.", options->words[0], verb),
              kDaemonError);
        }
        if (starts) return Run(session, *command, *options);
        const Created created = Create(session, verb, *command, *options);
        if (created.code != 0) return 1;
        fmt::print("{}\n", created.id);
        return 0;
      };
    });
  }
}

}  // namespace ocirun::ctl
