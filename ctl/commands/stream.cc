// SPDX-License-Identifier: Apache-2.0
//
// start, attach, exec, and the copying between a terminal and a process.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <future>
#include <mutex>
#include <optional>
#include <thread>

#include "base/time.h"
#include "ctl/commands/commands.h"
#include "ctl/commands/run_options.h"
#include "ctl/terminal.h"
#include "proto/attach/connection.h"

namespace ocirun::ctl {
namespace {

using namespace std::string_literals;  // NOLINT: "die"s

// What Docker's exec and attach say, with 1, when the detach keys end them; run and start are
// silent.
constexpr const char* kEscaped = "read escape sequence";

// By its restart policy.
bool MayRestart(const ocid::v1::Container& record) {
  const std::string& name = record.host_config().restart_policy().name();
  return !name.empty() && name != "no";
}

void WriteOut(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = write(fd, data.data(), data.size());
    if (n < 0 && errno != EINTR) return;
    if (n > 0) data.remove_prefix(static_cast<size_t>(n));
  }
}

void WriteOut(const ocid::v1::Output& output) {
  WriteOut(output.stream() == ocid::v1::Output::STREAM_STDERR ? 2 : 1, output.data());
}

// The streams without the daemon between: what InputCopier writes goes to the shim itself, and the
// daemon may end and come again meanwhile.
template <typename Request>
class DirectStream {
 public:
  // Null when the socket is not ours to connect to: another user's, or in another mount namespace.
  static std::unique_ptr<DirectStream> Connect(const std::string& socket) {
    auto connection = attach::Connection::Connect(socket, attach::WhenSlow::kWait);
    if (!connection.ok()) return nullptr;
    return std::make_unique<DirectStream>(*std::move(connection));
  }
  explicit DirectStream(std::unique_ptr<attach::Connection> connection)
      : connection_(std::move(connection)) {}

  bool Write(const Request& request) {
    return connection_->WriteInput(request.stdin(), [] { return false; }).ok();  // empty: the end
  }
  void WritesDone() { connection_->EndInput(); }
  void Leave() { connection_->Shutdown(); }
  // Until the end of the output, or somebody leaves.
  void CopyOutput(const StreamOptions& options) {
    for (;;) {
      const auto piece = connection_->Read();
      if (!piece.ok() || piece->stream == 0) return;
      if (piece->stream == 1 ? options.output : options.errors)
        WriteOut(piece->stream, piece->data);
    }
  }

 private:
  std::unique_ptr<attach::Connection> connection_;
};

// Copies stdin into the stream until its end, the detach keys, or `done`. `Request` is
// AttachRequest or ExecRequest; `Stream` is gRPC's, or a DirectStream.
template <typename Request, typename Stream>
class InputCopier {
 public:
  // `on_detach` is called on the copier's thread when the detach `keys` were typed.
  InputCopier(Stream* stream, std::mutex* writing, const StreamOptions& options, std::string keys,
              std::function<void()> on_detach)
      : stream_(stream),
        writing_(writing),
        options_(options),
        scanner_(std::move(keys)),
        on_detach_(std::move(on_detach)) {
    if (pipe2(wake_.data(), O_CLOEXEC) != 0) wake_ = {-1, -1};
    if (options_.input) thread_ = std::thread([this] { Copy(); });
  }
  ~InputCopier() {
    Stop();
    if (wake_[0] >= 0) close(wake_[0]);
  }
  // Nothing is read any more once this returns.
  void Stop() {
    if (wake_[1] >= 0) close(std::exchange(wake_[1], -1));
    if (thread_.joinable()) thread_.join();
  }
  InputCopier(const InputCopier&) = delete;
  InputCopier& operator=(const InputCopier&) = delete;
  [[nodiscard]] bool detached() const { return detached_; }
  // All that is to be written has been, and WritesDone was said.
  [[nodiscard]] bool done() const { return done_; }

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
        if (!options_.output && !options_.errors) {
          stream_->WritesDone();  // with no output to wait for, that was all
          done_ = true;
        }
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
        on_detach_();
        return;
      }
    }
  }

  Stream* stream_;
  std::mutex* writing_;
  StreamOptions options_;
  DetachScanner scanner_;
  std::function<void()> on_detach_;
  std::array<int, 2> wake_{};
  std::atomic<bool> detached_{false};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

