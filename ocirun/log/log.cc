// SPDX-License-Identifier: Apache-2.0
#include "ocirun/log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <cstring>

#include "base/json.h"
#include "base/sys/file.h"
#include "base/sys/socket.h"
#include "base/time.h"

namespace ocirun {
namespace {

enum class Kind { kFile, kSyslog, kJournald };

struct State {
  UniqueFd file;  // or a connected datagram socket; invalid: stderr
  Kind kind = Kind::kFile;
  std::string name;  // of this program in syslog and journald
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

int SyslogPriority(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return LOG_DEBUG;
    case LogLevel::kInfo:
      return LOG_INFO;
    case LogLevel::kWarning:
      return LOG_WARNING;
    case LogLevel::kError:
      return LOG_ERR;
  }
  return LOG_ERR;
}

// RFC 3164, as syslog(3) writes it.
std::string SyslogRecord(LogLevel level, const std::string& name, std::string_view message) {
  const time_t now = ::time(nullptr);
  struct tm parts{};
  ::localtime_r(&now, &parts);
  char stamp[32];
  const size_t size = ::strftime(stamp, sizeof stamp, "%b %e %T", &parts);
  return fmt::format("<{}>{} {}: {}", LOG_USER | SyslogPriority(level),
                     std::string_view(stamp, size), name, message);
}

// systemd's native protocol: a field a line, or with its length where it may hold a line's end.
std::string JournalRecord(LogLevel level, const std::string& name, std::string_view message) {
  std::string length(sizeof(uint64_t), '\0');
  for (size_t i = 0; i < length.size(); ++i)
    length[i] = static_cast<char>(uint64_t{message.size()} >> (8 * i) & 0xff);
  return fmt::format("PRIORITY={}\nSYSLOG_IDENTIFIER={}\nMESSAGE\n{}{}\n", SyslogPriority(level),
                     name, length, message);
}

// One line of a file, or one record.
std::string RecordOf(const State& log, LogLevel level, std::string_view message) {
  std::string line;
  if (log.kind == Kind::kFile || log.format == LogFormat::kJson) {
    line = LogLine(level, message, FormatRfc3339Nano(NowUnixNanos()), log.format);
    if (log.kind == Kind::kFile) return line;
    line.pop_back();
    message = line;
  }
  return log.kind == Kind::kSyslog ? SyslogRecord(level, log.name, message)
                                   : JournalRecord(level, log.name, message);
}

void Write(int fd, const std::string& record) {
  const ssize_t written =
      sys::RetryEintr([&] { return ::write(fd, record.data(), record.size()); });
  (void)written;  // nowhere else to say it
}

constexpr struct {
  std::string_view prefix;
  Kind kind;
  const char* socket;
} kTargets[] = {{"file:", Kind::kFile, nullptr},
                {"syslog:", Kind::kSyslog, "/dev/log"},
                {"journald:", Kind::kJournald, "/run/systemd/journal/socket"}};

// To a datagram socket of the host's log, under a name.
Status Connect(Kind kind, const char* socket, const std::string& name, State* log) {
  if (name.find('\n') != std::string::npos) return InvalidArgument("the name must be one line");
  ASSIGN_OR_RETURN(log->file, sys::ConnectUnix(socket, SOCK_DGRAM));
  log->kind = kind;
  log->name = name;
  ::tzset();  // here, and not when this process has a container's /etc/localtime
  return OkStatus();
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
  log.kind = Kind::kFile;
  std::string path = target.where;
  for (const auto& known : kTargets) {
    if (!target.where.starts_with(known.prefix)) continue;
    path = target.where.substr(known.prefix.size());
    if (path.empty()) return InvalidArgument("--log {}: nothing behind the colon", target.where);
    if (known.kind == Kind::kFile) break;
    return Annotate(Connect(known.kind, known.socket, path, &log), "--log " + target.where);
  }
  if (path.empty()) return OkStatus();
  ASSIGN_OR_RETURN(log.file, sys::Open(path, O_WRONLY | O_APPEND | O_CREAT, 0644));
  return OkStatus();
}

int LogFd() { return TheLog().file.get(); }

void LogText(LogLevel level, std::string_view message) {
  const State& log = TheLog();
  if (level < log.level) return;
  Write(log.file.valid() ? log.file.get() : STDERR_FILENO, RecordOf(log, level, message));
}

std::string_view ProgramName() { return ::program_invocation_short_name; }

void ReportError(const Status& error, std::string_view command) {
  const std::string failed =
      command.empty() ? "" : fmt::format("{} {} failed: ", ProgramName(), command);
  if (TheLog().file.valid()) LogText(LogLevel::kError, failed + MessageOf(error));
  const std::string who = command.empty() ? fmt::format("{}: ", ProgramName()) : failed;
  Write(STDERR_FILENO, who + MessageOf(error) + "\n");
}

}  // namespace ocirun
