// SPDX-License-Identifier: Apache-2.0
//
// What is read off a container's record. Pure, any thread.
#pragma once

#include "manager/container/shim_client.h"
#include "manager/network/bridge.h"
#include "ocid/v1/container.pb.h"

namespace ocirun::container {

// Running or paused: it has a task.
bool IsRunning(const ocid::v1::Container& record);

// What the bridge gave it; empty where it has no endpoint there.
network::Endpoint EndpointOf(const ocid::v1::Container& record);

// Of a container whose shim cannot tell any more: what is left of it is killed.
ExitInfo KilledNow();

}  // namespace ocirun::container
