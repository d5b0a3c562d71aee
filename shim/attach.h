// SPDX-License-Identifier: Apache-2.0
//
// The attach socket of one process: any number of clients that see its output and feed its input.
// Frames go both ways, integers big-endian:
//
//    0     1        4        8
//   | type | 0 0 0 | length | payload ...
//
//   to the client:   1 stdout, 2 stderr         from the client:   0 stdin, length 0: its end
//
// A client gets everything from its connection on. When all output is delivered the shim closes the
// connection. While the process does not read its input the shim does not read the clients', so
// that their writes block; nothing is dropped.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/unique_fd.h"
#include "shim/json_log.h"
#include "shim/loop.h"

namespace ocirun::shim {

class AttachServer {
 public:
  struct Callbacks {
    std::function<void(std::string_view data)> input;
    std::function<void()> input_ended;
    std::function<void()> drained;  // no client is behind any more
    std::function<void()> left;     // after Finish: the last client has got all, or is gone
  };

  // Listens at `path` (mode 0600; the peer must be of our own user).
  static StatusOr<std::unique_ptr<AttachServer>> Listen(Loop* loop, std::string path,
                                                        Callbacks callbacks);
  ~AttachServer();
  AttachServer(const AttachServer&) = delete;
  AttachServer& operator=(const AttachServer&) = delete;

  void Send(Stream stream, std::string_view data);
  // A client has more unsent output than we keep for it: read no more from the process until
  // `drained`, as long as the client is there.
  [[nodiscard]] bool IsBehind() const;
  // True: reads no more input until called with false. A client that leaves meanwhile stays known
  // until what it sent is read.
  void HoldInput(bool hold);
  // No more output: clients are closed as soon as they have got all, new ones at once.
  void Finish();
  // The socket's name is free for another; those who are connected stay. Idempotent.
  void StopListening();
  [[nodiscard]] bool HasClients() const { return !clients_.empty(); }

 private:
  struct Client {
    UniqueFd socket;
    std::string incoming, outgoing;
    size_t sent = 0;      // of outgoing
    bool gone = false;    // takes no more output
    bool parked = false;  // gone while input is held: not watched
    [[nodiscard]] size_t Unsent() const { return outgoing.size() - sent; }
  };
  using ClientList = std::list<Client>;

  AttachServer(Loop* loop, std::string path, UniqueFd listener, Callbacks callbacks);
  void Accept();
  void Serve(ClientList::iterator client, uint32_t events);
  bool Read(Client* client);
  size_t SendSome(Client* client, std::string_view first, std::string_view second);
  void Flush(Client* client);
  Status WatchClient(ClientList::iterator client);
  void Change(const Client& client);
  void Drop(ClientList::iterator client);

  Loop* loop_;
  std::string path_;
  UniqueFd listener_;
  Callbacks callbacks_;
  ClientList clients_;
  bool finished_ = false, hold_input_ = false;
};

}  // namespace ocirun::shim
