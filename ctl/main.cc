// SPDX-License-Identifier: Apache-2.0
//
// ocictl, the command line: a client of ocid.
#include <cstdio>
#include <cstdlib>

#include "ctl/commands/commands.h"
#include "version.h"

namespace ocirun::ctl {
namespace {

void AddAll(CLI::App* app, Session* session) {
  AddRunCommands(app, session);
  AddStreamCommands(app, session);
  AddContainerCommands(app, session);
  AddImageCommands(app, session);
  AddInspectCommand(app, session);
  AddSystemCommands(app, session);
  CLI::App* image = app->add_subcommand("image", "Manage images");
  image->require_subcommand(1);
  AddImageCommands(image, session);
  CLI::App* container = app->add_subcommand("container", "Manage containers");
  container->require_subcommand(1);
  AddRunCommands(container, session);
  AddStreamCommands(container, session);
  AddContainerCommands(container, session);
}

// The command that the user typed, for messages.
std::string TypedCommand(const CLI::App& app) {
  const auto typed = app.get_subcommands();
  return typed.empty() ? "" : " " + typed.front()->get_name();
}

int Main(int argc, char** argv) {
  Session session;
  const char* host = std::getenv("OCID_HOST");
  session.host = host != nullptr && *host != '\0' ? host : "unix:///run/ocid/ocid.sock";
  CLI::App app("ocictl, the command line of ocirun", "ocictl");
  app.set_version_flag("-v,--version", fmt::format("ocictl version {}", kVersion));
  app.add_option("-H,--host", session.host, "Daemon socket to connect to");
  app.require_subcommand(0, 1);
  AddAll(&app, &session);
  // An unknown command is told by its name, whatever comes behind it.
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "-H" || word == "--host") ++i;
    if (word.starts_with('-')) continue;
    const auto named = [&](const CLI::App* command) { return command->get_name() == word; };
    if (!app.get_subcommands(named).empty()) break;
    return FailHere(
        fmt::format("ocictl: '{}' is not an ocictl command.\nSee 'ocictl --help'", word));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError& error) {
    const auto typed = app.get_subcommands();
    std::vector<std::string> extra = app.remaining(true);
    const std::string word = extra.empty() ? "" : extra.front();
    if (typed.empty() && !word.starts_with('-')) {
      return FailHere(
          fmt::format("ocictl: '{}' is not an ocictl command.\nSee 'ocictl --help'", word));
    }
    const std::string command = TypedCommand(app);
    if (word.starts_with('-')) {
      return FailHere(fmt::format("unknown flag: {}\nSee 'ocictl{} --help'.", word, command), 125);
    }
    return FailHere(fmt::format("\"ocictl{}\": unexpected argument \"{}\"\nSee 'ocictl{} --help'.",
                                command, word, command));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    const std::string command = TypedCommand(app);
    return FailHere(fmt::format("{}\nSee 'ocictl{} --help'.", error.what(), command), 125);
  }
  if (!session.run) {
    fmt::print("{}", app.help());
    return 0;
  }
  const int code = session.run();
  std::fflush(stdout);
  return code;
}

}  // namespace
}  // namespace ocirun::ctl

int main(int argc, char** argv) { return ocirun::ctl::Main(argc, argv); }
