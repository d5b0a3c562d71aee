// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cli/program.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "base/path.h"
#include "base/version.h"
#include "ocirun/cli/cli.h"
#include "ocirun/cli/help.h"
#include "ocirun/linux/self_exe.h"
#include "ocirun/log/log.h"
#include "ocirun/spec/spec.h"

namespace ocirun::cli {
namespace {

constexpr int kFailed = 1;
constexpr int kExecFailed = 255;  // callers tell it from what most processes return, as runc's
constexpr const char* kId = "<container-id>";

constexpr CommandInfo kCommands[] = {
    {"create", kId, 1, 1, "create a container", DescribeCreate},
    {"run", kId, 1, 1, "create and run a container", DescribeRun},
    {"start", kId, 1, 1, "executes the user defined process in a created container", DescribeStart},
    {"state", kId, 1, 1, "output the state of a container", DescribeState},
    {"kill", "<container-id> [signal]", 1, 2,
     "send the specified signal (default: SIGTERM) to the container", DescribeKill},
    {"delete", kId, 1, 1, "delete any resources held by the container", DescribeDelete},
    {"exec", "<container-id> [argument...]", 1, kAnyNumber,
     "execute new process inside the container", DescribeExec},
    {"list", "", 0, 0, "lists containers started by ocirun", DescribeList},
    {"ps", "<container-id> [ps option...]", 1, kAnyNumber,
     "displays the processes running inside a container", DescribePs},
    {"spec", "", 0, 0, "create a new specification file", DescribeSpec},
    {"pause", kId, 1, 1, "pause suspends all processes inside the container", DescribePause},
    {"resume", kId, 1, 1, "resumes all processes that have been previously paused", DescribeResume},
    {"update", kId, 1, 1, "update container resource constraints", DescribeUpdate},
    {"events", kId, 1, 1,
     "display container events such as OOM notifications, cpu, memory, and IO usage statistics",
     DescribeEvents},
    {"features", "", 0, 0, "show the enabled features", DescribeFeatures},
    {"checkpoint", kId, 1, 1, "checkpoint a running container", DescribeCheckpoint},
    {"restore", kId, 1, 1, "restore a container from a previous checkpoint", DescribeRestore},
    {"mounts", "add|remove <container-id> <file>", 3, 3,
     "add the mounts of a file (a JSON list, as in config.json) to a running container, or remove "
     "them",
     DescribeMounts},
    {"completion", "bash|zsh|fish", 1, 1, "write a script that completes this command line",
     DescribeCompletion},
    {"info", "", 0, 0, "show what this host offers", DescribeInfo}};

StatusOr<const CommandInfo*> FindCommand(std::string_view name) {
  for (const CommandInfo& info : kCommands) {
    if (info.name == name) return &info;
  }
  return InvalidArgument("No help topic for '{}'", name);
}

LogLevel LevelOf(const Global& global) {
  if (global.debug || global.log_level == "debug") return LogLevel::kDebug;
  if (global.log_level == "warning" || global.log_level == "warn") return LogLevel::kWarning;
  return global.log_level == "error" ? LogLevel::kError : LogLevel::kInfo;
}

// As runc reads it: from the current folder, and cleaned as text.
StatusOr<std::string> AbsoluteRoot(const std::string& root) {
  if (root.empty()) return InvalidArgument("--root must not be empty");
  std::string path = root;
  if (root[0] != '/') {
    const std::unique_ptr<char, decltype(&::free)> folder(::getcwd(nullptr, 0), ::free);
    if (!folder) return SysError(errno, "getcwd");
    path = fmt::format("{}/{}", folder.get(), root);
  }
  std::vector<std::string> kept;
  for (std::string& part : PathComponents(path)) {
    if (part != "..") {
      kept.push_back(std::move(part));
    } else if (!kept.empty()) {
      kept.pop_back();
    }
  }
  if (kept.empty()) return InvalidArgument("--root must not be /");
  return fmt::format("/{}", fmt::join(kept, "/"));
}

Status CheckGlobal(const Global& global) {
  const std::string& manager = global.cgroup_manager;
  if (global.systemd_cgroup && !manager.empty() && manager != "systemd")
    return InvalidArgument("--systemd-cgroup contradicts --cgroup-manager {}", manager);
  return OkStatus();
}

Status CheckWords(const CommandInfo& info, const CliCommand& command) {
  const size_t count = command.words().size();
  if (count >= info.least_words && count <= info.most_words) return OkStatus();
  const bool few = count < info.least_words;
  const size_t bound = few ? info.least_words : info.most_words;
  const char* how = info.least_words == info.most_words ? "exactly"
                    : few                               ? "a minimum of"
                                                        : "a maximum of";
  return InvalidArgument("\"{}\" requires {} {} argument(s): {}", info.name, how, bound,
                         UsageLine(info));
}

Status ShowHelp(const OptionSet& global, const std::vector<std::string>& topic) {
  if (topic.empty()) return Print(ProgramHelp(global, kCommands));
  ASSIGN_OR_RETURN(const CommandInfo* info, FindCommand(topic[0]));
  CliCommand command;
  info->describe(&command);
  return Print(CommandHelp(*info, command));
}

StatusOr<int> RunCliCommand(const CommandInfo& info, Global global,
                            const std::vector<std::string>& arguments, char** argv) {
  CliCommand command;
  info.describe(&command);
  const auto outcome = command.Parse(arguments);
  if (!outcome.ok()) return Annotate(outcome.status(), info.name);
  if (*outcome != OptionSet::Outcome::kGo) {
    RETURN_IF_ERROR(Print(CommandHelp(info, command)));
    return 0;
  }
  RETURN_IF_ERROR(CheckWords(info, command));
  RETURN_IF_ERROR(CheckGlobal(global));
  ASSIGN_OR_RETURN(global.root, AbsoluteRoot(global.root));
  // Processes of these commands are seen from inside the container.
  const std::string_view name = info.name;
  if (name == "create" || name == "run" || name == "exec")
    RETURN_IF_ERROR(linux_::ProtectSelf(argv));
  const StatusOr<int> result = command.run(global);
  const bool starts = name == "create" || name == "run" || name == "restore" || name == "exec";
  if (result.ok() || !starts) return result;
  ReportError(result.status(), name);
  return name == "exec" ? kExecFailed : kFailed;
}

StatusOr<int> RunProgram(const std::vector<std::string>& arguments, char** argv) {
  Global global;
  global.root = DefaultRoot();
  bool version = false;
  OptionSet options;
  DescribeGlobal(&options, &global, &version);
  ASSIGN_OR_RETURN(const OptionSet::Outcome outcome, options.Parse(arguments));
  std::vector<std::string> words = options.words();
  if (version) {
    RETURN_IF_ERROR(Print(fmt::format("{} version {}\ncommit: {}\nspec: {}\n", ProgramName(),
                                      kVersion, kCommit, oci::kVersion)));
    return 0;
  }
  const bool help = words.empty() || words[0] == "help" || words[0] == "h";
  if (outcome != OptionSet::Outcome::kGo || help) {
    if (!words.empty()) words.erase(words.begin());
    RETURN_IF_ERROR(ShowHelp(options, words));
    return 0;
  }
  RETURN_IF_ERROR(
      OpenLog({.where = global.log,
               .format = global.log_format == "json" ? LogFormat::kJson : LogFormat::kText,
               .level = LevelOf(global)}));
  ASSIGN_OR_RETURN(const CommandInfo* info, FindCommand(words[0]));
  words.erase(words.begin());
  return RunCliCommand(*info, global, words, argv);
}

}  // namespace

int RunCommandLine(int argc, char** argv) {
  // Who has it ignored can't wait for a child (sigaction(2)), and a caller may leave it so.
  ::signal(SIGCHLD, SIG_DFL);
  const StatusOr<int> result = RunProgram({argv + 1, argv + argc}, argv);
  if (result.ok()) return *result;
  ReportError(result.status());
  return kFailed;
}

std::span<const CommandInfo> Commands() { return kCommands; }

void DescribeGlobal(OptionSet* options, Global* global, bool* version) {
  options->Option(
      "--root", &global->root,
      "root directory for storage of container state (this should be located in tmpfs)");
  options->Option("--log", &global->log,
                  "set the log file to write ocirun logs to, or file:PATH, syslog:NAME, "
                  "journald:NAME");
  options->Choice("--log-format", &global->log_format, {"text", "json"},
                  "set the log format ('text' or 'json')");
  options->Choice("--log-level", &global->log_level, {"debug", "info", "warning", "warn", "error"},
                  "the least that is logged");
  options->Flag("--debug", &global->debug, "enable debug logging");
  options->Flag("--systemd-cgroup", &global->systemd_cgroup, "enable systemd cgroup support");
  options->Choice("--cgroup-manager", &global->cgroup_manager, {"cgroupfs", "systemd", "disabled"},
                  "who makes cgroups ('cgroupfs', 'systemd' or 'disabled': nobody)");
  options->Choice("--rootless", &global->rootless, {"auto", "true", "false"},
                  "ignore cgroup permission errors");
  options->Flag("-v,--version", version, "print the version");
  options->StopAtFirstWord();
}

cgroup::Driver Global::cgroup_driver() const {
  if (cgroup_manager == "disabled") return cgroup::Driver::kDisabled;
  return systemd_cgroup || cgroup_manager == "systemd" ? cgroup::Driver::kSystemd
                                                       : cgroup::Driver::kCgroupfs;
}

}  // namespace ocirun::cli
