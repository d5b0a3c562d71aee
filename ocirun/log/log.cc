// SPDX-License-Identifier: Apache-2.0
#include "ocirun/log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/json.h"
#include "base/sys/file.h"
#include "base/time.h"

namespace ocirun {
namespace {

struct State {
  UniqueFd file;  // invalid: stderr
  LogFormat format = LogFormat::kText;
  LogLevel level = LogLevel::kInfo;
};

// Process-wide, as the log is.
State& TheLog() {
  static State log;
  return log;
}

std::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

void WriteLine(int fd, const std::string& line) {
  const ssize_t written = sys::RetryEintr([&] { return ::write(fd, line.data(), line.size()); });
  (void)written;  // nowhere else to say it
}

}  // namespace

std::string LogLine(LogLevel level, std::string_view message, std::string_view time,
                    LogFormat format) {
  if (format == LogFormat::kText)
    return fmt::format("time=\"{}\" level={} msg={:?}\n", time, LevelName(level), message);
  // Bytes that are no UTF-8 (a name in the image) become U+FFFD rather than an exception.
  const Json line = {{"level", LevelName(level)}, {"msg", message}, {"time", time}};
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Status OpenLog(const LogTarget& target) {
  State& log = TheLog();
  log.format = target.format;
  log.level = target.level;
  log.file.Reset();
  if (target.file.empty()) return OkStatus();
  ASSIGN_OR_RETURN(log.file, sys::Open(target.file, O_WRONLY | O_APPEND | O_CREAT, 0644));
  return OkStatus();
}

int LogFd() { return TheLog().file.get(); }

void LogText(LogLevel level, std::string_view message) {
  const State& log = TheLog();
  if (level < log.level) return;
  WriteLine(log.file.valid() ? log.file.get() : STDERR_FILENO,
            LogLine(level, message, FormatRfc3339Nano(NowUnixNanos()), log.format));
}

std::string_view ProgramName() { return ::program_invocation_short_name; }

void ReportError(const Status& error, std::string_view command) {
  const std::string failed =
      command.empty() ? "" : fmt::format("{} {} failed: ", ProgramName(), command);
  if (TheLog().file.valid()) LogText(LogLevel::kError, failed + MessageOf(error));
  const std::string who = command.empty() ? fmt::format("{}: ", ProgramName()) : failed;
  WriteLine(STDERR_FILENO, who + MessageOf(error) + "\n");
}

}  // namespace ocirun
