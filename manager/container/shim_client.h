// SPDX-License-Identifier: Apache-2.0
//
// One container's shim, seen from the daemon: containerd's task API v3 over ttrpc.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/json.h"
#include "base/status.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "proto/ttrpc/client.h"

namespace ocirun::container {

struct ShimStart {
  std::string program;       // path of ocishim
  std::string runtime;       // path of ocirun
  std::string runtime_root;  // state folder of the runtime; the namespace's is below it
  std::string bundle;
  std::string id;
  std::string name_space;
  std::string socket_dir;
};

struct TaskIo {
  bool terminal = false;
  std::string input;   // "attach:" or empty
  std::string output;  // stdio URI
};

struct ExitInfo {
  uint32_t status = 0;  // 0..255
  UnixNanos time = 0;
};

// Any thread; calls run side by side.
class ShimClient {
 public:
  // Starts the shim program and connects.
  static StatusOr<std::unique_ptr<ShimClient>> Start(const ShimStart& start);
  // Connects to the shim that a bundle names. Unavailable when it is gone.
  static StatusOr<std::unique_ptr<ShimClient>> Reconnect(const std::string& bundle,
                                                         const std::string& id);

  Status Create(const std::string& bundle, const TaskIo& io, const ShimStart& start);
  StatusOr<int> StartProcess(const std::string& exec_id);  // process id
  Status Exec(const std::string& exec_id, const TaskIo& io, const Json& process);
  // `limit` 0: as long as it takes; then DeadlineExceeded.
  Status Kill(const std::string& exec_id, int signal, bool all,
              std::chrono::nanoseconds limit = std::chrono::nanoseconds(0));
  StatusOr<ExitInfo> Wait(const std::string& exec_id);  // blocks
  Status Delete(const std::string& exec_id,
                std::chrono::nanoseconds limit = std::chrono::nanoseconds(0));
  Status Resize(const std::string& exec_id, uint32_t width, uint32_t height);
  Status Pause();
  Status Resume();
  struct State {
    int pid = 0;
    bool running = false;
    bool paused = false;
  };
  // DeadlineExceeded: the shim hangs.
  StatusOr<State> GetState();
  // Asks the shim to end. Its answer may be lost with it.
  void Shutdown();

 private:
  ShimClient(std::string id, std::unique_ptr<ttrpc::Client> client)
      : id_(std::move(id)), client_(std::move(client)) {}
  Status Call(const char* method, const google::protobuf::MessageLite& request,
              google::protobuf::MessageLite* response,
              std::chrono::nanoseconds limit = std::chrono::nanoseconds(0));

  std::string id_;
  std::unique_ptr<ttrpc::Client> client_;
};

// What exit.json of a bundle says: the shim writes it before it tells anybody.
StatusOr<ExitInfo> ReadExitFile(const std::string& bundle);

}  // namespace ocirun::container
