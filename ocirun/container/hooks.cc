// SPDX-License-Identifier: Apache-2.0
#include "ocirun/container/hooks.h"

#include <sys/wait.h>

#include <cstring>

#include "base/subprocess.h"
#include "base/sys/process.h"
#include "ocirun/log/log.h"

namespace ocirun::container {
namespace {

Status RunHook(const oci::Hook& hook, const std::string& state_json) {
  Command command{.path = hook.path, .args = hook.args, .env = hook.env, .input = state_json};
  if (hook.timeout_seconds.has_value())
    command.timeout = std::chrono::seconds(*hook.timeout_seconds);
  ASSIGN_OR_RETURN(const CommandResult result, RunCommand(command));
  const int code = sys::ExitCodeOf(result.wait_status);
  if (code == 0) return OkStatus();
  std::string end = fmt::format("exited with status {}", code);
  if (WIFSIGNALED(result.wait_status)) {
    end = ::strsignal(WTERMSIG(result.wait_status));
    if (!end.empty() && end[0] >= 'A' && end[0] <= 'Z') end[0] = static_cast<char>(end[0] + 32);
    end = "was ended by signal: " + end;
  }
  return FailedPrecondition("{} {}{}", hook.path, end, OutputAfterColon(result));
}

Status RunNumbered(const std::vector<oci::Hook>& hooks, size_t number, std::string_view kind,
                   const std::string& state_json) {
  return Annotate(RunHook(hooks[number], state_json),
                  fmt::format("error running {} hook #{}", kind, number));
}

}  // namespace

Status RunHooks(const std::vector<oci::Hook>& hooks, std::string_view kind,
                const std::string& state_json) {
  for (size_t i = 0; i < hooks.size(); ++i)
    RETURN_IF_ERROR(RunNumbered(hooks, i, kind, state_json));
  return OkStatus();
}

void RunPoststopHooks(const std::vector<oci::Hook>& hooks, const std::string& state_json) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    const Status status = RunNumbered(hooks, i, "poststop", state_json);
    if (!status.ok()) Warn("{}", MessageOf(status));
  }
}

}  // namespace ocirun::container
