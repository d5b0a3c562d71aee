// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message_lite.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"
#include "proto/ttrpc/frame.h"

namespace ocirun::ttrpc {

// A client for unary calls over one connection, which costs no thread: any number of them may call
// at once, and one of those that wait reads the answers for all, until its own has come.
class Client {
 public:
  // `address`: unix:///path, or the bare path.
  static StatusOr<std::unique_ptr<Client>> Connect(const std::string& address);
  ~Client();  // no call is in flight any more
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

  using Deadline = std::chrono::steady_clock::time_point;

  explicit Client(UniqueFd socket) : socket_(std::move(socket)) {}
  StatusOr<uint32_t> Send(const std::string& data, Pending* pending);
  bool Await(const Pending& pending, Deadline deadline, std::unique_lock<std::mutex>* lock);
  Status ReadSome(Deadline deadline);
  void Answer(const Frame& frame);
  void Break(const Status& why);

  UniqueFd socket_;
  Decoder decoder_;         // of the one who reads
  std::mutex write_mutex_;  // one frame at a time; taken before mutex_
  std::mutex mutex_;        // of what follows
  std::condition_variable changed_;
  bool reading_ = false;  // somebody does
  std::map<uint32_t, Pending*> pending_;
  uint32_t next_stream_ = 1;
  Status broken_;
};

}  // namespace ocirun::ttrpc
