// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cli/foreground.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <optional>

#include "base/file.h"
#include "base/random.h"
#include "base/sys/file.h"
#include "base/sys/socket.h"
#include "ocirun/container/environment.h"
#include "ocirun/log/log.h"

namespace ocirun::cli {
namespace {

// Blocks all signals and reads them from a descriptor. Must exist before the container does, or a
// signal in between would end us and leave it running.
StatusOr<UniqueFd> TakeSignals(sigset_t* old) {
  sigset_t all;
  ::sigfillset(&all);
  // These say that this program is broken: they stay as they are.
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS})
    ::sigdelset(&all, signal);
  if (::sigprocmask(SIG_BLOCK, &all, old) < 0) return SysError(errno, "sigprocmask");
  UniqueFd fd(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return SysError(errno, "signalfd");
  return fd;
}

// Receives the master of the container's terminal and relays between it and ours, which is raw as
// long as this lives.
class Console {
 public:
  Console() = default;
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;
  ~Console() {
    if (raw_) ::tcsetattr(0, TCSADRAIN, &saved_);
    if (!path_.empty()) IgnoreError(sys::Unlink(path_), "removed before");
  }

  // A socket in `folder` for the container to send the master to. Refused where nobody could type
  // or read, as by runc: a shell would wait forever.
  StatusOr<std::string> Listen(const std::string& folder) {
    RETURN_IF_ERROR(FindTerminal());
    RETURN_IF_ERROR(MakeDirs(folder, 0700));
    path_ = fmt::format("{}/.console-{}", folder, RandomHex(8));
    ASSIGN_OR_RETURN(listener_, sys::ListenUnix(path_, SOCK_STREAM));
    return path_;
  }

  Status Connect() {
    ASSIGN_OR_RETURN(const UniqueFd connection, sys::Accept(listener_));
    ASSIGN_OR_RETURN(master_, sys::ReceiveFd(connection));
    IgnoreError(sys::Unlink(path_), "its only message has come");
    path_.clear();
    CopySize();
    // Our own terminal, or whoever reads us, turns a newline into what it needs: the container's
    // must not have done it already.
    if (termios theirs; ::tcgetattr(master_.get(), &theirs) == 0) {
      theirs.c_oflag &= ~static_cast<tcflag_t>(ONLCR);
      ::tcsetattr(master_.get(), TCSANOW, &theirs);
    }
    if (::tcgetattr(0, &saved_) == 0) {
      termios raw = saved_;
      ::cfmakeraw(&raw);
      raw_ = ::tcsetattr(0, TCSANOW, &raw) == 0;
    }
    return OkStatus();
  }

  void CopySize() const {
    winsize size;
    if (::ioctl(0, TIOCGWINSZ, &size) == 0) ::ioctl(master_.get(), TIOCSWINSZ, &size);
  }

  [[nodiscard]] int master() const { return master_.get(); }

  // Both return false at the end of what they read.
  bool ToContainer() const { return Copy(0, master_.get()); }
  bool FromContainer() const { return Copy(master_.get(), 1); }

 private:
  static Status FindTerminal() {
    if (::isatty(0) != 0 || ::isatty(1) != 0 || ::isatty(2) != 0) return OkStatus();
    const auto terminal = sys::Open("/dev/tty", O_RDWR | O_NOCTTY);
    if (terminal.ok()) return OkStatus();
    return Annotate(terminal.status(),
                    "the process is to have a terminal, and this command has none to relay it to "
                    "(--console-socket gives it to another program)");
  }

  static bool Copy(int from, int to) {
    std::array<char, 16384> buffer;
    const ssize_t n = sys::RetryEintr([&] { return ::read(from, buffer.data(), buffer.size()); });
    if (n <= 0) return false;  // EIO: nobody has the terminal open any more
    for (ssize_t done = 0; done < n;) {
      const ssize_t written =
          sys::RetryEintr([&] { return ::write(to, buffer.data() + done, n - done); });
      if (written < 0) return false;
      done += written;
    }
    return true;
  }

  std::string path_;
  UniqueFd listener_, master_;
  termios saved_{};
  bool raw_ = false;
};

// Reaps; the exit code once `pid` itself has ended.
std::optional<int> Reap(pid_t pid) {
  for (;;) {
    int status = 0;
    const pid_t ended = ::waitpid(-1, &status, WNOHANG);
    if (ended <= 0) return std::nullopt;
    if (ended == pid) return sys::ExitCodeOf(status);
  }
}

// Handles pending signals: SIGCHLD is ours, SIGWINCH the terminal's, all others the container's.
std::optional<int> HandleSignals(const UniqueFd& signals, pid_t pid, const Console* console) {
  signalfd_siginfo info;
  std::optional<int> exit_code;
  while (::read(signals.get(), &info, sizeof info) == sizeof info) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGCHLD) {
      if (!exit_code.has_value()) exit_code = Reap(pid);
    } else if (signal == SIGWINCH) {
      if (console != nullptr) console->CopySize();
    } else if (signal != SIGURG && signal != SIGPIPE) {
      ::kill(pid, signal);
    }
  }
  return exit_code;
}

