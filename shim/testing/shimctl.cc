// SPDX-License-Identifier: Apache-2.0
//
// usage: shimctl [-timeout MS] ADDRESS create ID BUNDLE RUNTIME ROOT STDOUT [STDIN [tty [MOUNT]]]
//                                                   MOUNT: words, the type, the source, options
//        shimctl ADDRESS start|wait|delete ID [EXEC]       wait prints the exit status
//        shimctl ADDRESS state ID [EXEC]                   prints status and pid
//        shimctl ADDRESS kill ID SIGNAL [EXEC]
//        shimctl ADDRESS exec ID EXEC STDOUT PROCESS-JSON
//        shimctl ADDRESS execs ID COUNT STDOUT PROCESS-JSON      one after the other, to their ends
//        shimctl ADDRESS resize ID WIDTH HEIGHT
//        shimctl ADDRESS update ID RESOURCES-JSON
//        shimctl ADDRESS pids|pause|resume|connect ID
//        shimctl ADDRESS shutdown ID
//        shimctl ADDRESS reopen ID                         the log, in its new file
//        shimctl ADDRESS iostats ID [EXEC]                 a line a stream: bytes, lines, unlogged
//                                                          and dropped bytes; dropped clients
//        shimctl ADDRESS each                              those above, a line of words each, over
//                                                          one connection; "ok" or "error" and
//                                                          why ends the answer of each
//        shimctl attach SOCKET [drop]                      stdin to frames, frames to the outputs;
//                                                          drop: it is not waited for
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <iostream>

#include "base/sys/file.h"
#include "base/sys/socket.h"
#include "base/text.h"
#include "containerd/runc_options.pb.h"
#include "containerd/task.pb.h"
#include "ocishim/v1/shim.pb.h"
#include "proto/ttrpc/client.h"

namespace ocirun {
namespace {

namespace task = containerd::task::v3;
using Args = std::vector<std::string>;

// Whose calls have a time.
struct Client {
  std::unique_ptr<ttrpc::Client> client;
  std::chrono::milliseconds timeout{0};  // 0: as long as it takes

