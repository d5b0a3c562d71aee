// SPDX-License-Identifier: Apache-2.0
//
// The server with a client that writes whatever bytes it likes.
#include "shim/server.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "base/sys/file.h"
#include "base/sys/socket.h"
#include "base/testing/temp_dir.h"
#include "containerd/wire.pb.h"
#include "ttrpc/ttrpc.pb.h"

namespace ocirun::shim {
namespace {

using namespace std::chrono_literals;

struct Answer {
  uint32_t stream;
  StatusCode code;
  std::string message;
};

// A server of methods that answer at once, but for "Hold", whose answers are given by the test.
class TestServer {
 public:
  TestServer() {
    loop_ = *Loop::Create();
    auto listener = sys::ListenUnix(path_, SOCK_STREAM);
    REQUIRE(listener.ok());
    server_ = *Server::Create(loop_.get(), *std::move(listener),
                              [this](const std::string& service, const std::string& method,
                                     const std::string& payload, const Reply& reply) {
                                calls.push_back(service + "/" + method + " " + payload);
                                if (method == "Hold") {
                                  held.push_back(reply);
                                  if (on_held) on_held(reply);
                                  return;
                                }
                                ::ttrpc::Response message;
                                if (method == "Large") message.set_payload(std::string(65536, 'x'));
                                reply(OkStatus(), &message);
                              });
  }

  [[nodiscard]] UniqueFd Connect() const { return *sys::ConnectUnix(path_, SOCK_STREAM); }
  Loop* loop() { return loop_.get(); }

  // Runs the loop until `done` is true.
  void RunUntil(const std::function<bool()>& done) {
    const std::function<void()> look = [&] {
      if (done()) return loop_->Stop();
      loop_->After(5ms, look);
    };
    look();
    CHECK(loop_->Run().ok());
  }

  // Runs the loop while `work` does in a thread of its own.
  void Beside(const std::function<void()>& work) {
    std::atomic<bool> done = false;
    std::thread thread([&] {
      work();
      done = true;
    });
    RunUntil([&] { return done.load(); });
    thread.join();
  }

  // Writes `bytes` and reads so many answers.
  std::vector<Answer> Ask(const UniqueFd& client, const std::string& bytes, size_t count) {
    std::vector<Answer> answers;
    Beside([&] {
      CHECK(sys::WriteAll(client, bytes).ok());
      ttrpc::Decoder decoder;
      std::array<char, 4096> buffer;
      while (answers.size() < count) {
        const ssize_t n = ::read(client.get(), buffer.data(), buffer.size());
        if (n <= 0) return;
        decoder.Append({buffer.data(), static_cast<size_t>(n)});
        while (const auto frame = decoder.Next()) {
          ::ttrpc::Response response;
          CHECK(response.ParseFromString(frame->data));
          CHECK(frame->type == static_cast<uint8_t>(ttrpc::FrameType::kResponse));
          answers.push_back({frame->stream, static_cast<StatusCode>(response.status().code()),
                             response.status().message()});
        }
      }
    });
    return answers;
  }

  std::vector<std::string> calls;
  std::vector<Reply> held;
  std::function<void(const Reply&)> on_held;

 private:
  testing::TempDir dir_;
  std::string path_ = dir_.path + "/s";
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Server> server_;
};

std::string Request(uint32_t stream, const std::string& method,
                    std::chrono::nanoseconds limit = 0ns) {
  ::ttrpc::Request request;
  request.set_service("s");
  request.set_method(method);
  request.set_timeout_nano(limit.count());
  auto* metadata = request.add_metadata();
  metadata->set_key("containerd-namespace-ttrpc");
  metadata->set_value(std::string(1000, 'n'));
  return ttrpc::EncodeFrame(stream, ttrpc::FrameType::kRequest, request.SerializeAsString());
}

TEST_CASE("requests as containerd 1.6 sends them") {
  TestServer server;
  const std::string bytes(
      "\0\0\0\x2e\0\0\0\x03\x01\0\n\x17"
      "containerd.task.v2.Task\x12\x06"
      "Delete\x1a\x05\n\x03"
      "box \x96\x85\x97\xd0\x12"  // 5 s, but for what had passed
      "\0\0\0\x30\0\0\0\x05\x01\0\n\x17"
      "containerd.task.v2.Task\x12\x08"
      "Shutdown\x1a\x05\n\x03"
      "box \x82\xaf\xb9\x96\x0b",
      114);
  const auto answers = server.Ask(server.Connect(), bytes, 2);
  CHECK(server.calls == std::vector<std::string>{"containerd.task.v2.Task/Delete \n\3box",
                                                 "containerd.task.v2.Task/Shutdown \n\3box"});
  REQUIRE(answers.size() == 2);
  CHECK(answers[0].stream == 3);
  CHECK(answers[1].stream == 5);
}

TEST_CASE("a message that is too long is refused on its stream, and the next one is heard") {
  TestServer server;
  const std::string header("\0\xff\xff\xff\0\0\0\1\1\0", 10);  // 16 MiB
  const std::string most =
      ttrpc::EncodeFrame(3, ttrpc::FrameType::kRequest, std::string(ttrpc::kMaxData, '\xff'));
  const auto answers = server.Ask(
      server.Connect(),
      header + std::string(0xffffff, '\1') + most + Request(5, "Now") + Request(4, "Now"), 4);
  REQUIRE(answers.size() == 4);
  CHECK(answers[0].stream == 1);
  CHECK(answers[0].code == StatusCode::kResourceExhausted);
  CHECK(answers[0].message == "message of 16777215 bytes: at most 4194304 are taken");
  CHECK(answers[1].stream == 3);
  CHECK(answers[1].code == StatusCode::kInvalidArgument);
  CHECK(answers[2].stream == 5);
  CHECK(answers[2].code == StatusCode::kOk);
  CHECK(answers[3].code == StatusCode::kInvalidArgument);
}

TEST_CASE("a call is answered when its time is over, and once") {
  TestServer server;
  const UniqueFd client = server.Connect();
  const auto begun = std::chrono::steady_clock::now();
  auto answers = server.Ask(client, Request(1, "Hold", 100ms) + Request(3, "Hold", 10s), 1);
  CHECK(std::chrono::steady_clock::now() - begun >= 100ms);
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].stream == 1);
  CHECK(answers[0].code == StatusCode::kDeadlineExceeded);
  REQUIRE(server.held.size() == 2);
  CHECK(server.held[0].IsLate());
  CHECK_FALSE(server.held[0].IsAwaited());
  CHECK(server.held[1].IsAwaited());
  int told = 0;
  server.held[0].WhenLate([&] { ++told; });
  server.held[1].WhenLate([&] { ++told; });
  for (const Reply& reply : server.held) reply(NotFound("x"), nullptr);
  answers = server.Ask(client, Request(5, "Now", 1ms), 2);
  REQUIRE(answers.size() == 2);
  CHECK(answers[0].stream == 3);
  CHECK(answers[0].code == StatusCode::kNotFound);
  CHECK(answers[1].stream == 5);
  CHECK(answers[1].code == StatusCode::kOk);
  CHECK(told == 0);
}

