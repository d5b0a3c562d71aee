// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace ocirun::cli {

enum class LogFormat { kText, kJson };

// Reports why a command failed, in runc's formats: on stderr, and in the log file when one is
// given, from which a shim reads the last error. A log that can't be written is said on stderr.
void ReportError(const Status& error, const std::string& log_file, LogFormat format);

// One line of the log: {"level":"error","msg":"…","time":"…"} or time="…" level=error msg="…".
// Pure.
std::string LogLine(std::string_view level, std::string_view message, std::string_view time,
                    LogFormat format);

}  // namespace ocirun::cli
