// SPDX-License-Identifier: Apache-2.0
//
// The attach socket of one process: any number of clients that see its output and feed its input.
// Frames go both ways, integers big-endian:
//
//    0     1        4        8
//   | type | 0 0 0 | length | payload ...
//
//   to the client:     1 stdout   2 stderr   3 the client is dropped: why, as text
//   from the client:   0 stdin, length 0: its end   3 drop me rather than wait for me
//
// A client gets everything from its connection on. When all output is delivered the shim closes the
// connection. While the process does not read its input the shim does not read the clients', so
// that their writes block; nothing is dropped.
//
// Who reads more slowly than the process writes: a client that is a person's terminal or the next
// command of a pipeline (`run ... | less`) wants all of the output, and has the process wait, as
// with Docker: when 256 KiB are kept for it, no more is read from the process's pipe. That is how a
// client is that says nothing. One that watches, and must never hold up what it watches, says 3
// first: it is dropped when 1 MiB is kept for it. It has a while to read what it was sent and why
// it ends, and no more than that while when the output has ended.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/unique_fd.h"
#include "shim/acceptor.h"
#include "shim/log_writer.h"
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

  struct Drops {
    uint64_t clients = 0;
    uint64_t bytes[2] = {};  // of each stream that they did not get; each client counts
  };
  [[nodiscard]] const Drops& drops() const { return drops_; }

 private:
  struct Client {
    uint64_t number = 0;
    UniqueFd socket;
    std::string incoming, outgoing;
    size_t sent = 0;       // of outgoing
    bool gone = false;     // takes no more output
    bool parked = false;   // gone while input is held: not watched
    bool waits = true;     // the process waits for it
    bool dropped = false;  // gets what is kept for it, and no more
    [[nodiscard]] size_t Unsent() const { return outgoing.size() - sent; }
  };
  using ClientList = std::list<Client>;

  AttachServer(Loop* loop, std::string path, Callbacks callbacks);
  void Connect(UniqueFd socket);
  void Serve(ClientList::iterator client, uint32_t events);
  bool Read(Client* client);
  void HandleFrame(Client* client, char type, std::string_view payload);
  void DropSlow(Client* client);
  void DropLater(uint64_t number);
  size_t SendSome(Client* client, std::string_view first, std::string_view second);
  void Flush(Client* client);
  Status WatchClient(ClientList::iterator client);
  void Change(const Client& client);
  void Drop(ClientList::iterator client);

  Loop* loop_;
  std::string path_;
  std::unique_ptr<Acceptor> acceptor_;  // while it listens
  Callbacks callbacks_;
  ClientList clients_;
  bool finished_ = false, hold_input_ = false;
  uint64_t last_number_ = 0;
  Drops drops_;
  std::shared_ptr<int> alive_ = std::make_shared<int>();  // timers outlive this; they look here
};

}  // namespace ocirun::shim
