// SPDX-License-Identifier: Apache-2.0
//
// What a function asks of the kernel: it runs in a child of its own under ptrace(2), on the real
// kernel, and its system calls are written down. For what matters by its order and flags, and for
// what the kernel is to answer otherwise than it would.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

namespace ocirun::testing {

struct RecordedCall {
  std::string name;
  std::array<uint64_t, 6> args{};
  // By argument, what it stood for when the call was made: a text is itself, a descriptor the path
  // that it is open on, and a structure, list or buffer its bytes.
  std::array<std::string, 6> memory;
  int64_t result = 0;  // below 0: -errno

  [[nodiscard]] bool ok() const { return result >= 0; }
  // Element `index` of the list that argument `arg` points to; 0 beyond its end.
  template <typename T>
  [[nodiscard]] T ElementOf(size_t arg, size_t index) const {
    T value{};
    if ((index + 1) * sizeof value <= memory.at(arg).size())
      std::memcpy(&value, memory[arg].data() + index * sizeof value, sizeof value);
    return value;
  }
};

// Every call here that takes a path, for what is to hold for all of them.
std::vector<std::string> PathCalls();

struct NamedPath {
  std::string folder;  // that the descriptor before it is open on; empty: the call takes none
  std::string name;
};
std::vector<NamedPath> PathsOf(const RecordedCall& call);

// As strace(1) would have it; for the message of a test that fails.
std::string Describe(const RecordedCall& call);

// A call that is answered without being done.
struct Answer {
  std::string name;
  int err = 0;                                    // 0: it succeeds
  std::function<bool(const RecordedCall&)> when;  // empty: always
};

struct Recording {
  std::vector<RecordedCall> calls;
  Status status;  // of the function; its message is kept, its errno too
};

// Runs `run` in a forked child and records its calls with one of the `names`; processes that it
// makes in turn are not looked at. What the child does to itself ends with it. Returns an error
// where a name is unknown, nothing can be traced here, or the child is ended by a signal.
StatusOr<Recording> Record(const std::vector<std::string>& names,
                           const std::function<Status()>& run,
                           const std::vector<Answer>& answers = {});

}  // namespace ocirun::testing
