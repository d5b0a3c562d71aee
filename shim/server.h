// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/message_lite.h>

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"
#include "proto/ttrpc/frame.h"
#include "shim/acceptor.h"
#include "shim/loop.h"

namespace ocirun::shim {

// The answer to one request, given now or later: the first one counts. When the time that the
// client gives it has passed (`timeout_nano`), that is the answer. Copies are the same answer.
// Outlives the connection without harm.
class Reply {
 public:
  void operator()(const Status& status, const google::protobuf::MessageLite* message) const;
  // False once it is answered, or the client gone.
  [[nodiscard]] bool IsAwaited() const;
  // Whether the time has passed without an answer.
  [[nodiscard]] bool IsLate() const;
  // Calls `late` once when that happens. One at a time: a second one takes the first one's place.
  void WhenLate(std::function<void()> late) const;

 private:
  friend class Server;
  struct Call;
  void Expire() const;
  explicit Reply(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  std::shared_ptr<Call> call_;
};

// A ttrpc server for unary calls. The peer must have our own user and group id. Bounded: so many
// clients at once, the next one waits; and who does not read its answers is not heard. What a
// request says beside service, method, payload and timeout (its metadata: containerd sends the
// namespace) has no meaning here.
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
  friend class Reply;
  struct Connection {
    UniqueFd socket;
    ttrpc::Decoder decoder;
    std::string outgoing;
    uint32_t last_stream = 0;
  };
  using ConnectionPtr = std::shared_ptr<Connection>;

  Server(Loop* loop, Handler handler);
  void Connect(UniqueFd socket);
  void TakeMoreOrNot();
  void Serve(const ConnectionPtr& connection, uint32_t events);
  bool Read(const ConnectionPtr& connection);
  void HandleFrame(const ConnectionPtr& connection, const ttrpc::Frame& frame);
  Reply NewReply(const ConnectionPtr& connection, uint32_t stream, std::chrono::nanoseconds limit);
  void SendAnswer(const ConnectionPtr& connection, uint32_t stream, const Status& status,
                  const google::protobuf::MessageLite* message);
  bool Flush(Connection* connection);
  void Drop(const ConnectionPtr& connection);

  Loop* loop_;
  std::unique_ptr<Acceptor> acceptor_;  // while it listens
  Handler handler_;
  std::list<ConnectionPtr> connections_;
  std::function<void()> when_flushed_;
};

}  // namespace ocirun::shim
