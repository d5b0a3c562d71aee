// SPDX-License-Identifier: Apache-2.0
#include "shim/streams.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/sys/file.h"
#include "base/sys/socket.h"

namespace ocirun::shim {
namespace {

constexpr size_t kReadSize = 128 * 1024;
// The pipe of a process that fills the kernel's usual one, so that it and we take turns less often.
// Not from the start: what all pipes of a user hold together is limited (pipe-user-pages-soft).
constexpr size_t kUsualPipe = 64 * 1024, kBusyPipe = 256 * 1024;
// Input that the process has not read yet: above it the clients wait, until half of it is gone.
constexpr size_t kMaxPendingInput = 256 * 1024;
// The same of containerd's fifo, which keeps the rest itself.
constexpr size_t kStdinRead = 16 * 1024, kMaxPendingFifo = 64 * 1024;
// A process that writes a little often, to its log alone, is left alone for a while after a read: a
// thousand lines a second cost a fifth then, and their times in the log are so much coarser.
constexpr std::chrono::milliseconds kOften{5}, kRest{10};
constexpr size_t kSmallRead = 4096;
// Output that is read after the grace, at most.
constexpr size_t kMaxLateOutput = 1 << 20;
// How long streams stay open after the process has ended without new output: a grandchild that was
// left in the background keeps the pipe.
constexpr std::chrono::milliseconds kGrace{1000};

struct PipePair {
  UniqueFd read, write;
};
StatusOr<PipePair> NewPipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) return SysError(errno, "pipe");
  return PipePair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

void SetNonBlocking(const UniqueFd& fd) { ::fcntl(fd.get(), F_SETFL, O_NONBLOCK); }

}  // namespace

StatusOr<std::unique_ptr<Streams>> Streams::Create(Loop* loop, Options options, ChildEnds* child,
                                                   std::function<void()> ended) {
  std::unique_ptr<Streams> streams(new Streams(loop, std::move(options), std::move(ended)));
  RETURN_IF_ERROR(streams->OpenOwn());
  RETURN_IF_ERROR(streams->OpenOutputs(child));
  return streams;
}

// Our own log and attach clients.
Status Streams::OpenOwn() {
  const StdioUri& output = options_.output;
  if (output.log_format != nullptr) {
    ASSIGN_OR_RETURN(log_, LogWriter::Open(*output.log_format, loop_, output.log));
  }
  if (output.attach_path.empty()) return OkStatus();
  ASSIGN_OR_RETURN(
      attach_, AttachServer::Listen(loop_, output.attach_path,
                                    {.input = [this](std::string_view data) { WriteInput(data); },
                                     .input_ended = [this] { EndInput(); },
                                     .drained = [this] { PauseOrResume(); },
                                     .left =
                                         [this] {
                                           if (on_left_) on_left_();
                                         }}));
  return OkStatus();
}

Status Streams::OpenOutputs(ChildEnds* child) {
  Logger::Output logger_ends;
  if (!options_.output.logger.program.empty()) {
    ASSIGN_OR_RETURN(logger_, Logger::Start(loop_, options_.output.logger,
                                            options_.logger_environment, &logger_ends));
    if (options_.terminal)
      sources_[0].sink =
          std::make_unique<Sink>(loop_, std::move(logger_ends.out), [this] { PauseOrResume(); });
  } else {
    RETURN_IF_ERROR(OpenSinks());
  }
  RETURN_IF_ERROR(OpenInput());
  if (options_.terminal) return ListenForConsole();
  // A logger reads what the process writes: it goes through nobody else's hands.
  child->out = std::move(logger_ends.out);
  child->err = std::move(logger_ends.err);
  return OpenPipes(child);
}

