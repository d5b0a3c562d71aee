// SPDX-License-Identifier: Apache-2.0
#include "base/testing/recorder.h"

#include <elf.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <map>
#include <optional>
#include <string_view>

#include "base/sys/file.h"
#include "base/sys/process.h"

namespace ocirun::testing {
namespace {

// What the arguments of a call are; numbers where it ends.
//   p  a path, below the descriptor before it if there is one       t  another text
//   f  a descriptor (AT_FDCWD: the working folder)                  -  a number
//   s  bytes, as many as the next argument says                     c  the data of capset(2)
//   l  a list of 32-bit numbers, as many as the argument before says
constexpr struct {
  std::string_view name, arguments;
} kArguments[] = {
    {"access", "p"},
    {"capset", "-c"},
    {"chdir", "p"},
    {"chmod", "p"},
    {"chown", "p"},
    {"chroot", "p"},
    {"creat", "p"},
    {"execve", "p"},
    {"execveat", "fp"},
    {"faccessat", "fp"},
    {"faccessat2", "fp"},
    {"fchdir", "f"},
    {"fchmodat", "fp"},
    {"fchown", "f"},
    {"fchownat", "fp"},
    {"fsopen", "t"},
    {"getxattr", "p"},
    {"inotify_add_watch", "-p"},
    {"lchown", "p"},
    {"lgetxattr", "p"},
    {"link", "pp"},
    {"linkat", "fpfp"},
    {"listxattr", "p"},
    {"llistxattr", "p"},
    {"lremovexattr", "p"},
    {"lsetxattr", "p"},
    {"lstat", "p"},
    {"mkdir", "p"},
    {"mkdirat", "fp"},
    {"mknod", "p"},
    {"mknodat", "fp"},
    {"mount", "ppt"},
    {"mount_setattr", "fp-s"},
    {"move_mount", "fpfp"},
    {"name_to_handle_at", "fp"},
    {"newfstatat", "fp"},
    {"open", "p"},
    {"open_tree", "fp"},
    {"openat", "fp"},
    {"openat2", "fps"},
    {"pivot_root", "pp"},
    {"readlink", "p"},
    {"readlinkat", "fp"},
    {"removexattr", "p"},
    {"rename", "pp"},
    {"renameat", "fpfp"},
    {"renameat2", "fpfp"},
    {"rmdir", "p"},
    {"setgroups", "-l"},
    {"setxattr", "p"},
    {"stat", "p"},
    {"statfs", "p"},
    {"statx", "fp"},
    {"symlink", "tp"},
    {"symlinkat", "tfp"},
    {"truncate", "p"},
    {"umount2", "p"},
    {"unlink", "p"},
    {"unlinkat", "fp"},
    {"utimensat", "fp"},
    {"write", "fs"},
};

std::string_view ArgumentsOf(const std::string& name) {
  for (const auto& known : kArguments)
    if (known.name == name) return known.arguments;
  return {};
}

constexpr size_t kCapsetBytes = 24;
constexpr size_t kMaxBytes = 64 << 10;

// The system call that a stopped thread is about to make, or has made.
#if defined(__x86_64__)
Status ForbidCall(pid_t pid) {
  user_regs_struct registers{};
  if (::ptrace(PTRACE_GETREGS, pid, nullptr, &registers) < 0) return SysError(errno, "ptrace");
  registers.orig_rax = static_cast<unsigned long long>(-1);
  if (::ptrace(PTRACE_SETREGS, pid, nullptr, &registers) < 0) return SysError(errno, "ptrace");
  return OkStatus();
}

Status SetResult(pid_t pid, int64_t result) {
  user_regs_struct registers{};
  if (::ptrace(PTRACE_GETREGS, pid, nullptr, &registers) < 0) return SysError(errno, "ptrace");
  registers.rax = static_cast<unsigned long long>(result);
  if (::ptrace(PTRACE_SETREGS, pid, nullptr, &registers) < 0) return SysError(errno, "ptrace");
  return OkStatus();
}
#elif defined(__aarch64__)
Status ForbidCall(pid_t pid) {
  int none = -1;
  iovec data{&none, sizeof none};
  if (::ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &data) < 0)
    return SysError(errno, "ptrace");
  return OkStatus();
}

Status SetResult(pid_t pid, int64_t result) {
  user_regs_struct registers{};
  iovec data{&registers, sizeof registers};
  if (::ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &data) < 0) return SysError(errno, "ptrace");
  registers.regs[0] = static_cast<unsigned long long>(result);
  if (::ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &data) < 0) return SysError(errno, "ptrace");
  return OkStatus();
}
#else
Status ForbidCall(pid_t) { return Unsupported("calls are not answered on this processor"); }
Status SetResult(pid_t, int64_t) { return Unsupported("calls are not answered on this processor"); }
#endif