// Relays until `pid` has ended and its output is read. `notify` (may be null) is heard until the
// container is ready.
int Attend(pid_t pid, const UniqueFd& signals, const Console* console,
           const container::NotifySocket* notify) {
  std::optional<int> exit_code = Reap(pid);
  bool input = console != nullptr, output = console != nullptr;
  for (;;) {
    if (exit_code.has_value() && !output) return *exit_code;
    pollfd fds[] = {{signals.get(), POLLIN, 0},
                    {input ? 0 : -1, POLLIN, 0},
                    {output ? console->master() : -1, POLLIN, 0},
                    {notify != nullptr ? notify->socket().get() : -1, POLLIN, 0}};
    // After the end only what is left in the terminal is read; a process that keeps it open in
    // the background does not hold us.
    const int ready = ::poll(fds, 4, exit_code.has_value() ? 100 : -1);
    if (ready == 0) return *exit_code;
    if (fds[0].revents != 0 && !exit_code.has_value())
      exit_code = HandleSignals(signals, pid, console);
    if (fds[1].revents != 0) input = console->ToContainer();
    if (fds[2].revents != 0) output = console->FromContainer();
    if (fds[3].revents != 0) {
      const auto told = notify->Forward(pid);
      if (!told.ok()) Warn("NOTIFY_SOCKET: {}", MessageOf(told.status()));
      if (!told.ok() || *told) notify = nullptr;
    }
  }
}

// How a container comes to run that is attended to its end.
struct Attended {
  std::function<StatusOr<container::Record>(const container::CreateOptions&, container::Bundle)>
      make;
  std::function<Status(std::optional<container::NotifySocket>*)> begin;
  bool keep = false;
};

StatusOr<int> RunAttended(const container::Store& store, container::CreateOptions options,
                          const Attended& how) {
  ASSIGN_OR_RETURN(container::Bundle bundle, container::ReadBundle(options));
  sigset_t old;
  ASSIGN_OR_RETURN(const UniqueFd signals, TakeSignals(&old));
  const std::optional<oci::Process>& process = bundle.spec.process;
  std::optional<Console> console;
  if (process.has_value() && process->terminal && options.console_socket.empty()) {
    ASSIGN_OR_RETURN(options.console_socket, console.emplace().Listen(store.root()));
  }
  ASSIGN_OR_RETURN(const container::Record record, how.make(options, std::move(bundle)));
  Undo remove([&] {
    IgnoreError(container::Delete(store, options.id, container::DeleteMode::kForce),
                "the command's own result is the one to report");
  });
  if (console.has_value()) RETURN_IF_ERROR(console->Connect());
  std::optional<container::NotifySocket> notify;
  RETURN_IF_ERROR(how.begin(&notify));
  const int code = Attend(record.init_pid, signals, console.has_value() ? &*console : nullptr,
                          notify.has_value() ? &*notify : nullptr);
  if (how.keep) remove.Release();
  return code;
}

}  // namespace

StatusOr<int> RunInForeground(const container::Store& store, container::CreateOptions options,
                              bool keep) {
  const std::string id = options.id;
  const auto begin = [&](std::optional<container::NotifySocket>* notify) -> Status {
    *notify = container::NotifySocket::FromEnvironment(store, id);
    if (notify->has_value()) RETURN_IF_ERROR((*notify)->Listen());
    return container::Start(store, id);
  };
  const auto make = [&](const container::CreateOptions& create, container::Bundle bundle) {
    return container::Create(store, create, std::move(bundle));
  };
  return RunAttended(store, std::move(options), {make, begin, keep});
}

StatusOr<int> RestoreInForeground(const container::Store& store, container::CreateOptions options,
                                  const container::CriuOptions& criu, bool keep) {
  const auto make = [&](const container::CreateOptions& create, container::Bundle bundle) {
    return container::Restore(store, create, std::move(bundle), criu);
  };
  // What is restored runs already.
  const auto begin = [](std::optional<container::NotifySocket>*) { return OkStatus(); };
  return RunAttended(store, std::move(options), {make, begin, keep});
}

StatusOr<int> ExecInForeground(const container::Store& store, container::ExecTarget target,
                               container::ExecOptions options) {
  sigset_t old;
  ASSIGN_OR_RETURN(const UniqueFd signals, TakeSignals(&old));
  std::optional<Console> console;
  if (options.process.terminal && options.console_socket.empty()) {
    ASSIGN_OR_RETURN(options.console_socket, console.emplace().Listen(store.root()));
  }
  ASSIGN_OR_RETURN(const pid_t pid, container::Exec(store, std::move(target), options));
  if (console.has_value()) RETURN_IF_ERROR(console->Connect());
  return Attend(pid, signals, console.has_value() ? &*console : nullptr, nullptr);
}

}  // namespace ocirun::cli
