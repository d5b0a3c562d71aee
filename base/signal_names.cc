// SPDX-License-Identifier: Apache-2.0
#include "base/signal_names.h"

#include <algorithm>
#include <charconv>
#include <csignal>

namespace ocirun {
namespace {

constexpr int kFirstRealtime = 34;  // glibc keeps 32 and 33: what users call SIGRTMIN is 34
constexpr int kLastRealtime = 64;

constexpr struct {
  std::string_view name;
  int number;
} kSignals[] = {
    {"HUP", SIGHUP},       {"INT", SIGINT},     {"QUIT", SIGQUIT}, {"ILL", SIGILL},
    {"TRAP", SIGTRAP},     {"ABRT", SIGABRT},   {"IOT", SIGABRT},  {"BUS", SIGBUS},
    {"FPE", SIGFPE},       {"KILL", SIGKILL},   {"USR1", SIGUSR1}, {"SEGV", SIGSEGV},
    {"USR2", SIGUSR2},     {"PIPE", SIGPIPE},   {"ALRM", SIGALRM}, {"TERM", SIGTERM},
    {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD},   {"CLD", SIGCHLD},  {"CONT", SIGCONT},
    {"STOP", SIGSTOP},     {"TSTP", SIGTSTP},   {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},
    {"URG", SIGURG},       {"XCPU", SIGXCPU},   {"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM},
    {"PROF", SIGPROF},     {"WINCH", SIGWINCH}, {"IO", SIGIO},     {"POLL", SIGIO},
    {"PWR", SIGPWR},       {"SYS", SIGSYS},
};

bool ParseNumber(std::string_view text, int* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

// "RTMIN", "RTMIN+3", "RTMAX", "RTMAX-2".
bool ParseRealtime(std::string_view name, int* out) {
  if (name.size() < 5) return false;
  const std::string_view anchor = name.substr(0, 5), rest = name.substr(5);
  int base;
  if (anchor == "RTMIN") {
    base = kFirstRealtime;
  } else if (anchor == "RTMAX") {
    base = kLastRealtime;
  } else {
    return false;
  }
  int offset = 0;
  if (!rest.empty()) {
    if ((rest[0] != '+' && rest[0] != '-') || !ParseNumber(rest.substr(1), &offset)) return false;
    if (rest[0] == '-') offset = -offset;
  }
  if (offset > kLastRealtime || offset < -kLastRealtime) return false;
  *out = base + offset;
  return *out >= kFirstRealtime && *out <= kLastRealtime;
}

}  // namespace

StatusOr<int> ParseSignal(std::string_view text) {
  int number = 0;
  if (ParseNumber(text, &number)) {
    if (number < 1 || number > kLastRealtime) return InvalidArgument("invalid signal: {}", text);
    return number;
  }
  std::string name(text);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  });
  std::string_view bare = name;
  if (bare.substr(0, 3) == "SIG") bare.remove_prefix(3);
  for (const auto& signal : kSignals)
    if (signal.name == bare) return signal.number;
  if (ParseRealtime(bare, &number)) return number;
  return InvalidArgument("invalid signal: {}", text);
}

std::string SignalName(int signal) {
  for (const auto& entry : kSignals)
    if (entry.number == signal) return fmt::format("SIG{}", entry.name);
  if (signal == kFirstRealtime) return "SIGRTMIN";
  if (signal > kFirstRealtime && signal <= kLastRealtime)
    return fmt::format("SIGRTMIN+{}", signal - kFirstRealtime);
  return fmt::format("signal {}", signal);
}

}  // namespace ocirun
