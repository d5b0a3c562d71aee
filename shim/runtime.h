// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "shim/loop.h"
#include "shim/streams.h"

namespace ocirun::shim {

// Runs an OCI runtime as a program, with runc's command line, without ever waiting for it: the
// result comes through the loop.
class Runtime {
 public:
  using Done = std::function<void(const Status&)>;

  enum class Cgroups { kFolders, kSystemd };  // kSystemd: --systemd-cgroup

  // `log` is the file that the runtime reports its errors in, as JSON lines.
  Runtime(Loop* loop, std::string binary, std::string root, std::string log, Cgroups cgroups)
      : loop_(loop),
        binary_(std::move(binary)),
        root_(std::move(root)),
        log_(std::move(log)),
        cgroups_(cgroups) {}

  // `ends` become the program's 0, 1 and 2 (missing ones: /dev/null) and are closed here. An exit
  // status other than 0 is an error with the last message of the log.
  void Run(std::vector<std::string> args, Streams::ChildEnds ends, Done done);

 private:
  StatusOr<pid_t> Spawn(const std::vector<std::string>& args, const Streams::ChildEnds& ends);
  [[nodiscard]] Status Failure(const std::vector<std::string>& args, int wait_status) const;

  Loop* loop_;
  std::string binary_, root_, log_;
  Cgroups cgroups_;
};

}  // namespace ocirun::shim
