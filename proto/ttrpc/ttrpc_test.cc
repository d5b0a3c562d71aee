// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>
#include <vector>

#include "base/random.h"
#include "base/sys/file.h"
#include "base/sys/socket.h"
#include "proto/ttrpc/client.h"
#include "proto/ttrpc/frame.h"
#include "ttrpc/ttrpc.pb.h"

namespace ocirun::ttrpc {
namespace {

TEST_CASE("frames survive any cut") {
  const std::string bytes = EncodeFrame(1, FrameType::kRequest, "hello") +
                            EncodeFrame(0x01020304, FrameType::kResponse, "");
  CHECK(bytes.substr(0, 10) == std::string("\0\0\0\5\0\0\0\1\1\0", 10));
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    Decoder decoder;
    std::vector<Frame> frames;
    for (const auto& part : {bytes.substr(0, cut), bytes.substr(cut)}) {
      decoder.Append(part);
      while (true) {
        auto frame = decoder.Next();
        REQUIRE(frame.ok());
        if (!frame->has_value()) break;
        frames.push_back(**frame);
      }
    }
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].data == "hello");
    CHECK(frames[1].stream == 0x01020304);
  }
}

TEST_CASE("a frame that announces too much is refused before it is read") {
  Decoder decoder;
  decoder.Append(std::string("\x00\x40\x00\x01\0\0\0\1\1\0", 10));
  CHECK(decoder.Next().status().code() == StatusCode::kResourceExhausted);
}

// A server for one connection that answers `expected` requests in reverse order: what it says is
// the method's name, or an error for the method "fail". Then it closes.
void ServeReversed(const UniqueFd& listener, size_t expected) {
  const auto connection = sys::Accept(listener);
  REQUIRE(connection.ok());
  Decoder decoder;
  std::vector<std::string> answers;
  std::array<char, 4096> buffer;
  while (answers.size() < expected) {
    const ssize_t n = ::read(connection->get(), buffer.data(), buffer.size());
    if (n <= 0) return;
    decoder.Append({buffer.data(), static_cast<size_t>(n)});
    for (auto frame = decoder.Next(); frame.ok() && frame->has_value(); frame = decoder.Next()) {
      ::ttrpc::Request request;
      REQUIRE(request.ParseFromString((*frame)->data));
      ::ttrpc::Response response;
      if (request.method() == "fail") {
        response.mutable_status()->set_code(5);
        response.mutable_status()->set_message("no such thing");
      }
      ::ttrpc::KeyValue value;
      value.set_key(request.method());
      response.set_payload(value.SerializeAsString());
      answers.insert(answers.begin(), EncodeFrame((*frame)->stream, FrameType::kResponse,
                                                  response.SerializeAsString()));
    }
  }
  for (const std::string& answer : answers) CHECK(sys::Send(*connection, answer).ok());
}

TEST_CASE("calls of many threads get their own answers, and the loss of the connection ends them") {
  const std::string path = "/tmp/ocirun-test-" + RandomHex(8);
  const auto listener = sys::ListenUnix(path, SOCK_STREAM);
  REQUIRE(listener.ok());
  constexpr size_t kCalls = 20;
  std::thread server([&] { ServeReversed(*listener, kCalls); });
  auto client = Client::Connect("unix://" + path);
  REQUIRE(client.ok());
  std::vector<std::thread> callers;
  std::array<std::string, kCalls> answers;
  for (size_t i = 0; i < kCalls; ++i)
    callers.emplace_back([&, i] {
      ::ttrpc::KeyValue response;
      const std::string method = i == 7 ? "fail" : "m" + std::to_string(i);
      const Status status = (*client)->Call("s", method, ::ttrpc::KeyValue(), &response);
      answers[i] = status.ok() ? response.key() : MessageOf(status);
    });
  for (auto& caller : callers) caller.join();
  server.join();
  for (size_t i = 0; i < kCalls; ++i)
    CHECK(answers[i] == (i == 7 ? "no such thing" : "m" + std::to_string(i)));
  ::ttrpc::KeyValue response;
  CHECK((*client)->Call("s", "m", response, &response).code() == StatusCode::kUnavailable);
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace ocirun::ttrpc
