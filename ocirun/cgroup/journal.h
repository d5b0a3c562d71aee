// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ocirun::cgroup {

// What control files held before they were written, so that a change of several limits is all or
// nothing. The value that stood first in a file is the one that comes back.
class Journal {
 public:
  // To be called before `value` is written to `path`. A file that can't be read is not remembered.
  void Remember(const std::string& path, std::string_view value);
  // Writes the old values back, last first. Goes on after a failure and returns the first one.
  Status Restore();

 private:
  struct Entry {
    std::string path, value;
  };
  std::vector<Entry> entries_;
};

// What must be written to undo the write of `value` to a file that held `old`. Files with a line a
// device ("8:0 rbps=1", "8:0 1000") take one device at a time, and one that had no line had no
// limit. Pure.
std::string UndoValue(std::string_view old, std::string_view value);

}  // namespace ocirun::cgroup