Status Streams::OpenSinks() {
  const auto drained = [this] { PauseOrResume(); };
  const StdioUri& output = options_.output;
  if (!output.file.empty()) {
    if (options_.terminal)
      return InvalidArgument("file://: the output of a terminal must go to a fifo or a logger");
    for (Source& source : sources_) {
      ASSIGN_OR_RETURN(source.sink, Sink::OpenFile(loop_, output.file, drained));
    }
    return OkStatus();
  }
  if (!output.path.empty()) {
    ASSIGN_OR_RETURN(sources_[0].sink, Sink::Open(loop_, output.path, drained));
  }
  if (!options_.stderr_path.empty() && !options_.terminal) {
    ASSIGN_OR_RETURN(sources_[1].sink, Sink::Open(loop_, options_.stderr_path, drained));
  }
  return OkStatus();
}

Streams::Streams(Loop* loop, Options options, std::function<void()> on_end)
    : loop_(loop), options_(std::move(options)), on_end_(std::move(on_end)) {
  sources_[1].stream = Stream::kStderr;
}

Streams::~Streams() {
  CloseStdinFifo();
  DropConsole();
  for (Source& source : sources_)
    if (source.fd) loop_->Forget(source.fd);
  if (input_watched_) loop_->Forget(input_);
}

Status Streams::OpenPipes(ChildEnds* child) {
  if (!logger_) {
    RETURN_IF_ERROR(OpenOutputPipe(0, &child->out));
    RETURN_IF_ERROR(OpenOutputPipe(1, &child->err));
  }
  if (options_.open_stdin) {
    ASSIGN_OR_RETURN(PipePair pipe, NewPipe());
    child->in = std::move(pipe.read);
    input_ = std::move(pipe.write);
    SetNonBlocking(input_);
  } else {
    ASSIGN_OR_RETURN(child->in, sys::Open("/dev/null", O_RDONLY));
  }
  if (options_.io_uid == 0 && options_.io_gid == 0) return OkStatus();
  const UniqueFd* ends[] = {options_.open_stdin ? &child->in : nullptr, &child->out, &child->err};
  for (const UniqueFd* end : ends)
    if (end != nullptr && ::fchown(end->get(), options_.io_uid, options_.io_gid) < 0)
      return SysError(errno, "fchown", "the pipes of a process");
  return OkStatus();
}

// What nobody wants goes to /dev/null without us.
Status Streams::OpenOutputPipe(int stream, UniqueFd* child_end) {
  Source& source = sources_[stream];
  if (EndsAtOnce() && !source.sink) {
    ASSIGN_OR_RETURN(*child_end, sys::Open("/dev/null", O_WRONLY));
    return OkStatus();
  }
  ASSIGN_OR_RETURN(PipePair pipe, NewPipe());
  source.fd = std::move(pipe.read);
  *child_end = std::move(pipe.write);
  return OkStatus();
}

Status Streams::Begin() {
  if (options_.terminal) return OkStatus();  // from when it has arrived
  for (Source& source : sources_)
    if (source.fd) RETURN_IF_ERROR(WatchSource(&source));
  return OkStatus();
}

void Streams::GiveUp() {
  DropConsole();
  for (Source& source : sources_)
    if (source.fd) CloseSource(&source);
  ProcessEnded();
}

