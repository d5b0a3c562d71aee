// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "ctl/command_line.h"
#include "ctl/terminal.h"
#include "ocid/v1/container.pb.h"

namespace ocirun::ctl {

// What `run` and `create` were told, as words.
struct RunOptions {
  bool detach = false, interactive = false, tty = false, remove = false, privileged = false;
  bool read_only = false, publish_all = false, init = false, quiet = false, sig_proxy = true;
  bool oom_kill_disable = false;
  std::string name, hostname, domainname, user, workdir, network, entrypoint, restart, platform;
  std::string pull = "missing", cidfile, detach_keys = kDefaultDetachKeys, stop_signal;
  std::string ipc, pid, uts, userns, cgroupns, cgroup_parent, runtime, log_driver;
  std::string cpuset_cpus, cpuset_mems;
  std::vector<std::string> env, env_files, labels, label_files, publish, expose, volumes, mounts;
  std::vector<std::string> tmpfs, cap_add, cap_drop, dns, dns_search, dns_options, add_hosts;
  std::vector<std::string> group_add, security_opt, sysctls, devices, ulimits, log_opts,
      volumes_from;
  std::vector<std::string> attach;  // stdin, stdout, stderr; empty: all that there is
  int64_t memory = 0, memory_swap = 0, memory_reservation = 0, shm_size = 0;  // bytes
  int64_t cpu_shares = 0, cpu_period = 0, cpu_quota = 0, pids_limit = 0, nano_cpus = 0;
  int64_t blkio_weight = 0, memory_swappiness = -1;
  int stop_timeout = 10, oom_score_adj = 0;
  std::vector<std::string> words;  // IMAGE [COMMAND] [ARG...]

  // Whether `stream` is to be attached: "stdin", "stdout" or "stderr".
  [[nodiscard]] bool Attaches(const std::string& stream) const;
};

// For Command::List: what is wrong with NAME=VALUE or NAME.
Status CheckEnv(const std::string& word);
// The lines of `files` and then `words`, names alone taken from our environment or left out.
StatusOr<std::vector<std::string>> ReadEnv(const std::vector<std::string>& files,
                                           const std::vector<std::string>& words);

// `options` is borrowed by the command; `starts` adds what only run has.
void AddRunOptions(Command* command, RunOptions* options, bool starts);

// InvalidArgument with Docker's words for a value that cannot be.
StatusOr<ocid::v1::CreateContainerRequest> BuildCreateRequest(const Command& command,
                                                              const RunOptions& options);

}  // namespace ocirun::ctl
