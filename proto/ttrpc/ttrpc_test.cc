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
      while (auto frame = decoder.Next()) frames.push_back(*std::move(frame));
    }
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].data == "hello");
    CHECK(frames[1].stream == 0x01020304);
  }
}

TEST_CASE("of a frame that is too long the data is dropped, whatever the cuts, and no more") {
  const std::string head("\x00\x40\x00\x01\x7f\xff\xff\xff\1\4", 10);
  const std::string after = EncodeFrame(3, FrameType::kRequest, "after");
  for (const size_t piece : {size_t{1} << 23, size_t{65'536}, size_t{8191}}) {
    const std::string bytes = head + std::string(kMaxData + 1, '\3') + after;
    Decoder decoder;
    std::vector<Frame> frames;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      decoder.Append(std::string_view(bytes).substr(at, piece));
      while (auto frame = decoder.Next()) frames.push_back(*std::move(frame));
    }
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].IsTooLong());
    CHECK(frames[0].length == kMaxData + 1);
    CHECK(frames[0].stream == 0x7fffffff);
    CHECK(frames[0].flags == 4);
    CHECK(frames[0].data.empty());
    CHECK_FALSE(frames[1].IsTooLong());
    CHECK(frames[1].data == "after");
  }
}

TEST_CASE("an error says its class on the wire, once") {
  const std::string wire = WireMessage(NotFound("process already finished"));
  CHECK(wire == "process already finished: not found");
  CHECK(WireMessage(NotFound("{}", wire)) == wire);
  const Status back = FromWire(static_cast<int>(StatusCode::kNotFound), wire);
  CHECK(back.code() == StatusCode::kNotFound);
  CHECK(MessageOf(back) == "process already finished");
  CHECK(WireMessage(Error(StatusCode::kUnknown, "runc create failed")) == "runc create failed");
}

TEST_CASE("a frame of the greatest length is whole") {
  Decoder decoder;
  decoder.Append(EncodeFrame(1, FrameType::kData, std::string(kMaxData, 'x')));
  const auto frame = decoder.Next();
  REQUIRE(frame.has_value());
  CHECK(frame->data.size() == kMaxData);
  CHECK_FALSE(decoder.Next().has_value());
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
    while (const auto frame = decoder.Next()) {
      ::ttrpc::Request request;
      REQUIRE(request.ParseFromString(frame->data));
      ::ttrpc::Response response;
      if (request.method() == "fail") {
        response.mutable_status()->set_code(5);
        response.mutable_status()->set_message("no such thing");
      }
      ::ttrpc::KeyValue value;
      value.set_key(request.method());
      response.set_payload(value.SerializeAsString());
      answers.insert(answers.begin(), EncodeFrame(frame->stream, FrameType::kResponse,
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
  ::ttrpc::KeyValue large;
  large.set_key(std::string(kMaxData, 'x'));
  CHECK((*client)->Call("s", "m", large, nullptr).code() == StatusCode::kResourceExhausted);
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

TEST_CASE("whoever reads for all and has no more time leaves it to another") {
  const std::string path = "/tmp/ocirun-test-" + RandomHex(8);
  const auto listener = sys::ListenUnix(path, SOCK_STREAM);
  REQUIRE(listener.ok());
  std::thread server([&] { ServeReversed(*listener, 3); });
  auto client = Client::Connect(path);
  REQUIRE(client.ok());
  Status first, second;
  ::ttrpc::KeyValue answer;
  std::thread reader([&] {
    first =
        (*client)->Call("s", "m0", ::ttrpc::KeyValue(), nullptr, std::chrono::milliseconds(100));
  });
  std::thread waiter([&] { second = (*client)->Call("s", "m1", ::ttrpc::KeyValue(), &answer); });
  reader.join();
  CHECK(first.code() == StatusCode::kDeadlineExceeded);
  CHECK((*client)->Call("s", "m2", ::ttrpc::KeyValue(), nullptr).ok());  // now the server answers
  waiter.join();
  server.join();
  CHECK(second.ok());
  CHECK(answer.key() == "m1");
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace ocirun::ttrpc
