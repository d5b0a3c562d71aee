// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cli/cli.h"
#include "ocirun/cli/help.h"
#include "ocirun/linux/self_exe.h"
#include "ocirun/log/log.h"
#include "ocirun/spec/spec.h"
#include "version.h"

namespace ocirun::cli {
namespace {

std::string VersionText() {
  return fmt::format("ocirun version {}\ncommit: {}\nspec: {}", kVersion, kCommit, oci::kVersion);
}

void AddGlobal(CLI::App* app, Global* global) {
  app->add_option(
      "--root", global->root,
      "root directory for storage of container state (this should be located in tmpfs)");
  app->add_option("--log", global->log, "set the log file to write ocirun logs to");
  app->add_option("--log-format", global->log_format, "set the log format ('text' or 'json')")
      ->check(CLI::IsMember({"text", "json"}));
  app->add_option("--log-level", global->log_level, "the least that is logged")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  app->add_flag("--debug", global->debug, "enable debug logging");
  app->add_flag("--systemd-cgroup", global->systemd_cgroup, "enable systemd cgroup support");
  app->add_option("--rootless", global->rootless, "ignore cgroup permission errors")
      ->check(CLI::IsMember({"auto", "true", "false"}));
  app->set_version_flag("--version,-v", VersionText());
}

LogLevel LevelOf(const Global& global) {
  if (global.debug || global.log_level == "debug") return LogLevel::kDebug;
  if (global.log_level == "warning") return LogLevel::kWarning;
  return global.log_level == "error" ? LogLevel::kError : LogLevel::kInfo;
}

Status CheckGlobal(const Global& global) {
  if (global.root.empty() || global.root[0] != '/')
    return InvalidArgument("--root must be an absolute path");
  return absl::OkStatus();
}

// The first word that is neither a global option nor its value; none when help is asked for first.
std::string CommandWord(const CLI::App& app, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "-h" || word == "--help") return {};
    if (word.empty() || word[0] != '-') return word;
    const CLI::Option* option = app.get_option_no_throw(word);
    if (option != nullptr && option->get_expected_max() > 0) ++i;  // not in the form --root=DIR
  }
  return {};
}

constexpr struct {
  std::string_view name;
  void (*add)(CLI::App*, Action*);
} kCommands[] = {{"create", AddCreate},
                 {"run", AddRun},
                 {"start", AddStart},
                 {"state", AddState},
                 {"kill", AddKill},
                 {"delete", AddDelete},
                 {"exec", AddExec},
                 {"list", AddList},
                 {"ps", AddPs},
                 {"spec", AddSpec},
                 {"pause", AddPause},
                 {"resume", AddResume},
                 {"update", AddUpdate},
                 {"events", AddEvents},
                 {"features", AddFeatures},
                 {"checkpoint", AddCheckpoint},
                 {"restore", AddRestore}};

// Adds the command that was asked for, or all of them when none was: only a help text speaks of the
// others, and to describe them all takes longer than many a command. False: there is no such
// command.
bool AddCommands(CLI::App* app, const std::string& word, Action* action) {
  bool found = word.empty();
  for (const auto& command : kCommands) {
    if (!word.empty() && command.name != word) continue;
    command.add(app, action);
    found = true;
  }
  return found;
}

int Main(int argc, char** argv) {
  CLI::App app("Open Container Initiative runtime: creates and runs containers from OCI bundles",
               "ocirun");
  app.formatter(std::make_shared<HelpFormatter>());
  Global global;
  global.root = DefaultRoot();
  Action action;
  AddGlobal(&app, &global);
  app.require_subcommand(1);
  const std::string word = CommandWord(app, argc, argv);
  if (!AddCommands(&app, word, &action)) {
    ReportError(InvalidArgument("No help topic for '{}'", word));
    return 1;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 1;  // 0: help or version was asked for
  }

  Status status =
      OpenLog({.file = global.log,
               .format = global.log_format == "json" ? LogFormat::kJson : LogFormat::kText,
               .level = LevelOf(global)});
  if (status.ok()) status = CheckGlobal(global);
  // Processes of these commands are seen from inside the container.
  const bool enters = word == "create" || word == "run" || word == "exec";
  if (status.ok() && enters) status = linux_::ProtectSelf(argv);
  StatusOr<int> result = status.ok() ? action(global) : StatusOr<int>(status);
  if (result.ok()) return *result;
  ReportError(result.status());
  // As runc: 255 when exec fails, 1 for the others.
  return word == "exec" ? 255 : 1;
}

}  // namespace
}  // namespace ocirun::cli

int main(int argc, char** argv) { return ocirun::cli::Main(argc, argv); }
