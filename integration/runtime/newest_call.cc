// SPDX-License-Identifier: Apache-2.0
//
// Makes a system call that no kernel has yet and prints what it is told.
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

int main() {
  constexpr long kNotYet = 4000;
  if (::syscall(kNotYet) < 0) std::puts(std::strerror(errno));
  return 0;
}
