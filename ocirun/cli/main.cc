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

// The first word that is neither a global option nor its value.
std::string CommandWord(const CLI::App& app, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.empty() || word[0] != '-') return word;
    const CLI::Option* option = app.get_option_no_throw(word);
    if (option != nullptr && option->get_expected_max() > 0) ++i;  // not in the form --root=DIR
  }
  return {};
}

bool HasCommand(CLI::App* app, const std::string& name) {
  return !app->get_subcommands([&](CLI::App* command) { return command->get_name() == name; })
              .empty();
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
  for (const auto add :
       {AddCreate, AddRun, AddStart, AddState, AddKill, AddDelete, AddExec, AddList, AddPs, AddSpec,
        AddPause, AddResume, AddUpdate, AddEvents, AddFeatures, AddCheckpoint, AddRestore})
    add(&app, &action);
  const std::string word = CommandWord(app, argc, argv);
  if (!word.empty() && !HasCommand(&app, word)) {
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
  const bool enters =
      app.got_subcommand("create") || app.got_subcommand("run") || app.got_subcommand("exec");
  if (status.ok() && enters) status = linux_::ProtectSelf(argv);
  StatusOr<int> result = status.ok() ? action(global) : StatusOr<int>(status);
  if (result.ok()) return *result;
  ReportError(result.status());
  // As runc: 255 when exec fails, 1 for the others.
  return app.got_subcommand("exec") ? 255 : 1;
}

}  // namespace
}  // namespace ocirun::cli

int main(int argc, char** argv) { return ocirun::cli::Main(argc, argv); }
