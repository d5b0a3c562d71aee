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

// The options that create and run share.
struct CreateFlags {
  container::CreateOptions options;
  bool no_pivot = false, no_new_keyring = false;
};

void AddCreateFlags(CLI::App* command, CreateFlags* flags) {
  container::CreateOptions* o = &flags->options;
  command->add_option(
      "-b,--bundle", o->bundle,
      "path to the root of the bundle directory, defaults to the current directory");
  command->add_option("--console-socket", o->console_socket,
                      "path to an AF_UNIX socket which will receive the console's master");
  command->add_option("--pidfd-socket", o->pidfd_socket,
                      "path to an AF_UNIX socket which will receive a file descriptor referencing "
                      "the init process");
  command->add_option("--pid-file", o->pid_file, "specify the file to write the process id to");
  command->add_flag("--no-pivot", flags->no_pivot,
                    "do not use pivot root to jail process inside rootfs");
  command->add_flag("--no-new-keyring", flags->no_new_keyring,
                    "do not create a new session keyring for the container");
  command
      ->add_option("--preserve-fds", o->preserve_fds,
                   "pass N additional file descriptors to the container")
      ->check(CLI::Range(0, 1000));
  command->add_option("container-id", o->id, "name of the instance")->required();
}

}  // namespace

StatusOr<std::string> BundleFolder(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(
      ::realpath(path.empty() ? "." : path.c_str(), nullptr), ::free);
  if (!real) return SysError(errno, "bundle", path);
  return std::string(real.get());
}

namespace {

StatusOr<container::CreateOptions> Finish(const Global& global, CreateFlags flags) {
  flags.options.tolerate_cgroups =
      global.rootless == "true" || (global.rootless == "auto" && !sys::IsHostRoot());
  flags.options.systemd_cgroup = global.systemd_cgroup;
  ASSIGN_OR_RETURN(flags.options.bundle, BundleFolder(flags.options.bundle));
  if (flags.no_pivot) flags.options.root_change = linux_::RootChange::kMove;
  flags.options.new_keyring = !flags.no_new_keyring;
  return flags.options;
}

}  // namespace

void AddCreate(CLI::App* app, Action* run) {
  auto flags = std::make_shared<CreateFlags>();
  CLI::App* command = app->add_subcommand("create", "create a container");
  AddCreateFlags(command, flags.get());
  command->callback([flags, run] {
    *run = [flags](const Global& global) -> StatusOr<int> {
      ASSIGN_OR_RETURN(const container::CreateOptions options, Finish(global, *flags));
      ASSIGN_OR_RETURN(container::Bundle bundle, container::ReadBundle(options.bundle));
      RETURN_IF_ERROR(container::Create(global.store(), options, std::move(bundle)).status());
      return 0;
    };
  });
}

void AddRun(CLI::App* app, Action* run) {
  struct RunFlags : CreateFlags {
    bool detach = false, keep = false, no_subreaper = false;
  };
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command = app->add_subcommand("run", "create and run a container");
  AddCreateFlags(command, flags.get());
  command->add_flag("-d,--detach", flags->detach, "detach from the container's process");
  command->add_flag("--keep", flags->keep, "do not delete the container after it exits");
  command->add_flag("--no-subreaper", flags->no_subreaper, "disable the use of the subreaper");
  command->callback([flags, run] {
    *run = [flags](const Global& global) -> StatusOr<int> {
      ASSIGN_OR_RETURN(container::CreateOptions options, Finish(global, *flags));
      const container::Store store = global.store();
      if (flags->detach) {
        ASSIGN_OR_RETURN(container::Bundle bundle, container::ReadBundle(options.bundle));
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
  });
}

}  // namespace ocirun::cli
