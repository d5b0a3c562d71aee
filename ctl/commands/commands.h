// SPDX-License-Identifier: Apache-2.0
//
// Every function adds commands below `app`: the top, or a group ("container", "image", "system").
#pragma once

#include "ctl/client.h"
#include "ctl/command_line.h"
#include "ctl/signals.h"
#include "ctl/terminal.h"

namespace ocirun::ctl {

// The exit code of inspect, version, info and events for a --format that is no template.
constexpr int kBadTemplate = 64;

void AddImageCommands(Command* app, Session* session);      // pull images rmi tag history
void AddContainerCommands(Command* app, Session* session);  // ps rm stop kill ... logs wait
void AddRunCommands(Command* app, Session* session);        // run create
void AddStreamCommands(Command* app, Session* session);     // start attach exec
void AddInspectCommand(Command* app, Session* session);     // of what the group is about
void AddSystemCommands(Command* app, Session* session);     // version info events

// Pulls with progress on `out`; quiet shows nothing. The event of the end is the result.
StatusOr<ocid::v1::PullImageProgress::Result> PullImage(Session* session,
                                                        const std::string& reference,
                                                        const std::string& platform, bool quiet,
                                                        FILE* out);
// Whether a reference as typed names a tag or a digest.
bool HasTag(const std::string& reference);

// Streams between our terminal and a container or an exec.
struct StreamOptions {
  bool input = false;
  bool output = true;
  bool errors = true;
  bool tty = false;
  bool proxy_signals = true;
  std::string detach_keys = kDefaultDetachKeys;
  SignalThread* signals = nullptr;  // borrowed, made before any call
};
enum class StreamEnd { kEnded, kDetached, kFailed };

// Opens the attach stream, calls `start` once nothing can be missed, and copies until the end.
StreamEnd AttachStreams(Session* session, const std::string& container,
                        const StreamOptions& options, const std::function<Status()>& start,
                        Status* status);

// Waits in the background from its making on.
class ExitWaiter {
 public:
  struct Of {
    std::string id;           // the whole one
    uint64_t exits_seen = 0;  // as the container's state has it (0 for a new one)
    bool removed = false;     // until it is removed, which follows its exit (--rm)
    bool restarts = false;    // by its policy; the first exit is what ends the wait
  };
  ExitWaiter(Session* session, const Of& of);
  // The container's exit code; of the next daemon, if there is another one by then.
  StatusOr<int> Wait();
  void Cancel();

 private:
  // By the daemon's events: a container that restarts has not ended for good.
  StatusOr<int> WaitForDie();
  StatusOr<int> WaitAgain();

  Session* session_;
  Of of_;
  int64_t since_;  // before the container can end
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  ocid::v1::WaitContainerResponse response_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<ocid::v1::WaitContainerResponse>> reader_;
};

}  // namespace ocirun::ctl
