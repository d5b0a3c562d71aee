// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "ocid/v1/container.pb.h"

namespace ocirun::ctl {

// What `run` and `create` were told, as words.
struct RunOptions {
  bool detach = false, interactive = false, tty = false, remove = false, privileged = false;
  bool read_only = false, publish_all = false, init = false, quiet = false, sig_proxy = true;
  bool oom_kill_disable = false;
  std::string name, hostname, domainname, user, workdir, network, entrypoint, restart, platform;
  std::string pull = "missing", cidfile, detach_keys = "ctrl-p,ctrl-q", stop_signal;
  std::string ipc, pid, uts, userns, cgroupns, cgroup_parent, runtime, log_driver;
  std::string memory, memory_swap, memory_reservation, cpus, cpuset_cpus, cpuset_mems, shm_size;
  std::vector<std::string> env, env_files, labels, label_files, publish, expose, volumes, mounts;
  std::vector<std::string> tmpfs, cap_add, cap_drop, dns, dns_search, dns_options, add_hosts;
  std::vector<std::string> group_add, security_opt, sysctls, devices, ulimits, log_opts,
      volumes_from;
  int64_t cpu_shares = 0, cpu_period = 0, cpu_quota = 0, pids_limit = 0;
  int stop_timeout = 10, oom_score_adj = 0;
  uint32_t blkio_weight = 0;
  uint64_t memory_swappiness = 0;
  std::vector<std::string> words;  // IMAGE [COMMAND] [ARG...]
};

void AddRunOptions(CLI::App* command, const std::shared_ptr<RunOptions>& options);

// InvalidArgument with Docker's words for a value that cannot be.
StatusOr<ocid::v1::CreateContainerRequest> BuildCreateRequest(const CLI::App& command,
                                                              const RunOptions& options);

}  // namespace ocirun::ctl
