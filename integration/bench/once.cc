// SPDX-License-Identifier: Apache-2.0
//
// Runs a command once and prints the microseconds from its start to its end, and the largest
// resident set of it and of its children in KiB (getrusage(2), ru_maxrss). A process inherits the
// mark of the program that forked it, and a large one takes longer to fork and to wake: both are
// done here, by a program that is smaller than anything it measures.
//
// usage: bench_once COMMAND [ARG...]
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const auto begin = std::chrono::steady_clock::now();
  const pid_t pid = ::fork();
  if (pid == 0) {
    const int null = ::open("/dev/null", O_RDWR);
    if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(null, 1) < 0) ::_exit(126);
    ::execvp(argv[1], argv + 1);
    std::perror(argv[1]);
    ::_exit(127);
  }
  int status = 0;
  rusage usage{};
  if (pid < 0 || ::wait4(pid, &status, 0, &usage) < 0) {
    std::perror("bench_once");
    return 1;
  }
  const auto taken = std::chrono::steady_clock::now() - begin;
  std::printf("%ld %ld\n", std::chrono::duration_cast<std::chrono::microseconds>(taken).count(),
              usage.ru_maxrss);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
