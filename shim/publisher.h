// SPDX-License-Identifier: Apache-2.0
//
// Tells containerd what happens to tasks: Forward of containerd.services.events.ttrpc.v1.Events, on
// the socket of TTRPC_ADDRESS. Events are told one after another, each when the one before it was
// taken, so that their order is kept.
//
//   queue ──► sent ──answer──► gone                5 s without an answer, or an error:
//     ▲         │                                  again after 1, 2, 3, 4, 5 s, then it is dropped
//     └─────────┘                                  a connection that was lost: again at once, once
#pragma once

#include <google/protobuf/message_lite.h>

#include <deque>
#include <functional>
#include <string>

#include "base/unique_fd.h"
#include "proto/ttrpc/frame.h"
#include "shim/loop.h"

namespace ocirun::shim {

class Publisher {
 public:
  // Without an address nothing is told.
  Publisher(Loop* loop, std::string address, std::string name_space);
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  // Whether anybody listens.
  [[nodiscard]] bool enabled() const { return !address_.empty(); }
  // `type` is the message's full name.
  void Publish(std::string_view topic, std::string_view type,
               const google::protobuf::MessageLite& event);
  // Calls `done` when all was told or dropped, or else after `limit`.
  void WhenIdle(std::chrono::milliseconds limit, std::function<void()> done);

 private:
  struct Event {
    std::string topic, request;  // of Forward
    int failures = 0;
  };

  void SendFirst();
  Status Connect();
  void Serve(uint32_t events);
  bool Flush();
  bool Read();
  void Answered(const Status& status);
  void LostConnection(const Status& why);
  void Disconnect();
  void Failed(const Status& why);
  void Next();

  Loop* loop_;
  std::string address_, name_space_;
  std::deque<Event> queue_;
  UniqueFd socket_;
  ttrpc::Decoder decoder_;
  std::string outgoing_;
  uint32_t stream_ = 0;  // of the call in flight, or of the last one
  uint64_t turn_ = 0;    // timers of earlier turns have no say
  bool in_flight_ = false, waiting_ = false, fresh_ = false;
  std::function<void()> when_idle_;
};

}  // namespace ocirun::shim
