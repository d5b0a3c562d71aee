// SPDX-License-Identifier: Apache-2.0
//
// start, kill, delete, pause and resume: an id, and hardly an option.
#include "ocirun/container/lifecycle.h"

#include <csignal>
#include <memory>

#include "base/signal_names.h"
#include "ocirun/cli/cli.h"

namespace ocirun::cli {
namespace {

using IdOperation = Status (*)(const container::Store&, const std::string&);

void AddIdCommand(CLI::App* app, Action* run, const char* name, const char* description,
                  IdOperation operation) {
  auto id = std::make_shared<std::string>();
  CLI::App* command = app->add_subcommand(name, description);
  command->add_option("container-id", *id, "name of the instance")->required();
  command->callback([id, run, operation] {
    *run = [id, operation](const Global& global) -> StatusOr<int> {
      RETURN_IF_ERROR(operation(global.store(), *id));
      return 0;
    };
  });
}

}  // namespace

void AddStart(CLI::App* app, Action* run) {
  AddIdCommand(app, run, "start", "executes the user defined process in a created container",
               container::StartAndWaitReady);
}

void AddPause(CLI::App* app, Action* run) {
  AddIdCommand(app, run, "pause", "pause suspends all processes inside the container",
               container::Pause);
}

void AddResume(CLI::App* app, Action* run) {
  AddIdCommand(app, run, "resume", "resumes all processes that have been previously paused",
               container::Resume);
}

void AddKill(CLI::App* app, Action* run) {
  struct Flags {
    std::string id, signal = "SIGTERM";
    bool all = false;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* command =
      app->add_subcommand("kill", "send the specified signal (default: SIGTERM) to the container");
  command->add_flag("-a,--all", flags->all, "send the signal to all processes of the container");
  command->add_option("container-id", flags->id, "name of the instance")->required();
  command->add_option("signal", flags->signal, "signal, by name or number");
  command->callback([flags, run] {
    *run = [flags](const Global& global) -> StatusOr<int> {
      // 0 asks whether there is anybody (kill(2)).
      const bool probe = flags->signal == "0";
      ASSIGN_OR_RETURN(const int signal, probe ? StatusOr<int>(0) : ParseSignal(flags->signal));
      RETURN_IF_ERROR(
          container::Kill(global.store(), flags->id, signal,
                          flags->all ? container::KillScope::kAll : container::KillScope::kInit));
      return 0;
    };
  });
}

void AddDelete(CLI::App* app, Action* run) {
  struct Flags {
    std::string id;
    bool force = false;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app->add_subcommand("delete", "delete any resources held by the container");
  command->add_flag("-f,--force", flags->force, "kills the container if it is still running");
  command->add_option("container-id", flags->id, "name of the instance")->required();
  command->callback([flags, run] {
    *run = [flags](const Global& global) -> StatusOr<int> {
      RETURN_IF_ERROR(container::Delete(
          global.store(), flags->id,
          flags->force ? container::DeleteMode::kForce : container::DeleteMode::kStopped));
      return 0;
    };
  });
}

}  // namespace ocirun::cli
