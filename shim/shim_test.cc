// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file.h"
#include "shim/flags.h"
#include "shim/json_log.h"
#include "shim/stdio_uri.h"

namespace ocirun::shim {
namespace {

struct TempDir {
  std::string path = "/tmp/ocirun-test.XXXXXX";
  TempDir() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~TempDir() { IgnoreError(RemoveTree(path), "a test's folder"); }
};

constexpr UnixNanos kTime = 1'700'000'000'120'000'000;

std::string Line(std::string_view text) {
  std::string out;
  AppendLogLine(Stream::kStdout, text, kTime, &out);
  return out;
}

TEST_CASE("a log line is what Docker writes") {
  CHECK(Line("hi\n") == R"({"log":"hi\n","stream":"stdout","time":"2023-11-14T22:13:20.12Z"})"
                        "\n");
  const auto text = [](std::string_view raw) {
    const std::string line = Line(raw);
    return line.substr(8, line.find("\",\"stream") - 8);
  };
  CHECK(text("\"\\\r\t<&>") == R"(\"\\\r\u0009\u003c\u0026\u003e)");
  CHECK(text("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80") == "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80");
  CHECK(text("\xff\xc3") == R"(\ufffd\ufffd)");
  CHECK(text("\xed\xa0\x80") == R"(\ufffd\ufffd\ufffd)");  // a surrogate
  CHECK(text("\xe2\x80\xa8") == R"(\u2028)");
}

TEST_CASE("lines are written whole, long ones in pieces, the last one at the end") {
  TempDir dir;
  auto log = JsonLog::Open(dir.path + "/log", 0, 1);
  REQUIRE(log.ok());
  CHECK((*log)->Append(Stream::kStdout, "one\ntw", kTime).ok());
  CHECK((*log)->Append(Stream::kStderr, "err", kTime).ok());
  CHECK(*ReadFile(dir.path + "/log") == Line("one\n"));
  CHECK((*log)->Append(Stream::kStdout, "o\n", kTime + 5).ok());
  CHECK((*log)->Finish(kTime + 9).ok());
  std::string expected = Line("one\n") + Line("two\n");
  AppendLogLine(Stream::kStderr, "err", kTime, &expected);
  CHECK(*ReadFile(dir.path + "/log") == expected);

  auto pieces = JsonLog::Open(dir.path + "/pieces", 0, 1);
  REQUIRE(pieces.ok());
  CHECK((*pieces)->Append(Stream::kStdout, std::string(20'000, 'x') + "\n", kTime).ok());
  CHECK(*ReadFile(dir.path + "/pieces") ==
        Line(std::string(16'384, 'x')) + Line(std::string(3'616, 'x') + "\n"));
}

TEST_CASE("rotation keeps so many files and loses no line of the newest") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  auto log = JsonLog::Open(path, Line("x\n").size() * 2, 3);
  REQUIRE(log.ok());
  for (const char* text : {"1\n", "2\n", "3\n", "4\n", "5\n", "6\n", "7\n", "8\n"})
    CHECK((*log)->Append(Stream::kStdout, text, kTime).ok());
  CHECK(*ReadFile(path) == Line("7\n") + Line("8\n"));
  CHECK(*ReadFile(path + ".1") == Line("5\n") + Line("6\n"));
  CHECK(*ReadFile(path + ".2") == Line("3\n") + Line("4\n"));
  CHECK_FALSE(PathExists(path + ".3"));
}

TEST_CASE("where output goes") {
  const auto uri =
      ParseStdioUri("json-file:///l/a%20b.log?attach=%2Frun%2Fs&max-size=10&max-file=3");
  REQUIRE(uri.ok());
  CHECK(uri->log_path == "/l/a b.log");
  CHECK(uri->attach_path == "/run/s");
  CHECK(uri->max_size == 10);
  CHECK(uri->max_file == 3);
  CHECK(ParseStdioUri("attach:///run/x")->attach_path == "/run/x");
  CHECK(ParseStdioUri("")->log_path.empty());
  for (const char* bad : {"json-file://rel", "attach:///x?y=1", "json-file:///x?max-file=0",
                          "json-file:///x?z=1", "json-file:///%zz", "json-file:///x?max-size=1k"})
    CHECK(ParseStdioUri(bad).status().code() == StatusCode::kInvalidArgument);
  CHECK(ParseStdioUri("binary:///x").status().code() == StatusCode::kUnimplemented);
}

TEST_CASE("flags in Go's style") {
  const auto flags =
      ParseFlags({"-namespace", "ns", "--id=box", "-debug", "-address", "/a", "start"});
  REQUIRE(flags.ok());
  CHECK(flags->name_space == "ns");
  CHECK(flags->id == "box");
  CHECK(flags->debug);
  CHECK(flags->action == "start");
  CHECK_FALSE(ParseFlags({"-nope", "x"}).ok());
  CHECK_FALSE(ParseFlags({"-id"}).ok());
  CHECK_FALSE(ParseFlags({"frobnicate"}).ok());
}

}  // namespace
}  // namespace ocirun::shim