TEST_CASE("who is to end what is late hears of it, once, and not of the client's end") {
  TestServer server;
  int told = 0;
  UniqueFd client = server.Connect();
  const auto begun = std::chrono::steady_clock::now();
  const auto since_begun = [&] { return std::chrono::steady_clock::now() - begun; };
  server.on_held = [&](const Reply& reply) {
    reply.WhenLate([&] { told += 100; });
    reply.WhenLate([&] {
      ++told;
      CHECK(since_begun() >= 300ms);
    });
  };
  REQUIRE(sys::WriteAll(client, Request(1, "Hold", 300ms)).ok());
  server.RunUntil([&] { return !server.held.empty() || since_begun() > 10s; });
  REQUIRE(server.held.size() == 1);
  client.Reset();
  server.RunUntil([&] { return !server.held[0].IsAwaited() || since_begun() > 10s; });
  CHECK_FALSE(server.held[0].IsAwaited());
  server.RunUntil([&] { return told != 0 || since_begun() > 10s; });
  server.Beside([] { std::this_thread::sleep_for(100ms); });
  CHECK(told == 1);
  server.held[0](OkStatus(), nullptr);
}

TEST_CASE("who does not read its answers is not heard") {
  TestServer server;
  const UniqueFd client = server.Connect();
  constexpr uint32_t kRequests = 1000;
  std::string requests;
  for (uint32_t i = 0; i < kRequests; ++i)
    requests += ttrpc::EncodeFrame(2 * i + 1, ttrpc::FrameType::kRequest, "\x12\x05Large");
  server.Beside([&] {
    CHECK(sys::WriteAll(client, requests).ok());
    std::this_thread::sleep_for(200ms);
  });
  // What the sockets hold, 1 MiB, and what one read brings.
  CHECK(server.calls.size() < 500);
  const auto answers = server.Ask(client, "", kRequests);
  CHECK(answers.size() == kRequests);
  CHECK(answers.back().stream == 2 * kRequests - 1);
}

TEST_CASE("of many clients the last one waits") {
  TestServer server;
  std::vector<UniqueFd> clients;
  UniqueFd last;
  server.Beside([&] {
    for (int i = 0; i < 256; ++i) clients.push_back(server.Connect());
    std::this_thread::sleep_for(100ms);
    last = server.Connect();
    CHECK(sys::WriteAll(last, Request(1, "Now")).ok());
    std::this_thread::sleep_for(100ms);
  });
  CHECK(server.calls.empty());
  CHECK(server.Ask(clients.front(), Request(1, "Now"), 1).size() == 1);
  clients.pop_back();
  CHECK(server.Ask(last, "", 1).size() == 1);
}

TEST_CASE("times that no clock has") {
  TestServer server;
  const auto answers =
      server.Ask(server.Connect(),
                 Request(1, "Now", std::chrono::nanoseconds::min()) + Request(3, "Now", -1ns) +
                     Request(5, "Now", std::chrono::nanoseconds::max()) + Request(7, "Now", 1ns),
                 4);
  REQUIRE(answers.size() == 4);
  CHECK(answers[0].code == StatusCode::kDeadlineExceeded);
  CHECK(answers[1].code == StatusCode::kDeadlineExceeded);
  CHECK(answers[2].code == StatusCode::kOk);
  CHECK(answers[3].code == StatusCode::kOk);
  CHECK(server.calls.size() == 2);
}

}  // namespace
}  // namespace ocirun::shim
