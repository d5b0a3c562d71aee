// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/ioctl.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/unique_fd.h"
#include "shim/acceptor.h"
#include "shim/attach.h"
#include "shim/log_writer.h"
#include "shim/logger.h"
#include "shim/loop.h"
#include "shim/sink.h"
#include "shim/stdio_uri.h"

namespace ocirun::shim {

// The standard streams of one process. Of ours, the shim reads the output, writes the log, feeds
// attach clients and its input. Of containerd's, it copies between the process's pipes and the
// fifos or the file that containerd names, or gives the process the pipes of a logger. The only
// thing that holds the process up is its own pipe, while an attach client that is connected is
// behind, or a fifo full; the only thing that holds a client's input up is a process that does not
// read.
class Streams {
 public:
  struct Options {
    bool terminal = false;
    bool open_stdin = false;
    StdioUri output;
    std::string stdin_path, stderr_path;  // containerd's; empty: none
    std::string console_socket;           // path to make, with a terminal
    uid_t io_uid = 0;                     // who is to own the process's pipes
    gid_t io_gid = 0;
    std::vector<std::string> logger_environment;
  };
  // The ends that the runtime program gets as 0, 1 and 2; they are closed once it is spawned.
  struct ChildEnds {
    UniqueFd in, out, err;
  };

  // `ended` is called once, when all output was read.
  static StatusOr<std::unique_ptr<Streams>> Create(Loop* loop, Options options, ChildEnds* child,
                                                   std::function<void()> ended);
  ~Streams();
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  // The process is there: its output is read from now on. What the runtime says before, on the same
  // pipes, is no output of the container's.
  Status Begin();
  // There will be no process: nothing is read, and the streams end.
  void GiveUp();
  // The process may start: a logger, if there is one, is ready.
  void WhenReady(std::function<void(const Status&)> ready);
  // Whoever waits for the process learns of its end at once, whatever becomes of its output: so it
  // is when containerd reads that. Else first all of the output is where it belongs.
  [[nodiscard]] bool EndsAtOnce() const { return !log_ && !attach_; }
  // A fifo's end comes when its other writers have closed it, too.
  void CloseInput();
  // Nothing is read or written any more; a logger is asked to end. `closed` is called when it has.
  void Close(std::function<void()> closed);
  // Of the terminal; also before there is one, which then has it from its first moment in the shim.
  Status Resize(uint32_t width, uint32_t height);
  // See LogWriter. FailedPrecondition: there is no log.
  Status ReopenLog();

  struct Counters {
    uint64_t bytes = 0, lines = 0;
    uint64_t unlogged_bytes = 0;  // that the log's disk refused
  };
  [[nodiscard]] const Counters& counters(Stream stream) const {
    return counters_[static_cast<int>(stream)];
  }
  [[nodiscard]] AttachServer::Drops drops() const {
    return attach_ ? attach_->drops() : AttachServer::Drops();
  }

  // The process has ended: what is in its pipes is read, and then the streams end, though somebody
  // else may still hold them open.
  void ProcessEnded();
  [[nodiscard]] bool ended() const { return ended_; }
  // The streams have ended, and clients have not got all of the output yet. `left` is called when
  // the last of them has, or is gone; it must not destroy the streams at once.
  [[nodiscard]] bool HasSlowClients() const { return ended_ && attach_ && attach_->HasClients(); }
  // Nobody else can attach from now on.
  void WhenClientsLeft(std::function<void()> left) {
    attach_->StopListening();
    on_left_ = std::move(left);
  }

 private:
  struct Source {
    UniqueFd fd;
    Stream stream = Stream::kStdout;
    bool grown = false;    // its pipe
    bool paused = false;   // not read
    size_t last_size = 0;  // of the last read
    std::chrono::steady_clock::time_point last_read;
    std::unique_ptr<Sink> sink;
  };
  Streams(Loop* loop, Options options, std::function<void()> on_end);
  Status OpenOutputs(ChildEnds* child);
  Status OpenSinks();
  Status OpenOwn();
  Status OpenPipes(ChildEnds* child);
  Status OpenOutputPipe(int stream, UniqueFd* child_end);
  Status OpenInput();
  void ReadStdinFifo();
  void CloseStdinFifo();
  void EndInput();
  [[nodiscard]] bool MustPause(const Source& source) const;
  Status ListenForConsole();
  void RemoveConsoleSocket();
  void ReceiveConsole(UniqueFd connection);
  void TakeConsole();
  void DropConsole();
  Status WatchSource(Source* source);
  void ReadSource(Source* source);
  bool ReadOnce(Source* source);
  [[nodiscard]] bool MayRest(const Source& source) const;
  void Rest(Source* source);
  void ReadRested(Source* source);
  void CloseSource(Source* source);
  void Deliver(Stream stream, std::string_view data);
  void PauseOrResume();
  void PauseOrResumeOne(Source* source);
  void WriteInput(std::string_view data);
  void FlushInput();
  void WatchInput();
  void HoldOrTakeInput();
  Status ApplySize();
  void CheckEnd();

  Loop* loop_;
  Options options_;
  std::function<void()> on_end_, on_left_;
  std::unique_ptr<LogWriter> log_;
  std::unique_ptr<AttachServer> attach_;
  Source sources_[2];
  UniqueFd input_;  // pipe; with a terminal the first source is read and written
  std::string pending_input_;
  bool input_watched_ = false, input_ended_ = false;
  std::unique_ptr<Acceptor> console_;  // until the runtime has connected
  // Until it has sent the terminal, for which there is the listener's descriptor.
  UniqueFd console_connection_, console_place_;
  std::optional<winsize> size_;
  UniqueFd stdin_fifo_, stdin_hold_;  // containerd's stdin; our own write end, until CloseInput()
  bool stdin_watched_ = false;
  std::unique_ptr<Logger> logger_;
  bool process_ended_ = false, ended_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>();  // timers outlive this; they look here
  Counters counters_[2];
};

}  // namespace ocirun::shim
