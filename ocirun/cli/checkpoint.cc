// SPDX-License-Identifier: Apache-2.0
#include "ocirun/container/checkpoint.h"

#include <unistd.h>

#include <memory>

#include "ocirun/cli/cli.h"
#include "ocirun/cli/criu_flags.h"
#include "ocirun/log/log.h"

namespace ocirun::cli {

void AddCriuFlags(CliCommand* command, container::CriuOptions* options) {
  container::CriuOptions* o = options;
  o->image_path = container::kDefaultImagePath;
  command->Option("--image-path", &o->image_path, "path of the folder of criu image files");
  command->Option("--work-path", &o->work_path, "path for saving work files and logs");
  command->Flag("--tcp-established", &o->tcp_established, "allow open tcp connections");
  command->Flag("--ext-unix-sk", &o->ext_unix_sk, "allow external unix sockets");
  command->Flag("--shell-job", &o->shell_job, "allow shell jobs");
  command->Flag("--file-locks", &o->file_locks, "handle file locks, for safety");
  command->Flag("--link-remap", &o->link_remap,
                "allow one to link unlinked files back when possible");
  command->Flag("--lazy-pages", &o->lazy_pages, "use userfaultfd to lazily restore memory pages");
  command->Flag("--auto-dedup", &o->auto_dedup, "enable auto deduplication of memory images");
  command->Option("--manage-cgroups-mode", &o->manage_cgroups_mode,
                  "cgroups mode: soft|full|strict|ignore (default: soft)");
  command->List("--empty-ns", &o->empty_ns, "create a namespace, but don't restore its properties");
}

void WarnRootless(std::string_view command) {
  if (::geteuid() != 0) Warn("ocirun {} is untested with rootless containers", command);
}

void DescribeCheckpoint(CliCommand* command) {
  auto flags = std::make_shared<container::CriuOptions>();
  container::CriuOptions* o = flags.get();
  AddCriuFlags(command, o);
  command->Option("--parent-path", &o->parent_path,
                  "path for previous criu image files in pre-dump");
  command->Flag("--leave-running", &o->leave_running,
                "leave the process running after checkpointing");
  command->Flag("--tcp-skip-in-flight", &o->tcp_skip_in_flight, "skip in-flight tcp connections");
  command->Option("--status-fd", &o->status_fd,
                  "criu writes \\0 to this FD once lazy-pages is ready");
  command->Option("--page-server", &o->page_server, "ADDRESS:PORT of the page server");
  command->Flag("--pre-dump", &o->pre_dump,
                "dump container's memory information only, leave the container running after "
                "this");
  command->run = [flags, command](const Global& global) -> StatusOr<int> {
    WarnRootless("checkpoint");
    RETURN_IF_ERROR(container::Checkpoint(global.store(), command->container_id(), *flags));
    return 0;
  };
}

}  // namespace ocirun::cli
