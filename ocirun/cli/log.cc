// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cli/log.h"

#include <fcntl.h>

#include "base/json.h"
#include "base/sys/file.h"
#include "base/time.h"

namespace ocirun::cli {

std::string LogLine(std::string_view level, std::string_view message, std::string_view time,
                    LogFormat format) {
  if (format == LogFormat::kText)
    return fmt::format("time=\"{}\" level={} msg={:?}\n", time, level, message);
  // Bytes that are no UTF-8 (a name in the image) become U+FFFD rather than an exception.
  const Json line = {{"level", level}, {"msg", message}, {"time", time}};
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

void ReportError(const Status& error, const std::string& log_file, LogFormat format) {
  const std::string line =
      LogLine("error", MessageOf(error), FormatRfc3339Nano(NowUnixNanos()), format);
  UniqueFd standard_error(2);
  if (!log_file.empty()) {
    auto file = sys::Open(log_file, O_WRONLY | O_APPEND | O_CREAT, 0644);
    const Status written = file.ok() ? sys::WriteAll(*file, line) : file.status();
    if (!written.ok())
      IgnoreError(sys::WriteAll(standard_error, MessageOf(written) + "\n"),
                  "nowhere else to say it");
  }
  IgnoreError(sys::WriteAll(standard_error, fmt::format("ocirun: {}\n", MessageOf(error))),
              "nowhere else to say it");
  (void)standard_error.Release();  // borrowed: sanitizers still want it at exit
}

}  // namespace ocirun::cli
