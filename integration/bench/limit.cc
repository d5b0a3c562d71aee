// SPDX-License-Identifier: Apache-2.0
//
// The physical limit that the runtime is measured against: one clone3 with five namespaces, a bind
// mount, pivot_root, proc, exec, wait. No configuration, no cgroup, no filter.
//
// usage: bench_limit ROOTFS COMMAND [ARG...]
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

namespace {

int Fail(const char* what) {
  std::perror(what);
  return 1;
}

int Child(const char* rootfs, char** argv) {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return Fail("private");
  if (::mount(rootfs, rootfs, nullptr, MS_BIND | MS_REC, nullptr) < 0) return Fail("bind");
  if (::chdir(rootfs) < 0) return Fail("chdir");
  if (::mount("proc", "proc", "proc", 0, nullptr) < 0) return Fail("proc");
  if (::syscall(SYS_pivot_root, ".", ".") < 0) return Fail("pivot_root");
  if (::umount2(".", MNT_DETACH) < 0) return Fail("umount");
  ::execv(argv[0], argv);
  return Fail("exec");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  clone_args args{};
  args.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;
  args.exit_signal = SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return Fail("clone3");
  if (pid == 0) return Child(argv[1], argv + 2);
  int status = 0;
  ::waitpid(static_cast<pid_t>(pid), &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