// A call beside a session: a daemon that hangs does not make us deaf for good, one that is being
// restarted is waited for. That the one before it has gone may show only at a call.
template <typename Call>
void CallBeside(const Call& call) {
  const auto until = std::chrono::system_clock::now() + std::chrono::seconds(10);
  for (grpc::StatusCode code = grpc::StatusCode::UNAVAILABLE;
       code == grpc::StatusCode::UNAVAILABLE && std::chrono::system_clock::now() < until;) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(until);
    code = call(&context).error_code();
  }
}

void SendSignal(Session* session, const std::string& container, int signal) {
  ocid::v1::KillContainerRequest request;
  request.set_container(container);
  request.set_signal(std::to_string(signal));
  ocid::v1::KillContainerResponse response;
  CallBeside([&](grpc::ClientContext* context) {
    return session->containers().KillContainer(context, request, &response);
  });
}

// By a call of its own: the stream may be full of input that nobody reads.
void SendTerminalSize(Session* session, const std::string& container, const std::string& exec_id) {
  ocid::v1::ResizeTerminalRequest request;
  request.set_container(container);
  request.set_exec_id(exec_id);
  *request.mutable_size() = SizeOfTerminal();
  ocid::v1::ResizeTerminalResponse response;
  CallBeside([&](grpc::ClientContext* context) {
    return session->containers().ResizeTerminal(context, request, &response);
  });
}

// Connects to the socket that the daemon offers, and says whether it could.
template <typename Request, typename Stream>
std::unique_ptr<DirectStream<Request>> AnswerOffer(Stream* stream, const std::string& socket) {
  auto direct = DirectStream<Request>::Connect(socket);
  Request answer;
  answer.set_connected(direct != nullptr);
  stream->Write(answer);
  return direct;
}

// The daemon ended while we had the streams: the next one is asked how the process ended.
StatusOr<int> WaitExecAgain(Session* session, const std::string& container,
                            const std::string& exec_id) {
  ocid::v1::WaitExecRequest request;
  request.set_container(container);
  request.set_exec_id(exec_id);
  ocid::v1::WaitExecResponse response;
  RETURN_IF_ERROR(session->AskAgain([&](grpc::ClientContext* context) {
    return session->containers().WaitExec(context, request, &response);
  }));
  return response.exit_code();
}

struct ExecOptions {
  std::string container, user, cwd, detach_keys = kDefaultDetachKeys;
  std::vector<std::string> env, env_files, words;
  bool detach = false, input = false, tty = false, privileged = false;
};

