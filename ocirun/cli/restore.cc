// SPDX-License-Identifier: Apache-2.0
#include <sys/prctl.h>

#include <memory>

#include "ocirun/cli/cli.h"
#include "ocirun/cli/criu_flags.h"
#include "ocirun/cli/foreground.h"
#include "ocirun/container/checkpoint.h"

namespace ocirun::cli {

void DescribeRestore(CliCommand* command) {
  struct Flags {
    container::CreateOptions create;
    container::CriuOptions criu;
    bool detach = false, keep = false, no_subreaper = false, no_pivot = false;
  };
  auto flags = std::make_shared<Flags>();
  container::CreateOptions* o = &flags->create;
  AddCriuFlags(command, &flags->criu);
  command->Option("-b,--bundle", &o->bundle,
                  "path to the root of the bundle directory, defaults to the current directory");
  command->Option("--console-socket", &o->console_socket,
                  "path to an AF_UNIX socket which will receive the console's master");
  command->Option("--pid-file", &o->pid_file, "specify the file to write the process id to");
  command->Flag("--tcp-close", &flags->criu.tcp_close, "close tcp connections of the image");
  command->Option("--lsm-profile", &flags->criu.lsm_profile,
                  "LSM profile to be used, in the form of TYPE:NAME");
  command->Option("--lsm-mount-context", &flags->criu.lsm_mount_context,
                  "LSM mount context to be used");
  command->Flag("-d,--detach", &flags->detach, "detach from the container's process");
  command->Flag("--keep", &flags->keep, "do not delete the container after it exits");
  command->Flag("--no-subreaper", &flags->no_subreaper, "disable the use of the subreaper");
  // How the root is entered is in the image; shims pass what they passed to create.
  command->Flag("--no-pivot", &flags->no_pivot, "without effect: criu enters the root its way");
  command->run = [flags, command](const Global& global) -> StatusOr<int> {
    WarnRootless("restore");
    if (global.cgroup_driver() == cgroup::Driver::kDisabled)
      return Unsupported("--cgroup-manager disabled: criu makes the cgroups of its image");
    flags->create.id = command->container_id();
    flags->create.cgroup_driver = global.cgroup_driver();
    ASSIGN_OR_RETURN(flags->create.bundle, BundleFolder(flags->create.bundle));
    const container::Store store = global.store();
    if (flags->detach) {
      ASSIGN_OR_RETURN(container::Bundle bundle, container::ReadBundle(flags->create));
      RETURN_IF_ERROR(
          container::Restore(store, flags->create, std::move(bundle), flags->criu).status());
      return 0;
    }
    if (!flags->no_subreaper && ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
      return SysError(errno, "prctl PR_SET_CHILD_SUBREAPER");
    return RestoreInForeground(store, flags->create, flags->criu, flags->keep);
  };
}

}  // namespace ocirun::cli
