// SPDX-License-Identifier: Apache-2.0
#include "ocirun/container/checkpoint.h"

#include <unistd.h>

#include <memory>

#include "ocirun/cli/cli.h"
#include "ocirun/cli/criu_flags.h"
#include "ocirun/log/log.h"

namespace ocirun::cli {

void AddCriuFlags(CLI::App* command, container::CriuOptions* options) {
  container::CriuOptions* o = options;
  o->image_path = container::kDefaultImagePath;
  command->add_option("--image-path", o->image_path, "path of the folder of criu image files");
  command->add_option("--work-path", o->work_path, "path for saving work files and logs");
  command->add_flag("--tcp-established", o->tcp_established, "allow open tcp connections");
  command->add_flag("--ext-unix-sk", o->ext_unix_sk, "allow external unix sockets");
  command->add_flag("--shell-job", o->shell_job, "allow shell jobs");
  command->add_flag("--file-locks", o->file_locks, "handle file locks, for safety");
  command->add_flag("--link-remap", o->link_remap,
                    "allow one to link unlinked files back when possible");
  command->add_flag("--lazy-pages", o->lazy_pages,
                    "use userfaultfd to lazily restore memory pages");
  command->add_flag("--auto-dedup", o->auto_dedup, "enable auto deduplication of memory images");
  command->add_option("--manage-cgroups-mode", o->manage_cgroups_mode,
                      "cgroups mode: soft|full|strict|ignore (default: soft)");
  command
      ->add_option("--empty-ns", o->empty_ns,
                   "create a namespace, but don't restore its properties")
      ->allow_extra_args(false);
}

void WarnRootless(std::string_view command) {
  if (::geteuid() != 0) Warn("ocirun {} is untested with rootless containers", command);
}

void AddCheckpoint(CLI::App* app, Action* run) {
  struct Flags {
    std::string id;
    container::CriuOptions criu;
  };
  auto flags = std::make_shared<Flags>();
  container::CriuOptions* o = &flags->criu;
  CLI::App* command = app->add_subcommand("checkpoint", "checkpoint a running container");
  AddCriuFlags(command, o);
  command->add_option("--parent-path", o->parent_path,
                      "path for previous criu image files in pre-dump");
  command->add_flag("--leave-running", o->leave_running,
                    "leave the process running after checkpointing");
  command->add_flag("--tcp-skip-in-flight", o->tcp_skip_in_flight,
                    "skip in-flight tcp connections");
  command->add_option("--status-fd", o->status_fd,
                      "criu writes \\0 to this FD once lazy-pages is ready");
  command->add_option("--page-server", o->page_server, "ADDRESS:PORT of the page server");
  command->add_flag("--pre-dump", o->pre_dump,
                    "dump container's memory information only, leave the container running after "
                    "this");
  command->add_option("container-id", flags->id, "name of the instance")->required();
  command->callback([flags, run] {
    *run = [flags](const Global& global) -> StatusOr<int> {
      WarnRootless("checkpoint");
      RETURN_IF_ERROR(container::Checkpoint(global.store(), flags->id, flags->criu));
      return 0;
    };
  });
}

}  // namespace ocirun::cli
