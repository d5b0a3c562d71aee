// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/status.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

// Capabilities of the container's process, in two steps around the change of user
// (capabilities(7)): the first needs CAP_SETPCAP and keeps what is permitted across setuid; the
// second leaves just what config.json asks for. Both run in the container's init, which has one
// thread.
//
// A capability that this process itself lacks (a host without CAP_SYS_RESOURCE, say) cannot be
// given on: it is left out with a warning, as runc does.

// Drops from the bounding set what `caps` does not list; sets keepcaps.
Status LimitBounding(const oci::Capabilities& caps);
// Makes every permitted capability effective again, which setuid took away.
Status RaiseEffective();
// Sets permitted, effective, inheritable and ambient as asked.
Status SetCapabilities(const oci::Capabilities& caps);

}  // namespace ocirun::linux_