int RunExec(Session* session, const ExecOptions& options) {
  const auto keys = ParseDetachKeys(options.detach_keys);
  if (!keys.ok()) return Fail(keys.status());
  const auto env = ReadEnv(options.env_files, options.env);
  if (!env.ok()) return Fail(env.status());
  if (options.input && options.tty && !options.detach && isatty(0) == 0) {
    return FailHere("the input device is not a TTY");
  }
  SignalThread signals;
  grpc::ClientContext context;
  const auto stream = session->containers().ExecContainer(&context);
  ocid::v1::ExecRequest request;
  auto* start = request.mutable_start();
  start->set_container(options.words[0]);
  start->mutable_cmd()->Add(options.words.begin() + 1, options.words.end());
  start->set_tty(options.tty);
  start->set_stdin(options.input);
  start->set_detach(options.detach);
  start->mutable_env()->Add(env->begin(), env->end());
  start->set_working_dir(options.cwd);
  start->set_user(options.user);
  start->set_privileged(options.privileged);
  if (options.tty) *start->mutable_size() = SizeOfTerminal();
  start->set_lossless(true);
  start->set_direct(!options.detach);
  std::mutex writing;
  stream->Write(request);
  ocid::v1::ExecResponse response;
  std::optional<int> code;
  bool detached = false;
  std::string id, socket;
  if (stream->Read(&response)) {
    id = response.attached().exec_id();
    socket = response.attached().socket();
    std::unique_ptr<DirectStream<ocid::v1::ExecRequest>> direct;
    if (!socket.empty()) direct = AnswerOffer<ocid::v1::ExecRequest>(stream.get(), socket);
    const RawTerminal raw(options.tty && options.input);
    const StreamOptions copied{.input = options.input && !options.detach, .tty = options.tty};
    const auto copy = [&](auto* through, const auto& leave, const auto& copy_output) {
      InputCopier<ocid::v1::ExecRequest, std::remove_pointer_t<decltype(through)>> input(
          through, &writing, copied, *keys, leave);
      if (options.tty) {
        signals.Handle([session, container = options.words[0], id](int signal) {
          if (signal == SIGWINCH) SendTerminalSize(session, container, id);
          return signal == SIGWINCH;
        });
        // As Docker does: the window may have changed since the start was asked for.
        SendTerminalSize(session, options.words[0], id);
      }
      copy_output();
      input.Stop();
      detached = input.detached();
    };
    const auto read_stream = [&] {
      while (!code && stream->Read(&response)) {
        if (response.has_output()) WriteOut(response.output());
        if (response.has_exit_code()) code = response.exit_code();
      }
    };
    if (direct) {
      copy(direct.get(), [&] { direct->Leave(); }, [&] { direct->CopyOutput(copied); });
      if (detached) context.TryCancel();
      read_stream();
    } else {
      copy(stream.get(), [&] { context.TryCancel(); }, read_stream);
    }
  }
  {
    const std::lock_guard lock(writing);
    stream->WritesDone();
  }
  const grpc::Status finished = stream->Finish();
  if (detached) return FailHere(kEscaped);
  if (!code && !socket.empty() && finished.error_code() == grpc::StatusCode::UNAVAILABLE) {
    const auto told = WaitExecAgain(session, options.words[0], id);
    return told.ok() ? *told : Fail(told.status());
  }
  const Status status = NotFoundHere(session->Check(finished));
  if (status.ok()) return code.value_or(0);
  const std::string text = MessageOf(status);
  const auto has = [&](const char* word) { return text.find(word) != std::string::npos; };
  Fail(status);
  if (has("executable file not found") || has("no such file or directory")) return 127;
  return has("permission denied") || has("OCI runtime exec failed") ? 126 : 1;
}

