// SPDX-License-Identifier: Apache-2.0
//
// Runs a command for which a system call fails, as on a kernel that lacks it: so that each
// fall-back of the runtime can be tested on a kernel that has everything.
//
// usage: deny NAME=ERRNO-NUMBER... -- COMMAND [ARG...]
#include <seccomp.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <string>

int main(int argc, char** argv) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  // The command is to see its own privileges: no no_new_privs, so this must be root.
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
  int at = 1;
  for (; at < argc && std::string(argv[at]) != "--"; ++at) {
    const std::string rule = argv[at];
    const size_t equals = rule.find('=');
    int number = 0;
    if (equals != std::string::npos)
      std::from_chars(rule.data() + equals + 1, rule.data() + rule.size(), number);
    const int call = seccomp_syscall_resolve_name(rule.substr(0, equals).c_str());
    if (number <= 0 || call == __NR_SCMP_ERROR ||
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(static_cast<unsigned>(number)), call, 0) != 0) {
      std::fprintf(stderr, "deny: can't deny %s\n", argv[at]);
      return 2;
    }
  }
  if (at + 1 >= argc || seccomp_load(filter) != 0) {
    std::perror("usage: deny NAME=ERRNO-NUMBER... -- COMMAND [ARG...]");
    return 2;
  }
  seccomp_release(filter);
  ::execvp(argv[at + 1], argv + at + 1);
  std::perror(argv[at + 1]);
  return 127;
}
