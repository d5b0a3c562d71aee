// SPDX-License-Identifier: Apache-2.0
//
// The calls on systemd's manager (org.freedesktop.systemd1(5)), one connection each.
#pragma once

#include "base/json.h"
#include "base/status.h"
#include "ocirun/systemd/property.h"

namespace ocirun::systemd {

// The answer to a request, {} or with what the call found out. Waits for systemd's job to end.
// Errors are systemd's own words.
StatusOr<Json> Serve(Request request);

}  // namespace ocirun::systemd