// A fifo that we hold open for writing, too, so that it does not end before CloseInput().
Status Streams::OpenInput() {
  if (options_.stdin_path.empty()) return OkStatus();
  ASSIGN_OR_RETURN(stdin_fifo_, sys::Open(options_.stdin_path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  ASSIGN_OR_RETURN(const struct stat kind, sys::Stat(stdin_fifo_));
  if (!S_ISFIFO(kind.st_mode))
    return InvalidArgument("stdin {:?}: must be a fifo", options_.stdin_path);
  ASSIGN_OR_RETURN(stdin_hold_, sys::Open(options_.stdin_path, O_WRONLY | O_NONBLOCK));
  options_.open_stdin = true;
  HoldOrTakeInput();
  return OkStatus();
}

void Streams::ReadStdinFifo() {
  std::array<char, kStdinRead> buffer;
  const ssize_t n =
      sys::RetryEintr([&] { return ::read(stdin_fifo_.get(), buffer.data(), buffer.size()); });
  if (n < 0 && errno == EAGAIN) return;
  if (n > 0) return WriteInput({buffer.data(), static_cast<size_t>(n)});
  CloseStdinFifo();
  EndInput();
}

void Streams::CloseStdinFifo() {
  if (stdin_watched_) loop_->Forget(stdin_fifo_);
  stdin_watched_ = false;
  stdin_fifo_.Reset();
  stdin_hold_.Reset();
}

void Streams::WhenReady(std::function<void(const Status&)> ready) {
  if (!logger_) return ready(OkStatus());
  logger_->WhenReady(std::move(ready));
}

void Streams::Close(std::function<void()> closed) {
  CloseStdinFifo();
  for (Source& source : sources_) {
    if (source.fd) CloseSource(&source);
    source.sink.reset();
  }
  if (!logger_) return closed();
  logger_->Stop(std::move(closed));
}

Status Streams::ListenForConsole() {
  ASSIGN_OR_RETURN(UniqueFd listener, sys::ListenUnix(options_.console_socket, SOCK_STREAM));
  Undo remove([this] { RemoveConsoleSocket(); });
  const auto receive = [this](UniqueFd connection) { ReceiveConsole(std::move(connection)); };
  ASSIGN_OR_RETURN(console_,
                   Acceptor::Create(loop_, std::move(listener), receive, Acceptor::Fds::kSpare));
  remove.Release();
  return OkStatus();
}

void Streams::RemoveConsoleSocket() {
  IgnoreError(sys::Unlink(options_.console_socket), "one connection is all there is");
}

// A process without its terminal would be of no use to anybody, and by then it is there: for the
// terminal there is the listener's descriptor.
void Streams::ReceiveConsole(UniqueFd connection) {
  console_place_ = console_->Release();
  RemoveConsoleSocket();
  // The runtime connects long before it has a terminal to send: wait for it in the loop.
  console_connection_ = std::move(connection);
  IgnoreError(loop_->Watch(console_connection_, EPOLLIN, [this](uint32_t) { TakeConsole(); }),
              "the runtime then fails to hand its console over");
}

void Streams::TakeConsole() {
  if (!console_connection_) return;
  const UniqueFd connection = std::move(console_connection_);
  loop_->Forget(connection);
  console_place_.Reset();
  auto master = sys::ReceiveFd(connection);
  if (!master.ok()) return;  // the runtime failed, and says so itself
  sources_[0].fd = std::move(*master);
  IgnoreError(ApplySize(), "the client sends its size again");
  IgnoreError(WatchSource(&sources_[0]), "without it the terminal stays silent");
  FlushInput();
}

// No terminal is waited for any more.
void Streams::DropConsole() {
  if (console_ && console_->IsListening()) {
    console_->Release();
    RemoveConsoleSocket();
  }
  if (console_connection_) loop_->Forget(console_connection_);
  console_connection_.Reset();
  console_place_.Reset();
}

Status Streams::WatchSource(Source* source) {
  SetNonBlocking(source->fd);
  return loop_->Watch(source->fd, EPOLLIN, [this, source](uint32_t events) {
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) ReadSource(source);
    if (source->fd && (events & EPOLLOUT) != 0) FlushInput();
  });
}

// One read a turn, so that other streams and calls have theirs.
void Streams::ReadSource(Source* source) {
  const auto now = std::chrono::steady_clock::now();
  const bool often = now - std::exchange(source->last_read, now) < kOften;
  if (!ReadOnce(source)) CloseSource(source);
  if (source->fd && often && MayRest(*source)) {
    loop_->Forget(source->fd);
    Rest(source);
  }
  PauseOrResume();
  CheckEnd();
}

// Whether little comes at a time, with nobody who watches. Whoever reads a fifo or a file watches.
bool Streams::MayRest(const Source& source) const {
  return source.last_size < kSmallRead && !options_.terminal && !source.paused && !source.sink &&
         !(attach_ && attach_->HasClients());
}

void Streams::Rest(Source* source) {
  loop_->After(kRest, [this, source, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired() && source->fd && !source->paused) ReadRested(source);
  });
}

