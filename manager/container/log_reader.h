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

// Reads a json-file log with its rotated files (formats.md 4.3), oldest first. With `follow` it
// goes on until `ended` says that no more will be written and all was given. `entry` returns false
// to stop.
Status ReadLogs(const std::string& path, const LogQuery& query, const std::function<bool()>& ended,
                const std::function<bool(const ocid::v1::LogEntry&)>& entry);

}  // namespace ocirun::container
