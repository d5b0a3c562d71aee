// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message_lite.h>

#include <functional>
#include <list>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"
#include "proto/ttrpc/frame.h"
#include "shim/loop.h"

namespace ocirun::shim {

// Sends the answer to one request, once, now or later. Outlives the connection without harm.
using Reply = std::function<void(const Status&, const google::protobuf::MessageLite*)>;

// A ttrpc server for unary calls. The peer must have our own user and group id.
class Server {
 public:
  // `service` is the full name, `payload` the request's bytes.
  using Handler = std::function<void(const std::string& service, const std::string& method,
                                     const std::string& payload, Reply reply)>;

  static StatusOr<std::unique_ptr<Server>> Create(Loop* loop, UniqueFd listener, Handler handler);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Those who are connected stay. Idempotent.
  void StopListening();
  // Calls `done` when every answer that was given is sent, or its client gone.
  void WhenFlushed(std::function<void()> done);

 private:
  struct Connection {
    UniqueFd socket;
    ttrpc::Decoder decoder;
    std::string outgoing;
    uint32_t last_stream = 0;
  };
  using ConnectionPtr = std::shared_ptr<Connection>;

  Server(Loop* loop, UniqueFd listener, Handler handler);
  void Accept();
  void Serve(const ConnectionPtr& connection, uint32_t events);
  bool Read(const ConnectionPtr& connection);
  void HandleFrame(const ConnectionPtr& connection, const ttrpc::Frame& frame);
  void SendAnswer(const ConnectionPtr& connection, uint32_t stream, const Status& status,
                  const google::protobuf::MessageLite* message);
  bool Flush(Connection* connection);
  void Drop(const ConnectionPtr& connection);

  Loop* loop_;
  UniqueFd listener_;
  Handler handler_;
  std::list<ConnectionPtr> connections_;
  std::function<void()> when_flushed_;
};

}  // namespace ocirun::shim