// What has come meanwhile is read without being told of it, and as long as there is something the
// next rest follows: one read a rest.
void Streams::ReadRested(Source* source) {
  source->last_size = 0;
  if (!ReadOnce(source)) CloseSource(source);
  if (source->fd && source->last_size > 0 && MayRest(*source)) {
    Rest(source);
  } else if (source->fd) {
    IgnoreError(WatchSource(source), "it was watched before, or is again");
  }
  PauseOrResume();
  CheckEnd();
}

// False at the end of the stream.
bool Streams::ReadOnce(Source* source) {
  static std::array<char, kReadSize> buffer;  // one thread; only what was ever filled is memory
  const ssize_t n =
      sys::RetryEintr([&] { return ::read(source->fd.get(), buffer.data(), buffer.size()); });
  if (n < 0) return errno == EAGAIN;  // EIO: a terminal that nobody has open
  if (n == 0) return false;
  source->last_size = static_cast<size_t>(n);
  if (!source->grown && static_cast<size_t>(n) >= kUsualPipe) {
    source->grown = true;
    ::fcntl(source->fd.get(), F_SETPIPE_SZ, kBusyPipe);  // a terminal, or over the limit: as it was
  }
  Deliver(source->stream, {buffer.data(), static_cast<size_t>(n)});
  return true;
}

void Streams::CloseSource(Source* source) {
  loop_->Forget(source->fd);
  source->fd.Reset();
  if (source->sink) source->sink->Finish();
  if (!options_.terminal) return;
  // Its input ends with it.
  input_ended_ = true;
  input_watched_ = false;
  pending_input_.clear();
  HoldOrTakeInput();
}

void Streams::Deliver(Stream stream, std::string_view data) {
  Counters& counters = counters_[static_cast<int>(stream)];
  counters.bytes += data.size();
  counters.lines += static_cast<uint64_t>(std::count(data.begin(), data.end(), '\n'));
  // A full disk must not stop the container: what can't be written is counted.
  if (log_ && !log_->Append(stream, data, NowUnixNanos()).ok())
    counters.unlogged_bytes += data.size();
  if (attach_) attach_->Send(stream, data);
  if (Sink* sink = sources_[static_cast<int>(stream)].sink.get()) sink->Write(data);
}

bool Streams::MustPause(const Source& source) const {
  return (attach_ && attach_->IsBehind()) || (source.sink && source.sink->IsBehind());
}

void Streams::PauseOrResume() {
  for (Source& source : sources_)
    if (source.fd && MustPause(source) != source.paused) PauseOrResumeOne(&source);
  CheckEnd();
}

void Streams::PauseOrResumeOne(Source* source) {
  source->paused = !source->paused;
  if (options_.terminal && input_watched_) {
    loop_->Forget(source->fd);
    input_watched_ = false;
  }
  // Not with an empty set of events: the end of a pipe is told whatever one asks for.
  if (source->paused) {
    loop_->Forget(source->fd);
  } else {
    IgnoreError(WatchSource(source), "it was watched before");
  }
  WatchInput();
}

void Streams::WriteInput(std::string_view data) {
  if (!options_.open_stdin || input_ended_) return;
  pending_input_ += data;
  FlushInput();
}

void Streams::FlushInput() {
  UniqueFd& to = options_.terminal ? sources_[0].fd : input_;
  size_t written = 0;
  while (to && written < pending_input_.size()) {
    const ssize_t n = sys::RetryEintr([&] {
      return ::write(to.get(), pending_input_.data() + written, pending_input_.size() - written);
    });
    if (n < 0 && errno != EAGAIN) written = pending_input_.size();  // nobody reads any more
    if (n < 0) break;
    written += static_cast<size_t>(n);
  }
  pending_input_.erase(0, written);
  WatchInput();
  if (!options_.terminal && pending_input_.empty() && input_ended_) input_.Reset();
  HoldOrTakeInput();
}

