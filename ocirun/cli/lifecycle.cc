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

void DescribeIdCommand(CliCommand* command, IdOperation operation) {
  command->run = [command, operation](const Global& global) -> StatusOr<int> {
    RETURN_IF_ERROR(operation(global.store(), command->container_id()));
    return 0;
  };
}

}  // namespace

void DescribeStart(CliCommand* command) {
  DescribeIdCommand(command, container::StartAndWaitReady);
}

void DescribePause(CliCommand* command) { DescribeIdCommand(command, container::Pause); }

void DescribeResume(CliCommand* command) { DescribeIdCommand(command, container::Resume); }

void DescribeKill(CliCommand* command) {
  auto all = std::make_shared<bool>();
  command->Flag("-a,--all", all.get(), "send the signal to all processes of the container");
  command->run = [all, command](const Global& global) -> StatusOr<int> {
    const std::string text = command->words().size() > 1 ? command->word(1) : "SIGTERM";
    // 0 asks whether there is anybody (kill(2)).
    const bool probe = text == "0";
    ASSIGN_OR_RETURN(const int signal, probe ? StatusOr<int>(0) : ParseSignal(text));
    RETURN_IF_ERROR(
        container::Kill(global.store(), command->container_id(), signal,
                        *all ? container::KillScope::kAll : container::KillScope::kInit));
    return 0;
  };
}

void DescribeDelete(CliCommand* command) {
  auto force = std::make_shared<bool>();
  command->Flag("-f,--force", force.get(), "kills the container if it is still running");
  command->run = [force, command](const Global& global) -> StatusOr<int> {
    RETURN_IF_ERROR(container::Delete(
        global.store(), command->container_id(),
        *force ? container::DeleteMode::kForce : container::DeleteMode::kStopped));
    return 0;
  };
}

}  // namespace ocirun::cli
