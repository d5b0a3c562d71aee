// SPDX-License-Identifier: Apache-2.0
//
// The entry point of the static program `ocirun`: does what ProtectSelf() does (self_exe.h), before
// the C library starts. The first of the two execs that a container costs then pays for no start of
// a C library, which is most of an exec: glibc asks the processor for its caches some eighty times,
// and in a virtual machine each time is a trap to the hypervisor.
//
//   kernel ─► ocirun_entry ─► command that enters a container? on a writable mount?
//                  ▲               │ yes                        │ no
//                  └── execveat ───┘                            ▼
//                      (read-only copy of the mount)          _start ─► main ─► ProtectSelf
//
// No relocation has been done and no thread pointer exists here: no library function may be called,
// not even one that the compiler would think of itself. Whatever fails is left to ProtectSelf(),
// which has a fall-back and an error to report; this file may always do nothing.
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/mount.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "ocirun/linux/self_exe.h"

namespace {

long Call(long number, long a, long b, long c, long d, long e) {
#if defined(__x86_64__)
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
#else
#error "no entry point for this processor: see ocirun/cli/CMakeLists.txt"
#endif
}

long Address(const void* object) { return reinterpret_cast<long>(object); }

bool IsWord(const char* text, const char* word) {
  while (*text != '\0' && *text == *word) ++text, ++word;
  return *text == *word;
}

// Some argument is the name of a command whose processes are seen from inside a container. That it
// may be the name of something else costs an exec and harms nobody.
bool EntersContainer(char* const* argv) {
  for (; *argv != nullptr; ++argv)
    if (IsWord(*argv, "run") || IsWord(*argv, "create") || IsWord(*argv, "exec")) return true;
  return false;
}

// Where it was started from is not to be seen any more afterwards, and what the caller calls it may
// be the name of something else where it stands now: SelfPath() looks here.
bool ReadOwnPath(char* path, long size) {
  const long n = Call(SYS_readlinkat, AT_FDCWD, Address("/proc/self/exe"), Address(path), size, 0);
  if (n <= 0 || n >= size) return false;
  path[n] = '\0';
  return true;
}

void CloseFd(long fd) { Call(SYS_close, fd, 0, 0, 0, 0); }

}  // namespace

// `stack` is as the kernel left it: argc, argv..., NULL, envp..., NULL (System V ABI, 3.4.1).
extern "C" void OcirunProtectSelf(long* stack) {
  char** argv = reinterpret_cast<char**>(stack + 1);
  char** envp = argv + *stack + 1;
  if (*stack < 1 || !EntersContainer(argv)) return;
  const long self =
      Call(SYS_openat, AT_FDCWD, Address("/proc/self/exe"), O_RDONLY | O_CLOEXEC, 0, 0);
  if (self < 0) return;
  struct statfs fs;
  constexpr long kReadOnly = 1;  // ST_RDONLY, statfs(2)
  const bool known = Call(SYS_fstatfs, self, Address(&fs), 0, 0, 0) == 0;
  long tree = -1;
  if (known && (fs.f_flags & kReadOnly) == 0)
    tree =
        Call(SYS_open_tree, self, Address(""), OPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH, 0, 0);
  CloseFd(self);
  if (tree < 0) return;
  char path[PATH_MAX];
  char* const name = argv[0];
  mount_attr attributes;
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  attributes.attr_clr = 0;
  attributes.propagation = 0;
  attributes.userns_fd = 0;
  if (Call(SYS_mount_setattr, tree, Address(""), AT_EMPTY_PATH, Address(&attributes),
           sizeof attributes) == 0 &&
      ReadOwnPath(path, sizeof path)) {
    argv[0] = path;
    const long held = Call(SYS_fcntl, tree, F_DUPFD, ocirun::linux_::kHeldSelf, 0, 0);
    Call(SYS_execveat, held < 0 ? tree : held, Address(""), Address(argv), Address(envp),
         AT_EMPTY_PATH);
    argv[0] = name;
    if (held >= 0) CloseFd(held);
  }
  CloseFd(tree);
}

// The C library's own entry point finds everything as the kernel left it.
#if defined(__x86_64__)
__asm__(
    ".globl ocirun_entry\n"
    ".type ocirun_entry, @function\n"
    "ocirun_entry:\n"
    "  xor %ebp, %ebp\n"
    "  mov %rsp, %rdi\n"
    "  call OcirunProtectSelf\n"
    "  xor %edx, %edx\n"
    "  jmp _start\n");
#elif defined(__aarch64__)
__asm__(
    ".globl ocirun_entry\n"
    ".type ocirun_entry, @function\n"
    "ocirun_entry:\n"
    "  mov x0, sp\n"
    "  bl OcirunProtectSelf\n"
    "  mov x0, xzr\n"
    "  b _start\n");
#endif