// Up to `size` bytes at `address`: what can be read of them.
std::string ReadMemory(pid_t pid, uint64_t address, size_t size) {
  std::string out(std::min(size, kMaxBytes), '\0');
  const iovec local{out.data(), out.size()};
  const iovec remote{reinterpret_cast<void*>(address), out.size()};
  const ssize_t n = ::process_vm_readv(pid, &local, 1, &remote, 1, 0);
  out.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return out;
}

// Page by page: the one behind the text may not be there.
std::string ReadText(pid_t pid, uint64_t address) {
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  std::string out;
  while (address != 0 && out.size() < PATH_MAX) {
    const std::string part = ReadMemory(pid, address, page - address % page);
    const size_t end = part.find('\0');
    out += part.substr(0, end);
    if (part.empty() || end != std::string::npos) break;
    address += part.size();
  }
  return out;
}

std::string PathOf(pid_t pid, uint64_t fd) {
  const int number = static_cast<int>(fd);
  return sys::ReadLink(number == AT_FDCWD ? fmt::format("/proc/{}/cwd", pid)
                                          : fmt::format("/proc/{}/fd/{}", pid, number))
      .value_or("");
}

void ReadArguments(pid_t pid, RecordedCall* call) {
  const std::string_view kinds = ArgumentsOf(call->name);
  const auto& args = call->args;
  for (size_t i = 0; i < kinds.size(); ++i) {
    std::string& memory = call->memory.at(i);
    if (kinds[i] == 't' || kinds[i] == 'p') memory = ReadText(pid, args.at(i));
    if (kinds[i] == 'f') memory = PathOf(pid, args.at(i));
    if (kinds[i] == 's') memory = ReadMemory(pid, args.at(i), args.at(i + 1));
    if (kinds[i] == 'l') memory = ReadMemory(pid, args.at(i), args.at(i - 1) * sizeof(uint32_t));
    if (kinds[i] == 'c') memory = ReadMemory(pid, args.at(i), kCapsetBytes);
  }
}

// What the child says at its end: its status in numbers, then the message.
struct End {
  int32_t code = 0, err = 0;
};

[[noreturn]] void RunTraced(const std::function<Status()>& run, const UniqueFd& result) {
  // The tracer waits for this stop, and sets its options.
  if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) < 0 || ::raise(SIGSTOP) != 0) ::_exit(1);
  const Status status = run();
  const End end{static_cast<int32_t>(status.code()), ErrnoOf(status)};
  std::string text(reinterpret_cast<const char*>(&end), sizeof end);
  text += status.message();
  // _exit: nothing of a test program's end (reports, leak checks) is this child's.
  ::_exit(sys::WriteAll(result, text).ok() ? 0 : 1);
}

class Tracer {
 public:
  Tracer(pid_t pid, std::map<uint64_t, std::string> names, const std::vector<Answer>& answers)
      : pid_(pid), names_(std::move(names)), answers_(answers) {}

  // To the child's end; the raw status of waitpid(2).
  StatusOr<int> Follow() {
    ASSIGN_OR_RETURN(int status, sys::WaitPid(pid_));
    if (!WIFSTOPPED(status)) return Internal("the child can't be traced");
    if (::ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
      return SysError(errno, "ptrace");
    for (long signal = 0;;) {
      if (::ptrace(PTRACE_SYSCALL, pid_, nullptr, signal) < 0) return SysError(errno, "ptrace");
      ASSIGN_OR_RETURN(status, sys::WaitPid(pid_));
      if (!WIFSTOPPED(status)) return status;
      signal = WSTOPSIG(status);
      if (signal != (SIGTRAP | 0x80)) continue;  // its own signal: it gets it
      signal = 0;
      RETURN_IF_ERROR(Look());
    }
  }

  std::vector<RecordedCall> TakeCalls() { return std::move(calls_); }

 private:
  Status Look() {
    __ptrace_syscall_info info{};
    if (::ptrace(PTRACE_GET_SYSCALL_INFO, pid_, sizeof info, &info) < 0)
      return SysError(errno, "ptrace");
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) return Enter(info);
    return info.op == PTRACE_SYSCALL_INFO_EXIT ? Leave(info) : OkStatus();
  }

