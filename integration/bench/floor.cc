// SPDX-License-Identifier: Apache-2.0
//
// What the kernel asks for the container of `ocirun spec`: every system call that its config.json
// needs, in a row and without a look at what comes back. The same namespaces, mounts, device nodes,
// masked and read-only paths, cgroups, limits and capabilities as a runtime makes; no configuration
// is read, no state kept, no link of an image distrusted, and the program not protected from the
// container. Between `limit` and this is what was asked for; above it is the runtime's own.
//
// usage: bench_floor ROOTFS COMMAND [ARG...]
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr char kCgroups[] = "/sys/fs/cgroup";
constexpr char kName[] = "bench_floor";

void Check(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  ::_exit(1);
}

void WriteTo(const std::string& path, std::string_view text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  Check(fd >= 0 && ::write(fd, text.data(), text.size()) > 0, path.c_str());
  ::close(fd);
}

struct Cgroup {
  std::string folder;
  int entry = -1;  // that the child writes itself to
};

void CopyFromParent(const std::string& parent, const std::string& folder, const char* file) {
  char value[64];
  const int fd = ::open((parent + file).c_str(), O_RDONLY | O_CLOEXEC);
  const ssize_t n = ::read(fd, value, sizeof value);
  Check(n > 0, file);
  ::close(fd);
  WriteTo(folder + file, {value, static_cast<size_t>(n)});
}

void AllowDefaultDevices(const std::string& folder) {
  WriteTo(folder + "/devices.deny", "a");
  for (const char* rule : {"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm",
                           "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm"})
    WriteTo(folder + "/devices.allow", rule);
}

Cgroup MakeCgroup(const std::string& parent, const std::string& controller, const char* entry) {
  Cgroup made{parent + "/" + kName};
  Check(::mkdir(made.folder.c_str(), 0755) == 0, made.folder.c_str());
  if (controller == "cpuset")
    for (const char* file : {"/cpuset.cpus", "/cpuset.mems"})
      CopyFromParent(parent, made.folder, file);
  if (controller == "devices") AllowDefaultDevices(made.folder);
  made.entry = ::open((made.folder + entry).c_str(), O_WRONLY | O_CLOEXEC);
  Check(made.entry >= 0, entry);
  return made;
}

std::vector<Cgroup> MakeCgroups() {
  std::vector<Cgroup> out;
  if (::access((std::string(kCgroups) + "/cgroup.procs").c_str(), F_OK) == 0) {
    out.push_back(MakeCgroup(kCgroups, "", "/cgroup.procs"));
    return out;
  }
  DIR* dir = ::opendir(kCgroups);
  Check(dir != nullptr, kCgroups);
  while (const dirent* entry = ::readdir(dir)) {
    const std::string folder = std::string(kCgroups) + "/" + entry->d_name;
    if (entry->d_type == DT_DIR && ::access((folder + "/tasks").c_str(), F_OK) == 0)
      out.push_back(MakeCgroup(folder, entry->d_name, "/tasks"));
  }
  ::closedir(dir);
  return out;
}

void MountAt(const char* type, const char* target, unsigned long flags, const char* data) {
  ::mkdir(target, 0755);
  Check(::mount(type, target, type, flags, data) == 0, target);
}

void MakeMounts(const char* rootfs) {
  constexpr unsigned long kPlain = MS_NOSUID | MS_NOEXEC | MS_NODEV;
  Check(::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0, "slave");
  Check(::mount(rootfs, rootfs, nullptr, MS_BIND | MS_REC, nullptr) == 0, "bind");
  Check(::chdir(rootfs) == 0, "chdir");
  MountAt("proc", "proc", 0, nullptr);
  MountAt("tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
  MountAt("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
  MountAt("tmpfs", "dev/shm", kPlain, "mode=1777,size=65536k");
  MountAt("mqueue", "dev/mqueue", kPlain, nullptr);
  MountAt("sysfs", "sys", kPlain | MS_RDONLY, nullptr);
}

void MakeDevices() {
  struct Node {
    const char* path;
    unsigned major, minor;
  };
  ::umask(0);
  for (const Node& node :
       {Node{"dev/null", 1, 3}, Node{"dev/zero", 1, 5}, Node{"dev/full", 1, 7},
        Node{"dev/random", 1, 8}, Node{"dev/urandom", 1, 9}, Node{"dev/tty", 5, 0}})
    Check(::mknod(node.path, S_IFCHR | 0666, makedev(node.major, node.minor)) == 0, node.path);
  struct Link {
    const char *path, *target;
  };
  for (const Link& link :
       {Link{"dev/fd", "/proc/self/fd"}, Link{"dev/stdin", "/proc/self/fd/0"},
        Link{"dev/stdout", "/proc/self/fd/1"}, Link{"dev/stderr", "/proc/self/fd/2"},
        Link{"dev/core", "/proc/kcore"}, Link{"dev/ptmx", "pts/ptmx"}})
    Check(::symlink(link.target, link.path) == 0, link.path);
  ::umask(022);
}

void HidePaths() {
  for (const char* path :
       {"proc/acpi", "proc/asound", "proc/kcore", "proc/keys", "proc/latency_stats",
        "proc/timer_list", "proc/timer_stats", "proc/sched_debug", "sys/firmware", "proc/scsi"}) {
    struct stat st;
    if (::stat(path, &st) < 0) continue;
    const bool folder = S_ISDIR(st.st_mode);
    Check(folder ? ::mount("tmpfs", path, "tmpfs", MS_RDONLY, "size=0k") == 0
                 : ::mount("dev/null", path, nullptr, MS_BIND, nullptr) == 0,
          path);
  }
  for (const char* path : {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"}) {
    if (::access(path, F_OK) < 0) continue;
    Check(::mount(path, path, nullptr, MS_BIND | MS_REC, nullptr) == 0, path);
    Check(::mount(nullptr, path, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) == 0, path);
  }
}

void LoopbackUp() {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", sizeof "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  Check(::ioctl(socket, SIOCSIFFLAGS, &request) == 0, "lo");
  ::close(socket);
}

void DropCapabilities() {
  constexpr unsigned kKept = 1U << CAP_KILL | 1U << CAP_NET_BIND_SERVICE | 1U << CAP_AUDIT_WRITE;
  for (unsigned capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
    if (capability > 31 || (1U << capability & kKept) == 0)
      ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct sets[2] = {{kKept, kKept, 0}, {0, 0, 0}};
  Check(::syscall(SYS_capset, &header, sets) == 0, "capset");
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

[[noreturn]] void Child(const std::vector<Cgroup>& cgroups, const char* rootfs, char** argv) {
  for (const Cgroup& cgroup : cgroups) Check(::write(cgroup.entry, "0", 1) == 1, "cgroup");
  ::setsid();
  LoopbackUp();
  Check(::sethostname("ocirun", 6) == 0, "sethostname");
  MakeMounts(rootfs);
  MakeDevices();
  HidePaths();
  Check(::syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
  Check(::umount2(".", MNT_DETACH) == 0, "umount");
  Check(::chdir("/") == 0, "chdir");
  const rlimit files{1024, 1024};
  ::setrlimit(RLIMIT_NOFILE, &files);
  DropCapabilities();
  ::execv(argv[0], argv);
  Check(false, "exec");
  ::_exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::vector<Cgroup> cgroups = MakeCgroups();
  clone_args args{};
  args.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;
  args.exit_signal = SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) Child(cgroups, argv[1], argv + 2);
  int status = 0;
  ::waitpid(static_cast<pid_t>(pid), &status, 0);
  for (const Cgroup& cgroup : cgroups) ::rmdir(cgroup.folder.c_str());
  return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
