// SPDX-License-Identifier: Apache-2.0
#include <sys/prctl.h>
#include <unistd.h>

#include <memory>

#include "base/sys/process.h"
#include "ocirun/cli/cli.h"
#include "ocirun/cli/foreground.h"
#include "ocirun/container/lifecycle.h"

namespace ocirun::cli {
namespace {

constexpr int kMaxPreservedFds = 1000;

// The options that create and run share.
struct CreateFlags {
  container::CreateOptions options;
  bool no_pivot = false, no_new_keyring = false;
};

void AddCreateFlags(CliCommand* command, CreateFlags* flags) {
  container::CreateOptions* o = &flags->options;
  command->Option("-b,--bundle", &o->bundle,
                  "path to the root of the bundle directory, defaults to the current directory");
  command->Option("-f,--config", &o->config_file,
                  "path to the configuration, defaults to config.json in the bundle");
  command->Option("--console-socket", &o->console_socket,
                  "path to an AF_UNIX socket which will receive the console's master");
  command->Option("--pidfd-socket", &o->pidfd_socket,
                  "path to an AF_UNIX socket which will receive a file descriptor referencing "
                  "the init process");
  command->Option("--pid-file", &o->pid_file, "specify the file to write the process id to");
  command->Flag("--no-pivot", &flags->no_pivot,
                "do not use pivot root to jail process inside rootfs");
  command->Flag("--no-new-keyring", &flags->no_new_keyring,
                "do not create a new session keyring for the container");
  AddPreserveFds(command, &o->preserve_fds);
}

}  // namespace

void AddPreserveFds(CliCommand* command, int* count) {
  const auto set = [count](const std::string& value) -> Status {
    ASSIGN_OR_RETURN(const int64_t number, ParseInt(value));
    if (number < 0 || number > kMaxPreservedFds)
      return InvalidArgument("must be from 0 to {}", kMaxPreservedFds);
    *count = static_cast<int>(number);
    return OkStatus();
  };
  command->Parsed("--preserve-fds", "int", set,
                  "pass N additional file descriptors to the container");
}

StatusOr<std::string> BundleFolder(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(
      ::realpath(path.empty() ? "." : path.c_str(), nullptr), ::free);
  if (!real) return SysError(errno, "bundle", path);
  return std::string(real.get());
}

namespace {

StatusOr<container::CreateOptions> Finish(const Global& global, const CliCommand& command,
                                          CreateFlags flags) {
  flags.options.id = command.container_id();
  flags.options.tolerate_cgroups =
      global.rootless == "true" || (global.rootless == "auto" && !sys::IsHostRoot());
  flags.options.cgroup_driver = global.cgroup_driver();
  ASSIGN_OR_RETURN(flags.options.bundle, BundleFolder(flags.options.bundle));
  if (flags.no_pivot) flags.options.root_change = linux_::RootChange::kMove;
  flags.options.new_keyring = !flags.no_new_keyring;
  return flags.options;
}

}  // namespace

void DescribeCreate(CliCommand* command) {
  auto flags = std::make_shared<CreateFlags>();
  AddCreateFlags(command, flags.get());
  command->run = [flags, command](const Global& global) -> StatusOr<int> {
    ASSIGN_OR_RETURN(const container::CreateOptions options, Finish(global, *command, *flags));
    ASSIGN_OR_RETURN(container::Bundle bundle, container::ReadBundle(options));
    RETURN_IF_ERROR(container::Create(global.store(), options, std::move(bundle)).status());
    return 0;
  };
}

void DescribeRun(CliCommand* command) {
  struct RunFlags : CreateFlags {
    bool detach = false, keep = false, no_subreaper = false;
  };
  auto flags = std::make_shared<RunFlags>();
  AddCreateFlags(command, flags.get());
  command->Flag("-d,--detach", &flags->detach, "detach from the container's process");
  command->Flag("--keep", &flags->keep, "do not delete the container after it exits");
  command->Flag("--no-subreaper", &flags->no_subreaper, "disable the use of the subreaper");
  command->run = [flags, command](const Global& global) -> StatusOr<int> {
    ASSIGN_OR_RETURN(container::CreateOptions options, Finish(global, *command, *flags));
    const container::Store store = global.store();
    if (flags->detach) {
      ASSIGN_OR_RETURN(container::Bundle bundle, container::ReadBundle(options));
      RETURN_IF_ERROR(container::Create(store, options, std::move(bundle)).status());
      const Status started = container::StartAndWaitReady(store, options.id);
      if (!started.ok())
        IgnoreError(container::Delete(store, options.id, container::DeleteMode::kForce),
                    "undoing: the first error is the one to report");
      RETURN_IF_ERROR(started);
      return 0;
    }
    // What the container leaves behind when its init ends is reaped here.
    if (!flags->no_subreaper && ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
      return SysError(errno, "prctl PR_SET_CHILD_SUBREAPER");
    return RunInForeground(store, std::move(options), flags->keep);
  };
}

}  // namespace ocirun::cli
