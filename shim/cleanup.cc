// SPDX-License-Identifier: Apache-2.0
#include "shim/cleanup.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/sys/socket.h"
#include "base/time.h"
#include "containerd/task.pb.h"
#include "shim/bootstrap.h"
#include "shim/options.h"
#include "shim/rootfs.h"
#include "shim/runtime.h"
#include "shim/service.h"

namespace ocirun::shim {
namespace {

constexpr auto kRuntimeTimeout = std::chrono::seconds(30);

Status DeleteFromRuntime(const Flags& flags, const std::string& bundle) {
  ASSIGN_OR_RETURN(const RuncOptions options, LoadOptions(bundle));
  ASSIGN_OR_RETURN(
      const CommandResult result,
      RunRuntime(options.binary_name(),
                 {"--root", RuntimeRoot(options, flags.name_space), "delete", "--force", flags.id},
                 kRuntimeTimeout));
  // Runtimes disagree on whether nothing to do is an error.
  if (sys::ExitCodeOf(result.wait_status) == 0 ||
      result.error_output.find("does not exist") != std::string::npos)
    return OkStatus();
  return FailedPrecondition("delete of {}{}", flags.id, OutputAfterColon(result));
}

// The socket of a shim that was killed; one that serves others of its group stays.
void RemoveDeadSocket(const std::string& bundle) {
  const auto address = ReadFile(bundle + "/address", 4096);
  if (!address.ok() || !address->starts_with(kUnixScheme)) return;
  const std::string path = address->substr(kUnixScheme.size());
  if (ErrnoOf(sys::ConnectUnix(path, SOCK_STREAM).status()) == ECONNREFUSED)
    IgnoreError(sys::Unlink(path), "somebody else was faster");
}

uint32_t InitPid(const std::string& bundle) {
  uint32_t pid = 0;
  const auto text = ReadFile(bundle + "/init.pid", 64);
  if (text.ok()) std::from_chars(text->data(), text->data() + text->size(), pid);
  return pid;
}

}  // namespace

StatusOr<int> Delete(const Flags& flags) {
  const std::string bundle = flags.bundle.empty() ? "." : flags.bundle;
  RETURN_IF_ERROR(DeleteFromRuntime(flags, bundle));
  RETURN_IF_ERROR(UnmountAll(bundle + "/rootfs"));
  RemoveDeadSocket(bundle);
  containerd::task::v3::DeleteResponse response;
  constexpr uint32_t kKilled = 128 + SIGKILL;
  response.set_pid(InitPid(bundle));
  response.set_exit_status(kKilled);
  FillTime(NowUnixNanos(), response.mutable_exited_at());
  RETURN_IF_ERROR(Print(response.SerializeAsString()));
  return 0;
}

}  // namespace ocirun::shim
