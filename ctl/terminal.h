// SPDX-License-Identifier: Apache-2.0
//
// Our own terminal: raw mode, its size, the keys that detach.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "ocid/v1/types.pb.h"

namespace ocirun::ctl {

// Standard input in raw mode where it is a terminal, given back at the end of the scope. One at a
// time in a process.
class RawTerminal {
 public:
  explicit RawTerminal(bool wanted);
  ~RawTerminal() { Restore(); }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

  // Gives the terminal back if a RawTerminal holds it; from any thread, before a sudden end.
  static void Restore();
};

// Zeros where no standard descriptor is a terminal.
ocid::v1::TerminalSize SizeOfTerminal();

constexpr const char* kDefaultDetachKeys = "ctrl-p,ctrl-q";

// "ctrl-p,ctrl-q" as bytes; "" detaches never.
StatusOr<std::string> ParseDetachKeys(const std::string& text);

// Finds the detach keys in what is typed; gives on what is not part of them.
class DetachScanner {
 public:
  explicit DetachScanner(std::string keys) : keys_(std::move(keys)) {}
  // True when they were typed; what stands before them is appended to `through`.
  bool Scan(std::string_view data, std::string* through);

 private:
  std::string keys_;
  size_t seen_ = 0;
};

}  // namespace ocirun::ctl
