// SPDX-License-Identifier: Apache-2.0
//
// ocictl, the command line: a client of ocid.
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "base/version.h"
#include "ctl/commands/commands.h"

namespace ocirun::ctl {
namespace {

void AddAll(Command* top, Session* session) {
  AddRunCommands(top, session);
  AddStreamCommands(top, session);
  AddContainerCommands(top, session);
  AddImageCommands(top, session);
  AddInspectCommand(top, session);
  AddSystemCommands(top, session);
  Command* image = top->Add("image", "COMMAND", "Manage images", {0, Arity::kAny});
  AddImageCommands(image, session);
  AddInspectCommand(image, session);
  Command* container = top->Add("container", "COMMAND", "Manage containers", {0, Arity::kAny});
  AddRunCommands(container, session);
  AddStreamCommands(container, session);
  AddContainerCommands(container, session);
  AddInspectCommand(container, session);
  Command* system = top->Add("system", "COMMAND", "Manage the daemon", {0, Arity::kAny});
  AddSystemCommands(system, session);
}

int Main(int argc, char** argv) {
  Session session;
  const char* host = std::getenv("OCID_HOST");
  session.host = host != nullptr && *host != '\0' ? host : "unix:///run/ocid/ocid.sock";
  bool version = false;
  Command top("ocictl", "[OPTIONS] COMMAND", "The command line of ocirun, a container stack");
  top.Option("-H,--host", &session.host, "Daemon socket to connect to (unix:///PATH)");
  top.Flag("-v,--version", &version, "Print version information and quit");
  top.before = [&]() -> std::optional<int> {
    if (version) {
      fmt::print("ocictl version {}, build {}\n", kVersion, kCommit);
      return 0;
    }
    const Status usable = session.CheckHost();
    return usable.ok() ? std::nullopt : std::optional(Fail(usable));
  };
  AddAll(&top, &session);
  const int code = top.Execute({argv + 1, argv + argc});
  std::fflush(stdout);
  return code;
}

}  // namespace
}  // namespace ocirun::ctl

int main(int argc, char** argv) { return ocirun::ctl::Main(argc, argv); }