  Status Enter(const __ptrace_syscall_info& info) {
    const auto name = names_.find(info.entry.nr);
    is_recorded_ = name != names_.end();
    if (!is_recorded_) return OkStatus();
    RecordedCall call{.name = name->second};
    std::copy_n(info.entry.args, call.args.size(), call.args.begin());
    ReadArguments(pid_, &call);
    for (const Answer& answer : answers_)
      if (answer.name == call.name && (!answer.when || answer.when(call))) answer_ = -answer.err;
    calls_.push_back(std::move(call));
    return answer_.has_value() ? ForbidCall(pid_) : OkStatus();
  }

  Status Leave(const __ptrace_syscall_info& info) {
    if (!is_recorded_) return OkStatus();
    calls_.back().result = answer_.value_or(info.exit.rval);
    if (!answer_.has_value()) return OkStatus();
    answer_.reset();
    return SetResult(pid_, calls_.back().result);
  }

  pid_t pid_;
  std::map<uint64_t, std::string> names_;
  const std::vector<Answer>& answers_;
  std::vector<RecordedCall> calls_;
  bool is_recorded_ = false;       // the call that the child is in
  std::optional<int64_t> answer_;  // to it
};

StatusOr<std::map<uint64_t, std::string>> NumbersOf(const std::vector<std::string>& names) {
  std::map<uint64_t, std::string> out;
  for (const std::string& name : names) {
    const int number = ::seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) return InvalidArgument("no system call {:?}", name);
    // Below 0: of other processors alone.
    if (number >= 0) out.emplace(static_cast<uint64_t>(number), name);
  }
  return out;
}

}  // namespace

std::vector<std::string> PathCalls() {
  std::vector<std::string> out;
  for (const auto& known : kArguments)
    if (known.arguments.find('p') != std::string_view::npos) out.emplace_back(known.name);
  return out;
}

std::vector<NamedPath> PathsOf(const RecordedCall& call) {
  std::vector<NamedPath> out;
  const std::string_view kinds = ArgumentsOf(call.name);
  for (size_t i = 0; i < kinds.size(); ++i) {
    if (kinds[i] != 'p') continue;
    const bool has_folder = i > 0 && kinds[i - 1] == 'f';
    out.push_back({has_folder ? call.memory.at(i - 1) : "", call.memory.at(i)});
  }
  return out;
}

std::string Describe(const RecordedCall& call) {
  const std::string_view kinds = ArgumentsOf(call.name);
  std::string out;
  for (size_t i = 0; i < call.args.size(); ++i) {
    const char kind = i < kinds.size() ? kinds[i] : '-';
    out += i == 0 ? "" : ", ";
    out += kind == 't' || kind == 'p' ? fmt::format("{:?}", call.memory.at(i))
           : kind == 'f'
               ? fmt::format("{}<{}>", static_cast<int>(call.args.at(i)), call.memory.at(i))
               : fmt::format("{:#x}", call.args.at(i));
  }
  return fmt::format("{}({}) = {}", call.name, out, call.result);
}

StatusOr<Recording> Record(const std::vector<std::string>& names,
                           const std::function<Status()>& run, const std::vector<Answer>& answers) {
  ASSIGN_OR_RETURN(auto numbers, NumbersOf(names));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return SysError(errno, "pipe2");
  const UniqueFd result(ends[0]);
  UniqueFd child_end(ends[1]);
  ASSIGN_OR_RETURN(const pid_t pid, sys::Clone(0));
  if (pid == 0) RunTraced(run, child_end);
  sys::ChildGuard child(pid);
  child_end.Reset();
  Tracer tracer(pid, std::move(numbers), answers);
  ASSIGN_OR_RETURN(const int wait_status, tracer.Follow());
  child.Release();
  if (wait_status != 0) return Internal("the recorded function ended with {:#x}", wait_status);
  ASSIGN_OR_RETURN(const std::string text, sys::ReadAll(result, kMaxBytes));
  End end;
  if (text.size() < sizeof end) return Internal("the recorded function said nothing of its end");
  std::memcpy(&end, text.data(), sizeof end);
  return Recording{tracer.TakeCalls(),
                   Status(static_cast<StatusCode>(end.code), text.substr(sizeof end), end.err)};
}

}  // namespace ocirun::testing
