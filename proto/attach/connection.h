// SPDX-License-Identifier: Apache-2.0
//
// A client of a shim's attach socket, whose frames are drawn in shim/attach.h.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::attach {

// What becomes of a client that reads more slowly than the process writes.
enum class WhenSlow { kWait, kDrop };

// A connection to a process's streams.
class Connection {
 public:
  static StatusOr<std::unique_ptr<Connection>> Connect(const std::string& socket, WhenSlow slow);
  struct Output {
    int stream = 0;         // 1 stdout, 2 stderr; 0 = the end
    std::string_view data;  // valid until the next Read
  };
  // The next output, as much of one stream as is there now. From one thread. ResourceExhausted: it
  // was dropped, and why.
  StatusOr<Output> Read();
  // Empty data: the end of the input. Blocks while the process does not read; Cancelled when
  // `cancelled` says so.
  Status WriteInput(std::string_view data, const std::function<bool()>& cancelled);
  // No more input: when the shim has read it all it ends the connection.
  void EndInput();
  // Makes a blocked Read return the end.
  void Shutdown();

 private:
  explicit Connection(UniqueFd socket) : socket_(std::move(socket)) {}
  StatusOr<size_t> Receive(char* to, size_t size, int flags);
  StatusOr<bool> NextHeader(int flags);
  UniqueFd socket_;
  std::string buffer_;
  std::array<char, 8> header_{};
  size_t header_size_ = 0;  // bytes of header_ that have come; all: it is of the next frame to read
  int stream_ = 0;          // of the frame that is being read
  size_t left_ = 0;         // of its data
};

}  // namespace ocirun::attach
