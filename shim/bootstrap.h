// SPDX-License-Identifier: Apache-2.0
//
// `start`: finds or makes the shim of a container, and says where it listens.
//
//   containerd ──spawns──► ocishim start ──spawns──► ocishim (the server: fd 3 listens, cwd bundle)
//                            │ prints the address, ends
//
// What it prints, by what its caller understands:
//
//   BootstrapParams on stdin (containerd 2.3, ocid) {"version":3,"address":...,"protocol":"ttrpc"}
//   MAX_SHIM_VERSION in the environment (1.7)         the same with "version":2
//   neither (1.6)                                     the address alone, which means version 2
#pragma once

#include <string>

#include "base/json.h"
#include "shim/flags.h"

namespace ocirun::shim {

inline constexpr int kListenerFd = 3;
inline constexpr std::string_view kUnixScheme = "unix://";

// Runs in the bundle. Returns the exit status.
StatusOr<int> Start(const Flags& flags);

// Containers that are to share a shim name the same group; `config` is config.json. Empty: none.
std::string GroupOf(const Json& config);

// The file name of the socket for containers of a group: 64 hexadecimal digits. Pure.
std::string SocketName(const std::string& address, const std::string& name_space,
                       const std::string& group);

// Writes to the caller's stdout.
Status Print(std::string_view text);
// All of stdin, at most 1 MiB.
StatusOr<std::string> ReadStdin();

}  // namespace ocirun::shim
