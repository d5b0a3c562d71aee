// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/status.h"
#include "ocid/v1/container.pb.h"

namespace ocirun::container {

struct LogQuery {
  bool standard_output = true;
  bool standard_error = true;
  int64_t since = 0;  // nanoseconds; 0 = no bound
  int64_t until = 0;
  std::optional<uint32_t> tail;  // the last entries, of all that match
  bool follow = false;
};

// Reads a json-file log with its rotated and compressed files (formats.md 4.3), oldest first, while
// they are rotated, as far as it is written by now. With `follow` it goes on until `ended` says
// that no more will be written and all was given. `entry` returns false to stop.
//
// What is asked for is found without reading what is not: the last lines from the end, the lines of
// a time by halving the file, so that neither costs more in a log of 10 GB. There is no index
// beside the log: the times in it are one. Only compressed files are read whole, and those not if
// they are older than what is asked for. Where the clock was set back, `since` may begin at the
// later of two places.
Status ReadLogs(const std::string& path, const LogQuery& query, const std::function<bool()>& ended,
                const std::function<bool(const ocid::v1::LogEntry&)>& entry);

}  // namespace ocirun::container
