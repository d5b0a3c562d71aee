// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/subprocess.h"
#include "shim/loop.h"
#include "shim/server.h"
#include "shim/streams.h"

namespace ocirun::shim {

// The runtime's name when it is the one that is built in.
inline constexpr char kBuiltIn[] = "";

// Runs an OCI runtime with runc's command line, without ever waiting for it: the result comes
// through the loop. Ours is built in and runs in a child of the shim, without an exec; any other is
// a program.
//
//   shim ── fork ──► child: the runtime's library ── clone3 ──► init of the container
//     │                │                                          │
//     │◄── exit status ┘  (errors are in log.json.N)              │
//     └◄── the container's processes become the shim's (subreaper)┘
//
// The child is seen from the container as the runtime's program would be: the shim itself runs from
// a read-only mount (linux/self_exe.h), or else has nothing built in.
class Runtime {
 public:
  using Done = std::function<void(const Status&)>;

  enum class Cgroups { kFolders, kSystemd };  // kSystemd: --systemd-cgroup

  // `binary` is a path or found in PATH. `log` begins the names of the files that the runtime
  // reports its errors in, as JSON lines: one for each run, for as long as that takes.
  Runtime(Loop* loop, std::string binary, std::string root, std::string log, Cgroups cgroups)
      : loop_(loop),
        binary_(std::move(binary)),
        root_(std::move(root)),
        log_(std::move(log)),
        cgroups_(cgroups) {}

  // `ends` become the runtime's 0, 1 and 2 (missing ones: /dev/null) and are closed here. An exit
  // status other than 0 is an error with the last message of the log.
  void Run(std::vector<std::string> args, Streams::ChildEnds ends, Done done);
  // The same for a call that makes something: when `reply` is late the runtime is ended with all
  // that is in its process group, and `done` is told DeadlineExceeded, whatever came of it.
  void RunInTime(const Reply& reply, std::vector<std::string> args, Streams::ChildEnds ends,
                 Done done);

 private:
  // Outlives the Runtime: its container may be deleted meanwhile.
  struct Running {
    Loop* loop;
    pid_t pid;
    std::string name, log;  // "ocirun kill"
  };
  // A process group of its own. `ends` are closed here.
  StatusOr<Running> Begin(const std::vector<std::string>& args, Streams::ChildEnds ends);
  [[nodiscard]] std::vector<std::string> CommandLine(const std::vector<std::string>& args,
                                                     const std::string& log) const;
  static Status Ended(const Running& run, int wait_status);

  Loop* loop_;
  std::string binary_, root_, log_;
  uint64_t runs_ = 0;
  Cgroups cgroups_;
};

// Whether this program was called to be the runtime that is built in, and nothing else: by the
// runtime's name, as if that stood beside it, where its helpers are.
bool IsCalledAsRuntime(std::string_view name);

// Runs a runtime to its end, for who has no loop: `binary` as above, `args` without its name.
StatusOr<CommandResult> RunRuntime(const std::string& binary, std::vector<std::string> args,
                                   std::chrono::milliseconds timeout);

}  // namespace ocirun::shim
