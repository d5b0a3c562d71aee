// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>

#include "base/base64.h"
#include "base/file.h"
#include "base/json.h"
#include "base/passwd.h"
#include "base/path.h"
#include "base/random.h"
#include "base/signal_names.h"
#include "base/status.h"
#include "base/subprocess.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/time.h"

namespace ocirun {
namespace {

struct TempDir {
  std::string path = "/tmp/ocirun-test.XXXXXX";
  TempDir() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~TempDir() { IgnoreError(RemoveTree(path), "a test's folder"); }
};

TEST_CASE("a status: code, message and errno, and what is added on the way up") {
  CHECK(OkStatus().ok());
  CHECK(Status(StatusCode::kOk, "no error").ok());
  const Status status = Annotate(SysError(ENOENT, "open", "/x"), "config.json");
  CHECK(status.code() == StatusCode::kNotFound);
  CHECK(IsNotFound(status));
  CHECK(ErrnoOf(status) == ENOENT);
  CHECK(MessageOf(status) == "config.json: open /x: no such file or directory");
  Status first = OkStatus();
  first.Update(status);
  first.Update(Internal("later"));
  CHECK(ErrnoOf(first) == ENOENT);
}

TEST_CASE("a value or a status, also of types that are empty themselves") {
  const StatusOr<std::optional<int>> empty = std::nullopt;
  CHECK(empty.ok());
  CHECK_FALSE(empty->has_value());
  const StatusOr<const char*> null = nullptr;
  CHECK(null.ok());
  const StatusOr<bool> no = false;
  CHECK((no.ok() && !*no));
  const StatusOr<std::string> error = NotFound("nothing");
  CHECK_FALSE(error.ok());
  CHECK(error.value_or("otherwise") == "otherwise");
  StatusOr<std::unique_ptr<int>> owned = std::make_unique<int>(7);
  const std::unique_ptr<int> taken = *std::move(owned);
  CHECK(*taken == 7);
}

TEST_CASE("a system error keeps errno through annotations") {
  const Status status = Annotate(SysError(ENOENT, "open", "/x"), "container \"web\"");
  CHECK(ErrnoOf(status) == ENOENT);
  CHECK(MessageOf(status) == "container \"web\": open /x: no such file or directory");
  CHECK(status.code() == StatusCode::kNotFound);
}

TEST_CASE("JSON errors name the path") {
  const auto json = ParseJson(R"({"process":{"args":["a",7]}})");
  REQUIRE(json.ok());
  const auto args = JsonView(*json).Get("process")->Get("args")->Strings();
  REQUIRE_FALSE(args.ok());
  CHECK(MessageOf(args.status()) == "process.args[1]: must be a string, not number");
  CHECK(MessageOf(ParseJson("{\n \"a\": }").status()) == "line 2, column 7: not valid JSON");
  CHECK_FALSE(ParseJson(std::string(100, '[') + std::string(100, ']')).ok());
}

TEST_CASE("a path that climbs stays inside the root") {
  TempDir dir;
  REQUIRE(MakeDirs(dir.path + "/root/in", 0755).ok());
  REQUIRE(WriteFile(dir.path + "/secret", "host").ok());
  REQUIRE(::symlink("/../../secret", (dir.path + "/root/in/link").c_str()) == 0);
  const auto root = sys::Open(dir.path + "/root", O_PATH | O_DIRECTORY);
  REQUIRE(root.ok());
  CHECK(ErrnoOf(OpenInRoot(*root, "../secret", O_RDONLY).status()) == ENOENT);
  CHECK(ErrnoOf(OpenInRoot(*root, "in/link", O_RDONLY).status()) == ENOENT);
  CHECK(MakeDirsInRoot(*root, "../../made/here", 0755).ok());
  CHECK(PathExists(dir.path + "/root/made/here"));
  // A link that leads nowhere is followed inside the root, and its target made there.
  REQUIRE(::symlink("/../far/away", (dir.path + "/root/dangling").c_str()) == 0);
  CHECK(MakeDirsInRoot(*root, "dangling/x", 0755).ok());
  CHECK(PathExists(dir.path + "/root/far/away/x"));
  REQUIRE(::symlink("loop", (dir.path + "/root/loop").c_str()) == 0);
  CHECK(ErrnoOf(MakeDirsInRoot(*root, "loop/x", 0755).status()) == ELOOP);
}

TEST_CASE("an atomic write leaves no temporary file") {
  TempDir dir;
  CHECK(WriteFileAtomic(dir.path + "/f", "one").ok());
  CHECK(WriteFileDurable(dir.path + "/f", "two", 0600).ok());
  CHECK(*ReadFile(dir.path + "/f") == "two");
  CHECK_FALSE(WriteFileAtomic(dir.path + "/none/f", "x").ok());
  CHECK(ReadFile(dir.path + "/f", 2).status().code() == StatusCode::kResourceExhausted);
}

TEST_CASE("a user's line of passwd, and none that only looks like one") {
  constexpr std::string_view kText =
      "root:x:0:0:root:/root:/bin/sh\n\nshort:x:7\nweb::33:33::/var/www\nother:x:33:33::/x:/bin/"
      "sh\n"
      "+::::::\n1:x:2:3:4:5";
  CHECK(FindPasswd(kText, 0)->home == "/root");
  CHECK(FindPasswd(kText, 33)->name == "web");
  CHECK(FindPasswd(kText, 33)->home == "/var/www");
  CHECK(FindPasswd(kText, 2)->home == "5");
  CHECK(!FindPasswd(kText, 7).has_value());
  CHECK(!FindPasswd("", 0).has_value());
}

TEST_CASE("base64, and what only looks like it") {
  CHECK(*DecodeBase64("") == "");
  CHECK(*DecodeBase64("Zm9vYg==") == "foob");
  CHECK(*DecodeBase64("Zm9vYmE=") == "fooba");
  CHECK(*DecodeBase64("+/+/AAD/") == std::string("\xfb\xff\xbf\0\0\xff", 6));
  for (const char* bad : {"Zg=", "Zg", "====", "Z===", "Zm9v\n", "Zm 9", "Zg==Zg==", "_-__"})
    CHECK(!DecodeBase64(bad).ok());
}

TEST_CASE("times are written as Go writes them") {
  CHECK(FormatRfc3339Nano(1649161706942068860) == "2022-04-05T12:28:26.94206886Z");
  CHECK(FormatRfc3339Nano(0) == "1970-01-01T00:00:00Z");
  CHECK(*ParseRfc3339("2022-04-05T14:28:26.94206886+02:00") == 1649161706942068860);
  CHECK_FALSE(ParseRfc3339("2022-04-05").ok());
}

TEST_CASE("signals by number and by name") {
  CHECK(*ParseSignal("9") == SIGKILL);
  CHECK(*ParseSignal("term") == SIGTERM);
  CHECK(*ParseSignal("SIGRTMIN+3") == 37);
  CHECK(SignalName(SIGKILL) == "SIGKILL");
  for (const char* bad : {"", "0", "65", "SIGNOPE", "RTMIN+99", "9x"})
    CHECK_FALSE(ParseSignal(bad).ok());
}

TEST_CASE("a command gets its input and gives its output and status") {
  const auto run = [](const char* script, int timeout_ms = 10'000) {
    return RunCommand({.path = "/bin/sh",
                       .args = {"sh", "-c", script},
                       .env = {"PATH=/usr/bin:/bin"},
                       .input = std::string(200'000, 'x'),
                       .timeout = std::chrono::milliseconds(timeout_ms)});
  };
  const auto counted = run("wc -c; echo bad >&2; exit 3");
  REQUIRE(counted.ok());
  CHECK(counted->output == "200000\n");
  CHECK(counted->error_output == "bad\n");
  CHECK(sys::ExitCodeOf(counted->wait_status) == 3);
  CHECK(run("exec 0<&-; exit 0").ok());  // input that nobody reads
  CHECK(run("sleep 100", 50).status().code() == StatusCode::kDeadlineExceeded);
  CHECK(ErrnoOf(RunCommand({.path = "/nonexistent"}).status()) == ENOENT);
}

TEST_CASE("random ids differ") {
  CHECK(RandomHex(32).size() == 64);
  CHECK(RandomHex(32) != RandomHex(32));
}

}  // namespace
}  // namespace ocirun