// Learns when the process reads again, as long as there is something for it.
void Streams::WatchInput() {
  UniqueFd& to = options_.terminal ? sources_[0].fd : input_;
  if (!to) return;
  const bool wanted = !pending_input_.empty();
  if (options_.terminal && !sources_[0].paused) {
    input_watched_ = false;  // with the terminal's output
    return loop_->Change(to, EPOLLIN | (wanted ? uint32_t{EPOLLOUT} : 0));
  }
  if (wanted && !input_watched_) {
    input_watched_ = loop_->Watch(to, EPOLLOUT, [this](uint32_t) { FlushInput(); }).ok();
  } else if (!wanted && input_watched_) {
    loop_->Forget(to);
    input_watched_ = false;
  }
}

void Streams::HoldOrTakeInput() {
  if (stdin_fifo_) {
    const bool take = pending_input_.size() < kMaxPendingFifo;
    if (take && !stdin_watched_)
      stdin_watched_ =
          loop_->Watch(stdin_fifo_, EPOLLIN, [this](uint32_t) { ReadStdinFifo(); }).ok();
    if (!take && stdin_watched_) {
      loop_->Forget(stdin_fifo_);
      stdin_watched_ = false;
    }
  }
  if (!attach_) return;
  // After the end there is no more to come, and what comes is thrown away.
  if (input_ended_) return attach_->HoldInput(false);
  if (pending_input_.size() >= kMaxPendingInput) attach_->HoldInput(true);
  if (pending_input_.size() <= kMaxPendingInput / 2) attach_->HoldInput(false);
}

void Streams::CloseInput() {
  if (!stdin_fifo_) return EndInput();
  stdin_hold_.Reset();
}

void Streams::EndInput() {
  if (input_ended_) return;
  // A terminal has no end of input but the character that its user types.
  if (options_.terminal) return;
  input_ended_ = true;
  FlushInput();
}

Status Streams::ReopenLog() {
  if (!log_) return FailedPrecondition("there is no log");
  return log_->Reopen();
}

Status Streams::Resize(uint32_t width, uint32_t height) {
  if (!options_.terminal) return OkStatus();
  size_ = winsize{static_cast<unsigned short>(height), static_cast<unsigned short>(width), 0, 0};
  return ApplySize();
}

Status Streams::ApplySize() {
  if (!size_ || !sources_[0].fd) return OkStatus();
  if (::ioctl(sources_[0].fd.get(), TIOCSWINSZ, &*size_) < 0)
    return SysError(errno, "ioctl TIOCSWINSZ");
  return OkStatus();
}

void Streams::ProcessEnded() {
  // The terminal was sent before the process began, though the loop may not have come to it:
  // without it the output would end before it was read.
  if (!process_ended_ && console_ && console_->IsListening()) console_->TakeWaiting();
  TakeConsole();
  process_ended_ = true;
  CloseStdinFifo();
  CheckEnd();
  if (ended_ || EndsAtOnce()) return;
  loop_->After(kGrace, [this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired() || ended_) return;
    // Also while a client is behind, who may never read again: what the pipe holds is kept for him.
    for (Source& source : sources_) {
      if (!source.fd) continue;
      // What has come until now counts; what a leftover of the process writes later does not.
      for (size_t total = 0; total < kMaxLateOutput; total += kReadSize) {
        pollfd readable{source.fd.get(), POLLIN, 0};
        if (::poll(&readable, 1, 0) <= 0 || !ReadOnce(&source)) break;
      }
      CloseSource(&source);
    }
    CheckEnd();
  });
}

void Streams::CheckEnd() {
  if (ended_ || !process_ended_) return;
  for (const Source& source : sources_)
    if (source.fd || (source.sink && source.sink->IsBehind())) return;
  ended_ = true;
  if (log_) IgnoreError(log_->Finish(NowUnixNanos()), "the disk is full; it was counted before");
  if (attach_) attach_->Finish();
  on_end_();
}

}  // namespace ocirun::shim
