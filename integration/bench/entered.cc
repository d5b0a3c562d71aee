// SPDX-License-Identifier: Apache-2.0
//
// Which functions of a program run in a command: a breakpoint on each, in every process that
// executes the program, taken away when it is hit. For contrib/order-functions.
//
// usage: bench_entered PROGRAM COMMAND [ARG...] <ADDRESSES >ENTERED
//
// ADDRESSES are those of the functions, hexadecimal, one a line (nm(1)); ENTERED are some of them,
// in the order in which they were.
// The program must be linked to a fixed address. The command's own output goes to /dev/null.
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <vector>

namespace {

#if defined(__x86_64__)
constexpr uint8_t kBreakpoint = 0xcc;  // int3, behind which the process stops
unsigned long long& ProgramCounter(user_regs_struct& registers) { return registers.rip; }
#else
#error "no breakpoint for this processor"
#endif

struct Function {
  uint8_t first_byte = 0;
  bool entered = false;
};

class Tracer {
 public:
  Tracer(const char* program, std::map<uint64_t, Function> functions)
      : functions_(std::move(functions)) {
    if (::stat(program, &program_) < 0) Fail(program);
  }

  void Run(char** command) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      const int null = ::open("/dev/null", O_RDWR);
      if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(null, 1) < 0) ::_exit(126);
      ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
      ::raise(SIGSTOP);
      ::execvp(command[0], command);
      ::_exit(127);
    }
    int status = 0;
    if (pid < 0 || ::waitpid(pid, &status, 0) < 0) Fail("fork");
    constexpr long kOptions = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                              PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (::ptrace(PTRACE_SETOPTIONS, pid, nullptr, kOptions) < 0) Fail("ptrace");
    Continue(pid, 0);
    // Until the command ends; what it leaves behind ends with this program.
    for (pid_t stopped; (stopped = ::waitpid(-1, &status, __WALL)) > 0;) {
      if (WIFSTOPPED(status))
        Continue(stopped, Handle(stopped, status));
      else if (stopped == pid)
        break;
    }
  }

  void Print() const {
    for (const uint64_t address : entered_) std::printf("%lx\n", address);
  }

 private:
  [[noreturn]] static void Fail(const char* what) {
    std::perror(what);
    std::exit(1);
  }

  static void Continue(pid_t pid, int signal) {
    ::ptrace(PTRACE_CONT, pid, nullptr, static_cast<long>(signal));
  }

  // Returns the signal that the process is to get.
  int Handle(pid_t pid, int status) {
    const int event = status >> 16;
    if (event == PTRACE_EVENT_EXEC) Plant(pid);
    if (event != 0) return 0;
    const int signal = WSTOPSIG(status);
    if (signal == SIGTRAP && Entered(pid)) return 0;
    return signal == SIGSTOP ? 0 : signal;  // a new process begins with one
  }

  void Plant(pid_t pid) {
    const std::string folder = "/proc/" + std::to_string(pid);
    struct stat running;
    if (::stat((folder + "/exe").c_str(), &running) < 0) return;
    if (running.st_dev != program_.st_dev || running.st_ino != program_.st_ino) return;
    const int memory = ::open((folder + "/mem").c_str(), O_RDWR | O_CLOEXEC);
    if (memory < 0) Fail("/proc/PID/mem");
    for (auto& [address, function] : functions_) {
      const auto at = static_cast<off_t>(address);
      if (function.entered) continue;
      if (::pread(memory, &function.first_byte, 1, at) != 1) Fail("read a function");
      if (::pwrite(memory, &kBreakpoint, 1, at) != 1) Fail("set a breakpoint");
    }
    ::close(memory);
  }

  bool Entered(pid_t pid) {
    user_regs_struct registers;
    if (::ptrace(PTRACE_GETREGS, pid, nullptr, &registers) < 0) return false;
    const auto found = functions_.find(ProgramCounter(registers) - 1);
    if (found == functions_.end()) return false;
    const int memory =
        ::open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_WRONLY | O_CLOEXEC);
    const auto at = static_cast<off_t>(found->first);
    if (memory < 0 || ::pwrite(memory, &found->second.first_byte, 1, at) != 1)
      Fail("take a breakpoint away");
    ::close(memory);
    found->second.entered = true;
    entered_.push_back(found->first);
    --ProgramCounter(registers);
    return ::ptrace(PTRACE_SETREGS, pid, nullptr, &registers) == 0;
  }

  std::map<uint64_t, Function> functions_;
  std::vector<uint64_t> entered_;
  struct stat program_;
};

std::map<uint64_t, Function> ReadAddresses() {
  std::map<uint64_t, Function> functions;
  for (std::string line; std::getline(std::cin, line);)
    functions[std::strtoull(line.c_str(), nullptr, 16)] = {};
  return functions;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  Tracer tracer(argv[1], ReadAddresses());
  tracer.Run(argv + 2);
  tracer.Print();
}
