// SPDX-License-Identifier: Apache-2.0
//
// A program that takes the output of a process, as containerd's binary:// asks for:
//
//   fd 3  the read end of stdout        CONTAINER_ID, CONTAINER_NAMESPACE   its environment, all of
//   it fd 4  the read end of stderr fd 5  it says that it is ready: a byte, or the end; the process
//   starts then
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "shim/loop.h"
#include "shim/stdio_uri.h"

namespace ocirun::shim {

class Logger {
 public:
  struct Output {
    UniqueFd out, err;  // write ends
  };

  static StatusOr<std::unique_ptr<Logger>> Start(Loop* loop, const LoggerUri& uri,
                                                 const std::vector<std::string>& environment,
                                                 Output* output);
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  // Calls `ready` once, maybe at once. An error of a logger that must say it, and did not.
  void WhenReady(std::function<void(const Status&)> ready);
  // Asks it to end, and after 12 s does not ask any more; `gone` is called when it is.
  void Stop(std::function<void()> gone);

 private:
  // Outlives the Logger until the program has ended.
  struct Program {
    pid_t pid = 0;
    bool gone = false;
    std::function<void()> on_gone;
  };
  Logger(Loop* loop, bool must_answer) : loop_(loop), must_answer_(must_answer) {}
  Status Spawn(const LoggerUri& uri, const std::vector<std::string>& environment,
               const UniqueFd& out, const UniqueFd& err, const UniqueFd& ready);
  void HearReady();
  void SetReady(Status status);

  Loop* loop_;
  bool must_answer_;
  UniqueFd ready_pipe_;
  bool is_ready_ = false, stopped_ = false;
  Status ready_status_;
  std::function<void(const Status&)> on_ready_;
  std::shared_ptr<Program> program_ = std::make_shared<Program>();
  std::shared_ptr<int> alive_ = std::make_shared<int>();  // timers outlive this; they look here
};

}  // namespace ocirun::shim
