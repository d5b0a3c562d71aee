// SPDX-License-Identifier: Apache-2.0
//
// start, kill, delete, pause and resume: an id, and hardly an option.
#include "ocirun/container/lifecycle.h"

#include <regex.h>

#include <csignal>
#include <functional>
#include <memory>

#include "base/signal_names.h"
#include "ocirun/cli/cli.h"
#include "ocirun/log/log.h"

namespace ocirun::cli {
namespace {

using IdOperation = Status (*)(const container::Store&, const std::string&);

void DescribeIdCommand(CliCommand* command, IdOperation operation) {
  command->run = [command, operation](const Global& global) -> StatusOr<int> {
    RETURN_IF_ERROR(operation(global.store(), command->container_id()));
    return 0;
  };
}

// The ids that a POSIX extended regular expression matches, in whole or in part.
StatusOr<std::vector<std::string>> Matching(const container::Store& store,
                                            const std::string& expression) {
  // It would match all of them: an unset variable, most likely.
  if (expression.empty()) return InvalidArgument("--regex: must not be empty");
  regex_t compiled;
  const int error = ::regcomp(&compiled, expression.c_str(), REG_EXTENDED | REG_NOSUB);
  if (error != 0) {
    char reason[128];
    ::regerror(error, &compiled, reason, sizeof reason);
    return InvalidArgument("--regex {:?}: {}", expression, reason);
  }
  const std::unique_ptr<regex_t, decltype(&::regfree)> owner(&compiled, ::regfree);
  ASSIGN_OR_RETURN(std::vector<std::string> ids, store.List());
  std::erase_if(ids, [&](const std::string& id) {
    return ::regexec(&compiled, id.c_str(), 0, nullptr, 0) != 0;
  });
  return ids;
}

// Does it to every match, whatever becomes of the others. Returns the exit status.
StatusOr<int> DoToMatching(const container::Store& store, const std::string& expression,
                           const std::function<Status(const std::string& id)>& operation) {
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, Matching(store, expression));
  if (ids.empty()) return NotFound("--regex {:?}: no container has such an id", expression);
  int code = 0;
  for (const std::string& id : ids) {
    const Status done = operation(id);
    if (done.ok()) continue;
    ReportError(Annotate(done, id));
    code = 1;
  }
  return code;
}

void AddRegex(CliCommand* command, bool* regex) {
  command->Flag("-r,--regex", regex,
                "the id is a regular expression (POSIX, extended), for every container it matches");
}

}  // namespace

void DescribeStart(CliCommand* command) {
  DescribeIdCommand(command, container::StartAndWaitReady);
}

void DescribePause(CliCommand* command) { DescribeIdCommand(command, container::Pause); }

void DescribeResume(CliCommand* command) { DescribeIdCommand(command, container::Resume); }

void DescribeKill(CliCommand* command) {
  struct Flags {
    bool all = false, regex = false;
  };
  auto flags = std::make_shared<Flags>();
  command->Flag("-a,--all", &flags->all, "send the signal to all processes of the container");
  AddRegex(command, &flags->regex);
  command->run = [flags, command](const Global& global) -> StatusOr<int> {
    const std::string text = command->words().size() > 1 ? command->word(1) : "SIGTERM";
    // 0 asks whether there is anybody (kill(2)).
    const auto parsed = text == "0" ? StatusOr<int>(0) : ParseSignal(text);
    // ParseSignal has Docker's words, runc has its own.
    if (!parsed.ok()) return InvalidArgument("unknown signal {:?}", text);
    const int signal = *parsed;
    const container::Store store = global.store();
    const auto kill = [&](const std::string& id) {
      return container::Kill(store, id, signal,
                             flags->all ? container::KillScope::kAll : container::KillScope::kInit);
    };
    if (flags->regex) return DoToMatching(store, command->container_id(), kill);
    RETURN_IF_ERROR(kill(command->container_id()));
    return 0;
  };
}

void DescribeDelete(CliCommand* command) {
  struct Flags {
    bool force = false, regex = false;
  };
  auto flags = std::make_shared<Flags>();
  command->Flag("-f,--force", &flags->force, "kills the container if it is still running");
  AddRegex(command, &flags->regex);
  command->run = [flags, command](const Global& global) -> StatusOr<int> {
    const container::Store store = global.store();
    const auto remove = [&](const std::string& id) {
      return container::Delete(
          store, id,
          flags->force ? container::DeleteMode::kForce : container::DeleteMode::kStopped);
    };
    if (!flags->regex) {
      RETURN_IF_ERROR(remove(command->container_id()));
      return 0;
    }
    const auto code = DoToMatching(store, command->container_id(), remove);
    // As without --regex: to force it is to be fine when there is none.
    if (flags->force && IsNotFound(code.status())) return 0;
    return code;
  };
}

}  // namespace ocirun::cli
