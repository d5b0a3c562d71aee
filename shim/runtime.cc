// SPDX-License-Identifier: Apache-2.0
#include "shim/runtime.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/file.h"
#include "base/json.h"
#include "base/open_fds.h"
#include "base/spawn.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/text.h"
#include "ocirun/cli/program.h"
#include "ocirun/linux/exec_lookup.h"
#include "ocirun/linux/self_exe.h"

namespace ocirun::shim {
namespace {

constexpr std::string_view kRuntimeName = "ocirun";

// What a binary is called on its command line.
std::string NameOf(const std::string& binary) {
  if (binary != kBuiltIn) return binary;
  const auto beside = linux_::PathBesideSelf(kRuntimeName);
  return beside.ok() ? *beside : std::string(kRuntimeName);
}

// The last line of level error; empty when there is none.
std::string LastError(const std::string& log) {
  const auto text = ReadFile(log);
  if (!text.ok()) return {};
  std::string message;
  for (size_t at = 0; at < text->size();) {
    const size_t end = std::min(text->find('\n', at), text->size());
    const auto line = ParseJson(std::string_view(*text).substr(at, end - at));
    at = end + 1;
    if (!line.ok() || !line->is_object()) continue;
    const JsonView view(*line);
    const auto level = StringOr(view, "level", "");
    const auto text_of_line = StringOr(view, "msg", "");
    if (level.ok() && text_of_line.ok() && *level == "error") message = *text_of_line;
  }
  return message;
}

// What runc says becomes the code that callers decide on (shim protocol, section 9).
StatusCode CodeOf(const std::string& message) {
  for (const std::string_view gone :
       {"process already finished", "container not running", "no such process", "does not exist"})
    if (message.find(gone) != std::string::npos) return StatusCode::kNotFound;
  return StatusCode::kUnknown;
}

// What 0, 1 and 2 of the runtime are to be.
using StandardFds = std::array<int, 3>;

StatusOr<pid_t> SpawnProgram(const std::vector<std::string>& words, const StandardFds& fds) {
  SpawnSetup setup;
  for (int i = 0; i < 3; ++i) ::posix_spawn_file_actions_adddup2(&setup.actions, fds[i], i);
  setup.NewProcessGroup();
  setup.ResetSignals();
  return setup.SpawnFromPath(words[0], Pointers(words).data(), environ);
}

// In the child. Nothing of the shim is left to it but its memory: a connection that it held open,
// or a signal that it blocked, would be the container's as well.
[[noreturn]] void RunBuiltIn(std::vector<std::string> words, const StandardFds& fds) {
  ::setpgid(0, 0);
  for (int i = 0; i < 3; ++i)
    if (fds[i] != i && ::dup2(fds[i], i) < 0) ::_exit(1);
  if (!CloseAllBut({0, 1, 2}).ok()) ::_exit(1);
  ::signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::program_invocation_short_name = words[0].data() + words[0].rfind('/') + 1;
  std::vector<char*> argv = Pointers(words);
  ::_exit(cli::RunCommandLine(static_cast<int>(words.size()), argv.data()));
}

StatusOr<pid_t> ForkBuiltIn(std::vector<std::string> words, const StandardFds& fds) {
  const pid_t pid = ::fork();
  if (pid < 0) return SysError(errno, "fork");
  if (pid == 0) RunBuiltIn(std::move(words), fds);
  ::setpgid(pid, pid);  // on both sides: whoever comes first
  return pid;
}

// Of all its threads: each has its own (proc(5)).
std::vector<pid_t> ChildrenOf(pid_t pid) {
  std::vector<pid_t> out;
  const std::string tasks = fmt::format("/proc/{}/task", pid);
  const auto threads = ListFolder(tasks);
  if (!threads.ok()) return out;
  for (const std::string& thread : *threads) {
    const auto children = ReadFile(fmt::format("{}/{}/children", tasks, thread));
    if (!children.ok()) continue;
    for (const std::string_view word : SplitWords(*children, " "))
      if (const auto child = LeadingNumber(word)) out.push_back(static_cast<pid_t>(*child));
  }
  return out;
}

// With all that it has begun: its group, and its children that are in sessions of their own, as the
// processes of containers are. Those that know their parent gone end by themselves, but one that is
// in a frozen cgroup does not know.
void EndRuntime(pid_t pid) {
  const std::vector<pid_t> children = ChildrenOf(pid);
  ::kill(-pid, SIGKILL);
  for (const pid_t child : children) ::kill(child, SIGKILL);
}

}  // namespace

bool IsCalledAsRuntime(std::string_view name) {
  return name.substr(name.rfind('/') + 1) == kRuntimeName;
}

std::vector<std::string> Runtime::CommandLine(const std::vector<std::string>& args,
                                              const std::string& log) const {
  std::vector<std::string> words = {NameOf(binary_), "--root", root_, "--log", log,
                                    "--log-format",  "json"};
  if (cgroups_ == Cgroups::kSystemd) words.emplace_back("--systemd-cgroup");
  words.insert(words.end(), args.begin(), args.end());
  return words;
}

Status Runtime::Ended(const Running& run, int wait_status) {
  const Undo remove([&] { IgnoreError(sys::Unlink(run.log), "it had nothing to say"); });
  const int code = sys::ExitCodeOf(wait_status);
  if (code == 0) return OkStatus();
  const SpareFds::Loan loan = run.loop->LendSpareFds();
  std::string message = LastError(run.log);
  if (message.empty()) message = fmt::format("{} exited with status {}", run.name, code);
  return Error(CodeOf(message), "{}", message);
}

void Runtime::Run(std::vector<std::string> args, Streams::ChildEnds ends, Done done) {
  const auto run = Begin(args, std::move(ends));
  if (!run.ok()) return done(run.status());
  loop_->OnChild(run->pid, [run = *run, done = std::move(done)](int wait_status) {
    done(Ended(run, wait_status));
  });
}

void Runtime::RunInTime(const Reply& reply, std::vector<std::string> args, Streams::ChildEnds ends,
                        Done done) {
  const Status late = Error(StatusCode::kDeadlineExceeded, "{} took too long", args[0]);
  if (reply.IsLate()) return done(late);
  const auto run = Begin(args, std::move(ends));
  if (!run.ok()) return done(run.status());
  reply.WhenLate([loop = loop_, pid = run->pid] {
    const SpareFds::Loan loan = loop->LendSpareFds();
    EndRuntime(pid);
  });
  loop_->OnChild(run->pid, [run = *run, done = std::move(done), reply, late](int wait_status) {
    reply.WhenLate(nullptr);  // the number is free
    const Status ended = Ended(run, wait_status);
    done(reply.IsLate() ? late : ended);
  });
}

StatusOr<Runtime::Running> Runtime::Begin(const std::vector<std::string>& args,
                                          Streams::ChildEnds ends) {
  // Of its own: what another one that runs at the same time says is not this one's error.
  const std::string log = fmt::format("{}.{}", log_, ++runs_);
  const SpareFds::Loan loan = loop_->LendSpareFds();
  ASSIGN_OR_RETURN(const UniqueFd null, sys::Open("/dev/null", O_RDWR));
  const auto given = [&](const UniqueFd& end) { return end.valid() ? end.get() : null.get(); };
  const StandardFds fds = {given(ends.in), given(ends.out), given(ends.err)};
  ASSIGN_OR_RETURN(const pid_t pid, binary_ == kBuiltIn
                                        ? ForkBuiltIn(CommandLine(args, log), fds)
                                        : SpawnProgram(CommandLine(args, log), fds));
  return Running{loop_, pid,
                 fmt::format("{} {}", binary_ == kBuiltIn ? kRuntimeName : binary_, args[0]), log};
}

StatusOr<CommandResult> RunRuntime(const std::string& binary, std::vector<std::string> args,
                                   std::chrono::milliseconds timeout) {
  Command command{.path = "/proc/self/exe", .timeout = timeout, .max_output = 1u << 20};
  for (char** word = environ; *word != nullptr; ++word) command.env.emplace_back(*word);
  if (binary != kBuiltIn) {
    ASSIGN_OR_RETURN(command.path, linux_::FindExecutable(binary, command.env));
  }
  args.insert(args.begin(), binary == kBuiltIn ? NameOf(binary) : command.path);
  command.args = std::move(args);
  return RunCommand(command);
}

}  // namespace ocirun::shim
