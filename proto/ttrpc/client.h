// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message_lite.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::ttrpc {

// A client for unary calls over one connection. Any number of threads may call at once; one thread
// of its own reads the answers.
class Client {
 public:
  // `address`: unix:///path, or the bare path.
  static StatusOr<std::unique_ptr<Client>> Connect(const std::string& address);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Blocks until the answer is there. The server's error becomes its Status; the loss of the
  // connection, or Close(), is Unavailable. Without a timeout it waits as long as it takes.
  Status Call(const std::string& service, const std::string& method,
              const google::protobuf::MessageLite& request, google::protobuf::MessageLite* response,
              std::chrono::nanoseconds timeout = std::chrono::nanoseconds(0));

  // Ends all calls in flight; later ones fail. From any thread.
  void Close();

 private:
  struct Pending {
    bool done = false;
    Status status;
    std::string payload;
  };

  explicit Client(UniqueFd socket);
  void ReadAnswers();
  Status ReadFrames();

  UniqueFd socket_;
  std::mutex write_mutex_;  // one frame at a time; taken before mutex_
  std::mutex mutex_;        // of what follows
  std::condition_variable answered_;
  std::map<uint32_t, Pending*> pending_;
  uint32_t next_stream_ = 1;
  Status broken_;
  std::thread reader_;
};

}  // namespace ocirun::ttrpc
