// SPDX-License-Identifier: Apache-2.0
//
// containerd.runc.v1.Options: how a client wants the runtime to be run. What `delete` needs of them
// when the shim has gone lies in the bundle:
//
//   options.json   the options, without those that have no value
//   runtime        the runtime's name or path, empty for our own
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "containerd/runc_options.pb.h"
#include "containerd/wire.pb.h"

namespace ocirun::shim {

using RuncOptions = containerd::runc::v1::Options;
using CheckpointOptions = containerd::runc::v1::CheckpointOptions;

// The name of the message in an Any: what stands behind the last slash of its URL.
std::string_view TypeName(const wire::Any& any);

// Whether `any` holds options that UnpackOptions() knows.
bool HasOptions(const wire::Any& any);

// The options in `any`, a message or TOML in runtimeoptions.v1.Options, which is what containerd's
// CRI service and Docker make of their configuration for a runtime whose name they don't know, or
// containerd.linux.runc.CreateOptions, which clients of containerd 1 send to one. Those of a
// runtime that has none are empty. InvalidArgument when they are not readable, Unimplemented names
// a kind of options, or an option, that is not runc's.
StatusOr<RuncOptions> UnpackOptions(const wire::Any& any);

// As UnpackOptions().
StatusOr<CheckpointOptions> UnpackCheckpointOptions(const wire::Any& any);

Status SaveOptions(const std::string& bundle, const RuncOptions& options);
// What SaveOptions() wrote, of which only `root` and `binary_name` are read. Without the files:
// empty options.
StatusOr<RuncOptions> LoadOptions(const std::string& bundle);

// The runtime's state folder: containers of each namespace have their own.
std::string RuntimeRoot(const RuncOptions& options, const std::string& name_space);
// The runtime's program: the option, or the ocirun beside this program, or the one in PATH.
std::string RuntimeProgram(const RuncOptions& options);

}  // namespace ocirun::shim
