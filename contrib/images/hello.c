// SPDX-License-Identifier: Apache-2.0
//
// The program of the hello-world image. No libc: the whole image is a few kilobytes.
#include <sys/syscall.h>

static const char kText[] =
    "Hello from ocirun!\n"
    "\n"
    "This line was printed by a program in a container, so the whole stack works here:\n"
    "  1. ocictl asked the daemon, ocid, for a container of the image hello-world;\n"
    "  2. ocid took the image's layers, stacked them and gave the container a network;\n"
    "  3. ocishim kept its output, and ocirun set up namespaces, mounts and cgroups and ran it;\n"
    "  4. what it printed came back to your terminal the same way.\n"
    "\n"
    "Something larger to try:  ocictl run -it busybox sh\n";

static long Call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c)
                   : "rcx", "r11", "memory");
  return result;
}

void _start(void) {
  const char* at = kText;
  long left = sizeof kText - 1;
  while (left > 0) {
    const long n = Call(SYS_write, 1, (long)at, left);
    if (n <= 0) Call(SYS_exit_group, 1, 0, 0);
    at += n;
    left -= n;
  }
  Call(SYS_exit_group, 0, 0, 0);
  __builtin_unreachable();
}
