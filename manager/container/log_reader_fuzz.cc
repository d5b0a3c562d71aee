// SPDX-License-Identifier: Apache-2.0
//
// A log file with anything in it: it was cut by a full disk, or edited by hand.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/path.h"
#include "base/sys/file.h"
#include "manager/container/log_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocirun;  // NOLINT: this file is one function
  const UniqueFd file(::memfd_create("log", MFD_CLOEXEC));
  if (!sys::WriteAll(file, {reinterpret_cast<const char*>(data), size}).ok()) std::abort();
  const auto take = [](const ocid::v1::LogEntry& entry) { return entry.ByteSizeLong() < 1u << 30; };
  for (const std::optional<uint32_t> tail : {std::optional<uint32_t>(), std::optional<uint32_t>(2)})
    IgnoreError(container::ReadLogs(
                    ProcFdPath(file), {.since = 1, .tail = tail}, [] { return true; }, take),
                "only crashes count");
  return 0;
}