  Status Call(const char* service, const std::string& method,
              const google::protobuf::MessageLite& request,
              google::protobuf::MessageLite* response) {
    return client->Call(service, method, request, response, timeout);
  }
};

std::string Arg(const Args& args, size_t i) { return i < args.size() ? args[i] : ""; }

uint32_t Number(const std::string& text) {
  uint32_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Status Print(const std::string& text) {
  UniqueFd out(1);
  const Status status = sys::WriteAll(out, text + "\n");
  (void)out.Release();
  return status;
}

template <typename Request>
Request ForProcess(const Args& args) {
  Request request;
  request.set_id(Arg(args, 2));
  request.set_exec_id(Arg(args, 3));
  return request;
}

Status Create(Client* client, const Args& args) {
  task::CreateTaskRequest request;
  containerd::runc::v1::Options options;
  request.set_id(Arg(args, 2));
  request.set_bundle(Arg(args, 3));
  options.set_binary_name(Arg(args, 4));
  options.set_root(Arg(args, 5));
  request.mutable_options()->set_value(options.SerializeAsString());
  request.set_stdout(Arg(args, 6));
  request.set_stdin(Arg(args, 7));
  request.set_terminal(Arg(args, 8) == "tty");
  if (args.size() > 9) {
    auto* mount = request.add_rootfs();
    mount->set_type(Arg(args, 9));
    mount->set_source(Arg(args, 10));
    for (size_t i = 11; i < args.size(); ++i) mount->add_options(args[i]);
  }
  task::CreateTaskResponse response;
  RETURN_IF_ERROR(client->Call("containerd.task.v3.Task", "Create", request, &response));
  return Print(std::to_string(response.pid()));
}

Status ExecMany(Client* client, const Args& args) {
  constexpr char kService[] = "containerd.task.v3.Task";
  for (uint32_t i = 0; i < Number(Arg(args, 3)); ++i) {
    const Args process = {"", "", Arg(args, 2), fmt::format("many{}", i)};
    auto request = ForProcess<task::ExecProcessRequest>(process);
    request.set_stdout(Arg(args, 4));
    request.mutable_spec()->set_value(Arg(args, 5));
    RETURN_IF_ERROR(client->Call(kService, "Exec", request, nullptr));
    RETURN_IF_ERROR(
        client->Call(kService, "Start", ForProcess<task::StartRequest>(process), nullptr));
    task::WaitResponse ended;
    RETURN_IF_ERROR(client->Call(kService, "Wait", ForProcess<task::WaitRequest>(process), &ended));
    if (ended.exit_status() != 0) return Internal("exec {} ended with {}", i, ended.exit_status());
    RETURN_IF_ERROR(
        client->Call(kService, "Delete", ForProcess<task::DeleteRequest>(process), nullptr));
  }
  return OkStatus();
}

Status Call(Client* client, const Args& args) {
  constexpr char kService[] = "containerd.task.v2.Task";
  const std::string& command = args[1];
  if (command == "create") return Create(client, args);
  if (command == "execs") return ExecMany(client, args);
  if (command == "start")
    return client->Call(kService, "Start", ForProcess<task::StartRequest>(args), nullptr);
  if (command == "delete")
    return client->Call(kService, "Delete", ForProcess<task::DeleteRequest>(args), nullptr);
  if (command == "wait") {
    task::WaitResponse response;
    RETURN_IF_ERROR(client->Call(kService, "Wait", ForProcess<task::WaitRequest>(args), &response));
    return Print(std::to_string(response.exit_status()));
  }
  if (command == "state") {
    task::StateResponse response;
    RETURN_IF_ERROR(
        client->Call(kService, "State", ForProcess<task::StateRequest>(args), &response));
    return Print(fmt::format("{} {}", containerd::v1::types::Status_Name(response.status()),
                             response.pid()));
  }
  if (command == "kill") {
    task::KillRequest request;
    request.set_id(Arg(args, 2));
    request.set_signal(Number(Arg(args, 3)));
    request.set_exec_id(Arg(args, 4));
    return client->Call(kService, "Kill", request, nullptr);
  }
  if (command == "exec") {
    task::ExecProcessRequest request;
    request.set_id(Arg(args, 2));
    request.set_exec_id(Arg(args, 3));
    request.set_stdout(Arg(args, 4));
    request.mutable_spec()->set_value(Arg(args, 5));
    request.set_terminal(Arg(args, 6) == "tty");
    return client->Call(kService, "Exec", request, nullptr);
  }
  if (command == "resize") {
    task::ResizePtyRequest request;
    request.set_id(Arg(args, 2));
    request.set_width(Number(Arg(args, 3)));
    request.set_height(Number(Arg(args, 4)));
    request.set_exec_id(Arg(args, 5));
    return client->Call(kService, "ResizePty", request, nullptr);
  }
  if (command == "update") {
    task::UpdateTaskRequest request;
    request.set_id(Arg(args, 2));
    request.mutable_resources()->set_value(Arg(args, 3));
    return client->Call(kService, "Update", request, nullptr);
  }
  if (command == "pids") {
    task::PidsRequest request;
    request.set_id(Arg(args, 2));
    task::PidsResponse response;
    RETURN_IF_ERROR(client->Call(kService, "Pids", request, &response));
    return Print(std::to_string(response.processes_size()));
  }
  if (command == "connect") {
    task::ConnectRequest request;
    request.set_id(Arg(args, 2));
    task::ConnectResponse response;
    RETURN_IF_ERROR(client->Call(kService, "Connect", request, &response));
    return Print(fmt::format("{} {}", response.shim_pid(), response.task_pid()));
  }
  if (command == "reopen") {
    ocishim::v1::ReopenLogRequest request;
    request.set_id(Arg(args, 2));
    return client->Call("ocishim.v1.Shim", "ReopenLog", request, nullptr);
  }
  if (command == "iostats") {
    ocishim::v1::IoStatsRequest request;
    request.set_id(Arg(args, 2));
    request.set_exec_id(Arg(args, 3));
    ocishim::v1::IoStatsResponse response;
    RETURN_IF_ERROR(client->Call("ocishim.v1.Shim", "IoStats", request, &response));
    for (const auto* stream : {&response.stdout(), &response.stderr()})
      RETURN_IF_ERROR(Print(fmt::format("{} {} {} {}", stream->bytes(), stream->lines(),
                                        stream->unlogged_bytes(), stream->dropped_bytes())));
    return Print(std::to_string(response.dropped_clients()));
  }
  task::ShutdownRequest request;  // Pause and Resume have its first field, too
  request.set_id(Arg(args, 2));
  const std::string method = command == "pause"      ? "Pause"
                             : command == "resume"   ? "Resume"
                             : command == "shutdown" ? "Shutdown"
                                                     : "";
  if (method.empty()) return InvalidArgument("unknown command {:?}", command);
  return client->Call(kService, method, request, nullptr);
}

std::string Describe(const Status& status) {
  return fmt::format("{} {}", static_cast<int>(status.code()), MessageOf(status));
}

Status CallEach(Client* client, const std::string& address) {
  std::string line;
  while (std::getline(std::cin, line)) {
    Args args = {address};
    for (const std::string_view word : SplitWords(line, " ")) args.emplace_back(word);
    if (args.size() < 2) return InvalidArgument("a line without a command");
    const Status called = Call(client, args);
    RETURN_IF_ERROR(Print(called.ok() ? "ok" : "error " + Describe(called)));
  }
  return OkStatus();
}

Status Attach(const std::string& path, bool drop) {
  ASSIGN_OR_RETURN(const UniqueFd socket, sys::ConnectUnix(path, SOCK_STREAM));
  if (drop) RETURN_IF_ERROR(sys::WriteAll(socket, std::string("\3\0\0\0\0\0\0\0", 8)));
  std::string frames;
  std::array<char, 16384> buffer;
  bool input = true;
  for (;;) {
    pollfd fds[] = {{socket.get(), POLLIN, 0}, {input ? 0 : -1, POLLIN, 0}};
    if (::poll(fds, 2, -1) < 0) return SysError(errno, "poll");
    if (fds[1].revents != 0) {
      const ssize_t n = ::read(0, buffer.data(), buffer.size());
      std::string frame(8, '\0');
      for (int i = 0; n > 0 && i < 4; ++i) frame[4 + i] = static_cast<char>(n >> (24 - 8 * i));
      if (n > 0) frame.append(buffer.data(), static_cast<size_t>(n));
      // A process that ended before we had told it of the end of its input is no error, and its
      // output is still to be read.
      const Status sent = sys::WriteAll(socket, frame);
      if (!sent.ok() && ErrnoOf(sent) != EPIPE) return sent;
      input = n > 0 && sent.ok();
    }
    if (fds[0].revents == 0) continue;
    const ssize_t n = ::read(socket.get(), buffer.data(), buffer.size());
    if (n <= 0) return OkStatus();
    frames.append(buffer.data(), static_cast<size_t>(n));
    while (frames.size() >= 8) {
      size_t length = 0;
      for (int i = 4; i < 8; ++i) length = length << 8 | static_cast<unsigned char>(frames[i]);
      if (frames.size() < 8 + length) break;
      UniqueFd out(frames[0] == 3 ? 2 : frames[0]);  // 1 and 2 are stdout and stderr
      RETURN_IF_ERROR(sys::WriteAll(out, std::string_view(frames).substr(8, length)));
      (void)out.Release();
      frames.erase(0, 8 + length);
    }
  }
}

Status Run(Args args) {
  Client client;
  if (args.size() > 2 && args[0] == "-timeout") {
    client.timeout = std::chrono::milliseconds(Number(args[1]));
    args.erase(args.begin(), args.begin() + 2);
  }
  if (args.size() < 2) return InvalidArgument("usage: shimctl [-timeout MS] ADDRESS COMMAND ...");
  if (args[0] == "attach") return Attach(args[1], Arg(args, 2) == "drop");
  ASSIGN_OR_RETURN(client.client, ttrpc::Client::Connect(args[0]));
  return args[1] == "each" ? CallEach(&client, args[0]) : Call(&client, args);
}

}  // namespace
}  // namespace ocirun

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  const ocirun::Status status = ocirun::Run({argv + 1, argv + argc});
  if (status.ok()) return 0;
  fmt::print(stderr, "{}\n", ocirun::Describe(status));
  return 1;
}
