// SPDX-License-Identifier: Apache-2.0
#include "ocirun/init/sync.h"

#include <doctest/doctest.h>

#include "base/sys/socket.h"

namespace ocirun::init {
namespace {

TEST_CASE("who ends without having read is told from a broken connection by its last words") {
  for (const bool speaks : {false, true}) {
    auto sockets = sys::SocketPair();
    REQUIRE(sockets.ok());
    auto& [ours, theirs] = *sockets;
    REQUIRE(SendMessage(ours, Message::kGo).ok());
    if (speaks) REQUIRE(SendFailure(theirs, InvalidArgument("mounts")).ok());
    theirs.Reset();
    const Status heard = Expect(ours, Message::kReady);
    CHECK(heard.code() == (speaks ? StatusCode::kInvalidArgument : StatusCode::kInternal));
    CHECK(heard.message() == (speaks ? "mounts" : "the other side ended unexpectedly"));
  }
}

TEST_CASE("the end of a stream means that the command runs, and a connection that broke does not") {
  for (const bool breaks : {false, true}) {
    auto sockets = sys::SocketPair();
    REQUIRE(sockets.ok());
    auto& [ours, theirs] = *sockets;
    if (breaks) REQUIRE(SendMessage(ours, Message::kGo).ok());
    theirs.Reset();
    const Status heard = ExpectEnd(ours, [](const UniqueFd&) { return OkStatus(); });
    CHECK(MessageOf(heard) == (breaks ? "the other side ended unexpectedly" : ""));
  }
}

}  // namespace
}  // namespace ocirun::init
