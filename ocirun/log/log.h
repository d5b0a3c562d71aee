// SPDX-License-Identifier: Apache-2.0
//
// The runtime's log, in runc's formats: its last error is what a shim reports, and what the runtime
// went on without stands there as a warning. Errors travel as Status and are logged once, by main.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "base/status.h"

namespace ocirun {

enum class LogFormat { kText, kJson };
enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct LogTarget {
  // A file to append to, also as "file:PATH"; "syslog:NAME" and "journald:NAME" send to the host's
  // logs under that name, as crun's do; empty: stderr.
  std::string where;
  LogFormat format = LogFormat::kText;
  LogLevel level = LogLevel::kInfo;  // what is below is dropped
};

// Where the lines of this process go from now on. Not for several threads. To syslog and journald
// goes the message alone, or with LogFormat::kJson the line: level and time have fields there.
Status OpenLog(const LogTarget& target);

// The log's descriptor, a file or a socket, -1 when it is stderr: for one who closes all others.
int LogFd();

// Writes one line with one write(2), so that lines of several processes do not mix. Also between
// clone and exec. A line that can't be written is lost.
void LogText(LogLevel level, std::string_view message);

template <typename... Args>
void Warn(fmt::format_string<Args...> format, Args&&... args) {
  LogText(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void Debug(fmt::format_string<Args...> format, Args&&... args) {
  LogText(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
}

// The name that this program was called by: "runc" where it stands in runc's place.
std::string_view ProgramName();

// Reports why the program fails: in the log, and for the person on stderr as one plain line. With
// the command that failed both say so, in runc's words: "ocirun run failed: …".
void ReportError(const Status& error, std::string_view command = {});

// {"level":"error","msg":"…","time":"…"} or time="…" level=error msg="…". Pure.
std::string LogLine(LogLevel level, std::string_view message, std::string_view time,
                    LogFormat format);

}  // namespace ocirun
