// SPDX-License-Identifier: Apache-2.0
//
// start, attach, exec, and the copying between a terminal and a process.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <mutex>
#include <thread>

#include "base/signal_names.h"
#include "ctl/commands/commands.h"

namespace ocirun::ctl {
namespace {

// Our terminal in raw mode, given back at the end of the scope.
class RawTerminal {
 public:
  explicit RawTerminal(bool wanted) {
    if (!wanted || tcgetattr(0, &old_) != 0) return;
    termios raw = old_;
    cfmakeraw(&raw);
    active_ = tcsetattr(0, TCSANOW, &raw) == 0;
  }
  ~RawTerminal() {
    if (active_) tcsetattr(0, TCSADRAIN, &old_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios old_{};
  bool active_ = false;
};

ocid::v1::TerminalSize SizeOfTerminal() {
  ocid::v1::TerminalSize size;
  winsize window{};
  for (const int fd : {0, 1, 2}) {
    if (ioctl(fd, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) break;
  }
  size.set_width(window.ws_col);
  size.set_height(window.ws_row);
  return size;
}

// "ctrl-p,ctrl-q" as bytes; "" detaches never.
StatusOr<std::string> ParseDetachKeys(const std::string& text) {
  std::string keys;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string key = text.substr(begin, end - begin);
    begin = end + 1;
    if (key.size() == 1) {
      keys += key;
    } else if (key.starts_with("ctrl-") && key.size() == 6) {
      keys += static_cast<char>(key[5] & 0x1f);
    } else {
      return InvalidArgument("invalid detach keys ({}) provided", text);
    }
  }
  return keys;
}

// Finds the detach keys in what is typed; gives on what is not part of them.
class DetachScanner {
 public:
  explicit DetachScanner(std::string keys) : keys_(std::move(keys)) {}
  // True when they were typed.
  bool Scan(std::string_view data, std::string* through) {
    for (const char c : data) {
      if (!keys_.empty() && c == keys_[seen_]) {
        if (++seen_ == keys_.size()) return true;
        continue;
      }
      through->append(keys_, 0, seen_);
      seen_ = !keys_.empty() && c == keys_[0] ? 1 : 0;
      if (seen_ == 0) *through += c;
    }
    return false;
  }

 private:
  std::string keys_;
  size_t seen_ = 0;
};

void WriteOut(const ocid::v1::Output& output) {
  const int fd = output.stream() == ocid::v1::Output::STREAM_STDERR ? 2 : 1;
  std::string_view data = output.data();
  while (!data.empty()) {
    const ssize_t n = write(fd, data.data(), data.size());
    if (n < 0 && errno != EINTR) return;
    if (n > 0) data.remove_prefix(static_cast<size_t>(n));
  }
}

// Copies stdin into the stream until its end, the detach keys, or `done`. `Request` is
// AttachRequest or ExecRequest.
template <typename Request, typename Stream>
class InputCopier {
 public:
  InputCopier(Stream* stream, std::mutex* writing, const StreamOptions& options, std::string keys)
      : stream_(stream), writing_(writing), options_(options), scanner_(std::move(keys)) {
    if (pipe2(wake_.data(), O_CLOEXEC) != 0) wake_ = {-1, -1};
    if (options_.input) thread_ = std::thread([this] { Copy(); });
  }
  ~InputCopier() {
    if (wake_[1] >= 0) close(wake_[1]);
    if (thread_.joinable()) thread_.join();
    if (wake_[0] >= 0) close(wake_[0]);
  }
  InputCopier(const InputCopier&) = delete;
  InputCopier& operator=(const InputCopier&) = delete;
  std::function<void()> on_detach;
  [[nodiscard]] bool detached() const { return detached_; }

 private:
  void Copy() {
    std::array<char, 16384> buffer{};
    for (;;) {
      std::array<pollfd, 2> polled = {{{0, POLLIN, 0}, {wake_[0], POLLIN, 0}}};
      if (poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return;
      if (polled[1].revents != 0) return;
      if (polled[0].revents == 0) continue;
      const ssize_t n = read(0, buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      Request request;
      if (n <= 0) {
        request.set_close_stdin(true);
        const std::lock_guard lock(*writing_);
        stream_->Write(request);
        return;
      }
      std::string through;
      const bool detach = options_.tty
                              ? scanner_.Scan({buffer.data(), static_cast<size_t>(n)}, &through)
                              : (through.assign(buffer.data(), static_cast<size_t>(n)), false);
      if (!through.empty()) {
        request.set_stdin(through);
        const std::lock_guard lock(*writing_);
        if (!stream_->Write(request)) return;
      }
      if (detach) {
        detached_ = true;
        on_detach();
        return;
      }
    }
  }

  Stream* stream_;
  std::mutex* writing_;
  StreamOptions options_;
  DetachScanner scanner_;
  std::array<int, 2> wake_{};
  std::atomic<bool> detached_{false};
  std::thread thread_;
};

// Takes signals on a thread of its own from its making to its end. They are blocked in all threads
// made after it.
class SignalThread {
 public:
  explicit SignalThread(std::function<void(int)> handle) {
    sigemptyset(&set_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH}) {
      sigaddset(&set_, signal);
    }
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    thread_ = std::thread([this, handle = std::move(handle)] {
      while (!done_) {
        const timespec wait{.tv_sec = 0, .tv_nsec = 50'000'000};
        const int signal = sigtimedwait(&set_, nullptr, &wait);
        if (signal > 0) handle(signal);
      }
    });
  }
  ~SignalThread() {
    done_ = true;
    thread_.join();
    pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
  }
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  sigset_t set_{};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

void SendSignal(Session* session, const std::string& container, int signal) {
  ocid::v1::KillContainerRequest request;
  request.set_container(container);
  request.set_signal(std::to_string(signal));
  ocid::v1::KillContainerResponse response;
  grpc::ClientContext context;
  session->containers().KillContainer(&context, request, &response);
}

struct ExecOptions {
  std::string container, user, cwd, detach_keys = "ctrl-p,ctrl-q";
  std::vector<std::string> env, env_files, words;
  bool detach = false, input = false, tty = false, privileged = false;
};

int RunExec(Session* session, const ExecOptions& options) {
  const auto keys = ParseDetachKeys(options.detach_keys);
  if (!keys.ok()) return Fail(keys.status());
  if (options.input && options.tty && !options.detach && isatty(0) == 0) {
    return FailHere("the input device is not a TTY");
  }
  grpc::ClientContext context;
  const auto stream = session->containers().ExecContainer(&context);
  ocid::v1::ExecRequest request;
  auto* start = request.mutable_start();
  start->set_container(options.words[0]);
  start->mutable_cmd()->Add(options.words.begin() + 1, options.words.end());
  start->set_tty(options.tty);
  start->set_stdin(options.input);
  start->set_detach(options.detach);
  start->mutable_env()->Add(options.env.begin(), options.env.end());
  start->set_working_dir(options.cwd);
  start->set_user(options.user);
  start->set_privileged(options.privileged);
  if (options.tty) *start->mutable_size() = SizeOfTerminal();
  std::mutex writing;
  stream->Write(request);
  ocid::v1::ExecResponse response;
  int code = 0;
  bool detached = false;
  if (stream->Read(&response)) {
    const RawTerminal raw(options.tty && options.input);
    using Stream = grpc::ClientReaderWriter<ocid::v1::ExecRequest, ocid::v1::ExecResponse>;
    InputCopier<ocid::v1::ExecRequest, Stream> input(
        stream.get(), &writing, {.input = options.input && !options.detach, .tty = options.tty},
        *keys);
    input.on_detach = [&] { context.TryCancel(); };
    std::unique_ptr<SignalThread> signals;
    if (options.tty) {
      signals = std::make_unique<SignalThread>([&](int signal) {
        if (signal != SIGWINCH) return;
        ocid::v1::ExecRequest resize;
        *resize.mutable_resize() = SizeOfTerminal();
        const std::lock_guard lock(writing);
        stream->Write(resize);
      });
    }
    while (stream->Read(&response)) {
      if (response.has_output()) WriteOut(response.output());
      if (response.has_exit_code()) {
        code = response.exit_code();
        break;
      }
    }
    detached = input.detached();
  }
  {
    const std::lock_guard lock(writing);
    stream->WritesDone();
  }
  const grpc::Status finished = stream->Finish();
  if (detached) return 0;
  const Status status = session->Check(finished);
  if (status.ok()) return code;
  const std::string text = MessageOf(status);
  const auto has = [&](const char* word) { return text.find(word) != std::string::npos; };
  Fail(status);
  if (has("executable file not found") || has("no such file or directory")) return 127;
  return has("permission denied") || has("OCI runtime exec failed") ? 126 : 1;
}

struct StartOptions {
  std::vector<std::string> names;
  std::string detach_keys = "ctrl-p,ctrl-q";
  bool attach = false, input = false;
};

Status StartContainer(Session* session, const std::string& name) {
  ocid::v1::StartContainerRequest request;
  request.set_container(name);
  ocid::v1::StartContainerResponse response;
  grpc::ClientContext context;
  return session->Check(session->containers().StartContainer(&context, request, &response));
}

StatusOr<ocid::v1::Container> GetContainer(Session* session, const std::string& name) {
  ocid::v1::GetContainerRequest request;
  request.set_container(name);
  ocid::v1::Container record;
  grpc::ClientContext context;
  RETURN_IF_ERROR(session->Check(session->containers().GetContainer(&context, request, &record)));
  return record;
}

int RunStart(Session* session, const StartOptions& options) {
  if (!options.attach && !options.input) {
    const int code = ForEach(
        options.names, [&](const std::string& name) { return StartContainer(session, name); });
    return code == 0 ? 0 : FailHere("Error: failed to start containers: " + options.names.back());
  }
  if (options.names.size() > 1) {
    return FailHere("you cannot start and attach multiple containers at once");
  }
  const std::string& name = options.names[0];
  const auto record = GetContainer(session, name);
  if (!record.ok()) return Fail(record.status());
  ExitWaiter waiter(session, record->id(), record->state().exits(),
                    record->host_config().auto_remove());
  Status status;
  const StreamEnd end = AttachStreams(
      session, name,
      {.input = options.input && record->config().open_stdin(),
       .tty = record->config().tty(),
       .detach_keys = options.detach_keys},
      [&] { return StartContainer(session, name); }, &status);
  if (end != StreamEnd::kEnded) waiter.Cancel();
  if (end == StreamEnd::kFailed) return Fail(status);
  if (end == StreamEnd::kDetached) return 0;
  const auto code = waiter.Wait();
  return code.ok() ? *code : Fail(code.status());
}

int RunAttach(Session* session, const std::string& name, bool no_stdin, bool proxy,
              const std::string& keys) {
  const auto record = GetContainer(session, name);
  if (!record.ok()) return Fail(record.status());
  const auto state = record->state().status();
  if (state == ocid::v1::ContainerState::STATUS_PAUSED) {
    return FailHere("You cannot attach to a paused container, unpause it first");
  }
  if (state != ocid::v1::ContainerState::STATUS_RUNNING) {
    return FailHere("You cannot attach to a stopped container, start it first");
  }
  ExitWaiter waiter(session, record->id(), record->state().exits(), false);
  Status status;
  const StreamEnd end = AttachStreams(
      session, name,
      {.input = !no_stdin && record->config().open_stdin(),
       .tty = record->config().tty(),
       .proxy_signals = proxy,
       .detach_keys = keys},
      [] { return absl::OkStatus(); }, &status);
  if (end != StreamEnd::kEnded) waiter.Cancel();
  if (end == StreamEnd::kFailed) return Fail(status);
  if (end == StreamEnd::kDetached) return FailHere("read escape sequence", 0);
  const auto code = waiter.Wait();
  return code.ok() ? *code : Fail(code.status());
}

}  // namespace

StreamEnd AttachStreams(Session* session, const std::string& container,
                        const StreamOptions& options, const std::function<Status()>& start,
                        Status* status) {
  const auto keys = ParseDetachKeys(options.detach_keys);
  if (!keys.ok()) {
    *status = keys.status();
    return StreamEnd::kFailed;
  }
  std::mutex writing;
  grpc::ClientContext context;
  const auto stream = session->containers().AttachContainer(&context);
  using Stream = grpc::ClientReaderWriter<ocid::v1::AttachRequest, ocid::v1::AttachResponse>;
  const auto send_size = [&] {
    ocid::v1::AttachRequest request;
    *request.mutable_resize() = SizeOfTerminal();
    const std::lock_guard lock(writing);
    stream->Write(request);
  };
  // Before any other thread, so that all leave the signals to it.
  std::unique_ptr<SignalThread> signals;
  if (options.tty || options.proxy_signals) {
    signals = std::make_unique<SignalThread>([&](int signal) {
      if (signal == SIGWINCH) {
        if (options.tty) send_size();
      } else if (options.proxy_signals) {
        SendSignal(session, container, signal);
      }
    });
  }
  ocid::v1::AttachRequest request;
  request.mutable_start()->set_container(container);
  request.mutable_start()->set_stdin(options.input);
  request.mutable_start()->set_stdout(true);
  request.mutable_start()->set_stderr(true);
  if (options.tty) *request.mutable_start()->mutable_size() = SizeOfTerminal();
  stream->Write(request);
  ocid::v1::AttachResponse response;
  bool detached = false;
  if (stream->Read(&response)) {
    *status = start();
    if (status->ok()) {
      const RawTerminal raw(options.tty && options.input);
      InputCopier<ocid::v1::AttachRequest, Stream> input(stream.get(), &writing, options, *keys);
      input.on_detach = [&] { context.TryCancel(); };
      while (stream->Read(&response)) {
        if (!response.has_output()) break;
        WriteOut(response.output());
      }
      detached = input.detached();
    } else {
      context.TryCancel();
    }
  }
  {
    const std::lock_guard lock(writing);
    stream->WritesDone();
  }
  const grpc::Status finished = stream->Finish();
  if (detached) return StreamEnd::kDetached;
  if (status->ok()) *status = session->Check(finished);
  return status->ok() ? StreamEnd::kEnded : StreamEnd::kFailed;
}

ExitWaiter::ExitWaiter(Session* session, const std::string& id, uint64_t exits_seen, bool removed)
    : session_(session) {
  ocid::v1::WaitContainerRequest request;
  request.set_container(id);
  request.set_exits_seen(exits_seen);
  request.set_condition(removed ? ocid::v1::WaitContainerRequest::CONDITION_REMOVED
                                : ocid::v1::WaitContainerRequest::CONDITION_NEXT_EXIT);
  reader_ = session->containers().AsyncWaitContainer(&context_, request, &queue_);
  reader_->Finish(&response_, &status_, this);
}

StatusOr<int> ExitWaiter::Wait() {
  void* tag = nullptr;
  bool ok = false;
  queue_.Next(&tag, &ok);
  RETURN_IF_ERROR(session_->Check(status_));
  return response_.exit_code();
}

void ExitWaiter::Cancel() {
  context_.TryCancel();
  IgnoreError(Wait().status(), "cancelled");
}

void AddStreamCommands(CLI::App* app, Session* session) {
  {
    auto options = std::make_shared<StartOptions>();
    CLI::App* start = app->add_subcommand("start", "Start one or more stopped containers");
    start->add_option("container", options->names, "CONTAINER [CONTAINER...]")->required();
    start->add_flag("-a,--attach", options->attach, "Attach STDOUT/STDERR and forward signals");
    start->add_flag("-i,--interactive", options->input, "Attach container's STDIN");
    start->add_option("--detach-keys", options->detach_keys, "Keys to detach");
    start->callback([=] { session->run = [=] { return RunStart(session, *options); }; });
  }
  {
    struct Options {
      std::string name, keys = "ctrl-p,ctrl-q";
      bool no_stdin = false, proxy = true;
    };
    auto options = std::make_shared<Options>();
    CLI::App* attach = app->add_subcommand(
        "attach", "Attach local standard input, output, and error streams to a running container");
    attach->add_option("container", options->name, "CONTAINER")->required();
    attach->add_flag("--no-stdin", options->no_stdin, "Do not attach STDIN");
    attach->add_flag("--sig-proxy", options->proxy, "Proxy all received signals to the process");
    attach->add_option("--detach-keys", options->keys, "Keys to detach");
    attach->callback([=] {
      session->run = [=] {
        return RunAttach(session, options->name, options->no_stdin, options->proxy, options->keys);
      };
    });
  }
  {
    auto options = std::make_shared<ExecOptions>();
    CLI::App* exec = app->add_subcommand("exec", "Execute a command in a running container");
    exec->prefix_command();
    exec->footer("CONTAINER COMMAND [ARG...]");
    exec->add_flag("-d,--detach", options->detach, "Detached mode: run in the background");
    exec->add_flag("-i,--interactive", options->input, "Keep STDIN open even if not attached");
    exec->add_flag("-t,--tty", options->tty, "Allocate a pseudo-TTY");
    exec->add_flag("--privileged", options->privileged, "Give extended privileges to the command");
    exec->add_option("-u,--user", options->user, "Username or UID");
    exec->add_option("-w,--workdir", options->cwd, "Working directory inside the container");
    exec->add_option("-e,--env", options->env, "Set environment variables")
        ->allow_extra_args(false);
    exec->add_option("--detach-keys", options->detach_keys, "Keys to detach");
    exec->callback([=] {
      options->words = exec->remaining();
      session->run = [=]() -> int {
        if (!options->words.empty() && options->words[0].starts_with('-')) {
          return FailHere("unknown flag: " + options->words[0] + "\nSee 'ocictl exec --help'.",
                          125);
        }
        if (options->words.size() < 2) {
          return FailHere(
              "\"ocictl exec\" requires at least 2 arguments.\nSee 'ocictl exec "
              "--help'.");
        }
        return RunExec(session, *options);
      };
    });
  }
}

}  // namespace ocirun::ctl