struct StartOptions {
  std::vector<std::string> names;
  std::string detach_keys = kDefaultDetachKeys;
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

int StartAll(Session* session, const std::vector<std::string>& names) {
  std::string failed;
  for (const std::string& name : names) {
    const Status status = StartContainer(session, name);
    if (status.ok()) {
      fmt::print("{}\n", name);
      continue;
    }
    Fail(status);
    failed += (failed.empty() ? "" : ", ") + name;
  }
  return failed.empty() ? 0 : FailHere("Error: failed to start containers: " + failed);
}

int RunStart(Session* session, const StartOptions& options) {
  if (!options.attach && !options.input) return StartAll(session, options.names);
  if (options.names.size() > 1) {
    return FailHere("you cannot start and attach multiple containers at once");
  }
  const std::string& name = options.names[0];
  SignalThread signals;
  const auto record = GetContainer(session, name);
  if (!record.ok()) return Fail(NotFoundHere(record.status()));
  ExitWaiter waiter(session, {.id = record->id(),
                              .exits_seen = record->state().exits(),
                              .removed = record->host_config().auto_remove(),
                              .restarts = MayRestart(*record)});
  Status status;
  const StreamEnd end = AttachStreams(
      session, name,
      {.input = options.input && record->config().open_stdin(),
       .tty = record->config().tty(),
       .proxy_signals = !record->config().tty(),
       .detach_keys = options.detach_keys,
       .signals = &signals},
      [&] { return StartContainer(session, name); }, &status);
  if (end != StreamEnd::kEnded) waiter.Cancel();
  if (end == StreamEnd::kFailed) return Fail(status);
  if (end == StreamEnd::kDetached) return 0;
  const auto code = waiter.Wait();
  return code.ok() ? *code : Fail(code.status());
}

struct AttachOptions {
  std::string keys = kDefaultDetachKeys;
  bool no_stdin = false, proxy = true;
};

int RunAttach(Session* session, const std::string& name, const AttachOptions& options) {
  SignalThread signals;
  const auto record = GetContainer(session, name);
  if (!record.ok()) return Fail(NotFoundHere(record.status()));
  const auto state = record->state().status();
  if (state == ocid::v1::ContainerState::STATUS_PAUSED) {
    return FailHere("You cannot attach to a paused container, unpause it first");
  }
  if (state != ocid::v1::ContainerState::STATUS_RUNNING) {
    return FailHere("You cannot attach to a stopped container, start it first");
  }
  ExitWaiter waiter(
      session,
      {.id = record->id(), .exits_seen = record->state().exits(), .restarts = MayRestart(*record)});
  Status status;
  const StreamEnd end = AttachStreams(
      session, name,
      {.input = !options.no_stdin && record->config().open_stdin(),
       .tty = record->config().tty(),
       .proxy_signals = options.proxy && !record->config().tty(),
       .detach_keys = options.keys,
       .signals = &signals},
      [] { return OkStatus(); }, &status);
  if (end != StreamEnd::kEnded) waiter.Cancel();
  if (end == StreamEnd::kFailed) return Fail(status);
  if (end == StreamEnd::kDetached) return FailHere(kEscaped);
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
  // What comes amid the start is for the container, too.
  if (options.proxy_signals) options.signals->Hold();
  ocid::v1::AttachRequest request;
  request.mutable_start()->set_container(container);
  request.mutable_start()->set_stdin(options.input);
  request.mutable_start()->set_stdout(options.output);
  request.mutable_start()->set_stderr(options.errors);
  if (options.tty) *request.mutable_start()->mutable_size() = SizeOfTerminal();
  request.mutable_start()->set_lossless(true);
  // Who wants no output has no end of it to wait for.
  request.mutable_start()->set_direct(options.output || options.errors);
  stream->Write(request);
  ocid::v1::AttachResponse response;
  bool detached = false;
  bool done = false;
  std::unique_ptr<DirectStream<ocid::v1::AttachRequest>> direct;
  if (stream->Read(&response)) {
    // The start waits until we are connected, and the offer to be comes amid it.
    auto starting = std::async(std::launch::async, start);
    if (request.start().direct() && stream->Read(&response) && !response.socket().empty())
      direct = AnswerOffer<ocid::v1::AttachRequest>(stream.get(), response.socket());
    *status = starting.get();
    if (status->ok()) {
      const RawTerminal raw(options.tty && options.input);
      options.signals->Handle([session, container, options](int signal) {
        if (signal == SIGWINCH && options.tty) SendTerminalSize(session, container, "");
        if (signal == SIGWINCH) return true;
        if (options.proxy_signals) SendSignal(session, container, signal);
        return options.proxy_signals;
      });
      if (direct) {
        InputCopier<ocid::v1::AttachRequest, DirectStream<ocid::v1::AttachRequest>> input(
            direct.get(), &writing, options, *keys, [&] { direct->Leave(); });
        direct->CopyOutput(options);
        input.Stop();
        detached = input.detached();
      } else {
        InputCopier<ocid::v1::AttachRequest, Stream> input(stream.get(), &writing, options, *keys,
                                                           [&] { context.TryCancel(); });
        while (stream->Read(&response)) {
          if (!response.has_output()) break;
          WriteOut(response.output());
        }
        input.Stop();
        done = input.done();
        detached = input.detached();
      }
    } else {
      context.TryCancel();
    }
  }
  if (!status->ok() || detached) options.signals->Handle({});
  if (!done) {
    const std::lock_guard lock(writing);
    stream->WritesDone();
  }
  const grpc::Status finished = stream->Finish();
  if (detached) return StreamEnd::kDetached;
  // The daemon had no more to tell, if it was there still.
  if (status->ok() && !direct) *status = session->Check(finished);
  return status->ok() ? StreamEnd::kEnded : StreamEnd::kFailed;
}

ExitWaiter::ExitWaiter(Session* session, const Of& of)
    : session_(session), of_(of), since_(NowUnixNanos()) {
  if (of.restarts) return;
  ocid::v1::WaitContainerRequest request;
  request.set_container(of.id);
  request.set_exits_seen(of.exits_seen);
  request.set_condition(of.removed ? ocid::v1::WaitContainerRequest::CONDITION_REMOVED
                                   : ocid::v1::WaitContainerRequest::CONDITION_NEXT_EXIT);
  reader_ = session->containers().AsyncWaitContainer(&context_, request, &queue_);
  reader_->Finish(&response_, &status_, this);
}

StatusOr<int> ExitWaiter::Wait() {
  if (of_.restarts) return WaitForDie();
  void* tag = nullptr;
  bool ok = false;
  queue_.Next(&tag, &ok);
  if (status_.error_code() == grpc::StatusCode::UNAVAILABLE) return WaitAgain();
  RETURN_IF_ERROR(session_->Check(status_));
  return response_.exit_code();
}

// The daemon ended: the next one counts exits anew, and is asked for the state.
StatusOr<int> ExitWaiter::WaitAgain() {
  ocid::v1::WaitContainerRequest request;
  request.set_container(of_.id);
  request.set_condition(of_.removed ? ocid::v1::WaitContainerRequest::CONDITION_REMOVED
                                    : ocid::v1::WaitContainerRequest::CONDITION_NOT_RUNNING);
  RETURN_IF_ERROR(session_->AskAgain([&](grpc::ClientContext* context) {
    return session_->containers().WaitContainer(context, request, &response_);
  }));
  return response_.exit_code();
}

StatusOr<int> ExitWaiter::WaitForDie() {
  ocid::v1::WatchEventsRequest request;
  request.set_since(since_);
  for (const auto& [key, value] : {std::pair("container", of_.id), std::pair("event", "die"s)}) {
    ocid::v1::Filter* filter = request.add_filters();
    filter->set_key(key);
    filter->add_values(value);
  }
  const auto reader = session_->daemon().WatchEvents(&context_, request);
  ocid::v1::Event event;
  if (reader->Read(&event)) {
    context_.TryCancel();
    int code = 0;
    const std::string text =
        event.attributes().count("exitCode") > 0 ? event.attributes().at("exitCode") : "";
    std::from_chars(text.data(), text.data() + text.size(), code);
    return code;
  }
  RETURN_IF_ERROR(session_->Check(reader->Finish()));
  return Error(StatusCode::kUnavailable, "the daemon told of no exit of container {}", of_.id);
}

void ExitWaiter::Cancel() {
  context_.TryCancel();
  if (!of_.restarts) IgnoreError(Wait().status(), "cancelled");
}

void AddStreamCommands(Command* app, Session* session) {
  const char* keys_help = "Override the key sequence for detaching a container";
  {
    auto options = std::make_shared<StartOptions>();
    Command* start = app->Add("start", "[OPTIONS] CONTAINER [CONTAINER...]",
                              "Start one or more stopped containers", {1, Arity::kAny});
    start->Flag("-a,--attach", &options->attach, "Attach STDOUT/STDERR and forward signals");
    start->Flag("-i,--interactive", &options->input, "Attach container's STDIN");
    start->Option("--detach-keys", &options->detach_keys, keys_help);
    start->run = [=] {
      options->names = start->words();
      return RunStart(session, *options);
    };
  }
  {
    auto options = std::make_shared<AttachOptions>();
    Command* attach = app->Add(
        "attach", "[OPTIONS] CONTAINER",
        "Attach local standard input, output, and error streams to a running container", {1, 1});
    attach->Flag("--no-stdin", &options->no_stdin, "Do not attach STDIN");
    attach->Flag("--sig-proxy", &options->proxy, "Proxy all received signals to the process");
    attach->Option("--detach-keys", &options->keys, keys_help);
    attach->run = [=] { return RunAttach(session, attach->word(0), *options); };
  }
  {
    auto options = std::make_shared<ExecOptions>();
    Command* exec = app->Add("exec", "[OPTIONS] CONTAINER COMMAND [ARG...]",
                             "Run a command in a running container", {2, Arity::kAny});
    exec->StopAtFirstWord();
    exec->Flag("-d,--detach", &options->detach, "Detached mode: run command in the background");
    exec->Flag("-i,--interactive", &options->input, "Keep STDIN open even if not attached");
    exec->Flag("-t,--tty", &options->tty, "Allocate a pseudo-TTY");
    exec->Flag("--privileged", &options->privileged, "Give extended privileges to the command");
    exec->Option("-u,--user", &options->user, "Username or UID (format: <name|uid>[:<group|gid>])");
    exec->Option("-w,--workdir", &options->cwd, "Working directory inside the container");
    exec->List("-e,--env", &options->env, "Set environment variables", CheckEnv);
    exec->List("--env-file", &options->env_files, "Read in a file of environment variables");
    exec->Option("--detach-keys", &options->detach_keys, keys_help);
    exec->run = [=] {
      options->words = exec->words();
      return RunExec(session, *options);
    };
  }
}

}  // namespace ocirun::ctl
