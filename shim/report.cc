// SPDX-License-Identifier: Apache-2.0
#include "shim/report.h"

#include "base/sys/file.h"
#include "base/time.h"

namespace ocirun::shim {

void Report(std::string_view level, std::string_view message) {
  UniqueFd err(2);
  IgnoreError(sys::WriteAll(err, fmt::format("time=\"{}\" level={} msg={:?}\n",
                                             FormatRfc3339Nano(NowUnixNanos()), level, message)),
              "nowhere else to say it");
  (void)err.Release();  // borrowed
}

}  // namespace ocirun::shim
