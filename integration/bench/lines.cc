// SPDX-License-Identifier: Apache-2.0
//
// A container that logs: a line of 100 bytes at even times. usage: bench_lines LINES-PER-SECOND
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <ctime>

int main(int argc, char** argv) {
  const long rate = argc == 2 ? std::strtol(argv[1], nullptr, 10) : 0;
  if (rate <= 0) return 2;
  constexpr long kSecond = 1'000'000'000;
  char line[100];
  std::memset(line, 'x', sizeof line);
  line[sizeof line - 1] = '\n';
  timespec next{};
  ::clock_gettime(CLOCK_MONOTONIC, &next);
  while (::write(STDOUT_FILENO, line, sizeof line) == sizeof line) {
    next.tv_nsec += kSecond / rate;
    next.tv_sec += next.tv_nsec / kSecond;
    next.tv_nsec %= kSecond;
    ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, nullptr);
  }
  return 1;
}
