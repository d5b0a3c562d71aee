// SPDX-License-Identifier: Apache-2.0
//
// Every command puts its options into the parser and leaves what it does in Session::run.
#pragma once

#include "ctl/client.h"

namespace ocirun::ctl {

void AddImageCommands(CLI::App* app, Session* session);      // pull images rmi tag history
void AddContainerCommands(CLI::App* app, Session* session);  // ps rm stop kill ... logs wait
void AddRunCommands(CLI::App* app, Session* session);        // run create
void AddStreamCommands(CLI::App* app, Session* session);     // start attach exec
void AddInspectCommand(CLI::App* app, Session* session);
void AddSystemCommands(CLI::App* app, Session* session);  // version info events

// Pulls with progress on `out`; quiet prints only the reference.
int PullImage(Session* session, const std::string& reference, const std::string& platform,
              bool quiet, FILE* out);

// Streams between our terminal and a container or an exec.
struct StreamOptions {
  bool input = false;
  bool tty = false;
  bool proxy_signals = true;
  std::string detach_keys = "ctrl-p,ctrl-q";
};
enum class StreamEnd { kEnded, kDetached, kFailed };

// Opens the attach stream, calls `start` once nothing can be missed, and copies until the end.
StreamEnd AttachStreams(Session* session, const std::string& container,
                        const StreamOptions& options, const std::function<Status()>& start,
                        Status* status);

// Waits in the background from its making on.
class ExitWaiter {
 public:
  // `id` is the whole id, `exits_seen` as the container's state has it (0 for a new one).
  ExitWaiter(Session* session, const std::string& id, uint64_t exits_seen, bool removed);
  // The container's exit code.
  StatusOr<int> Wait();

 private:
  Session* session_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  ocid::v1::WaitContainerResponse response_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<ocid::v1::WaitContainerResponse>> reader_;

 public:
  void Cancel();
};

}  // namespace ocirun::ctl
