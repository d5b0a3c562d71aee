// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <zlib.h>

#include <csignal>
#include <filesystem>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/testing/temp_dir.h"
#include "shim/log_writer.h"
#include "shim/loop.h"

namespace ocirun::shim {
namespace {

using testing::TempDir;

constexpr UnixNanos kTime = 1'700'000'000'120'000'000;

std::string Line(std::string_view text, Stream stream = Stream::kStdout) {
  std::string out;
  kJsonFormat.append({stream, text, FormatRfc3339Nano(kTime)}, &out);
  return out;
}

std::unique_ptr<LogWriter> Open(const LogFormat& format, LogFile::Options options,
                                Loop* loop = nullptr) {
  auto log = LogWriter::Open(format, loop, std::move(options));
  REQUIRE(log.ok());
  return *std::move(log);
}

// Of a gzip file; empty when it is none, or damaged.
std::string Gunzip(const std::string& path) {
  std::string text;
  gzFile file = ::gzopen(path.c_str(), "rb");
  REQUIRE(file != nullptr);
  char buffer[4096];
  int n = 0;
  while ((n = ::gzread(file, buffer, sizeof buffer)) > 0) text.append(buffer, n);
  const bool plain = ::gzdirect(file) != 0;
  ::gzclose(file);
  return n < 0 || plain ? "" : text;
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
  const auto log = Open(kJsonFormat, {.path = dir.path + "/log"});
  CHECK(log->Append(Stream::kStdout, "one\ntw", kTime).ok());
  CHECK(log->Append(Stream::kStderr, "err", kTime).ok());
  CHECK(*ReadFile(dir.path + "/log") == Line("one\n"));
  CHECK(log->Append(Stream::kStdout, "o\n", kTime + 5).ok());
  CHECK(log->Finish(kTime + 9).ok());
  CHECK(*ReadFile(dir.path + "/log") ==
        Line("one\n") + Line("two\n") + Line("err", Stream::kStderr));

  const auto pieces = Open(kJsonFormat, {.path = dir.path + "/pieces"});
  CHECK(pieces->Append(Stream::kStdout, std::string(20'000, 'x') + "\n", kTime).ok());
  CHECK(*ReadFile(dir.path + "/pieces") ==
        Line(std::string(16'384, 'x')) + Line(std::string(3'616, 'x') + "\n"));
}

TEST_CASE("CRI's lines: pieces and ends, bytes as they are") {
  TempDir dir;
  const std::string path = dir.path + "/log", out = "2023-11-14T22:13:20.12Z stdout ";
  const auto log = Open(kCriFormat, {.path = path});
  CHECK(log->Append(Stream::kStdout, "one\n\ntwo\r\n\xff\x01{\r", kTime).ok());
  CHECK(log->Append(Stream::kStdout, "\n", kTime + 5).ok());
  CHECK(log->Append(Stream::kStderr, "no end", kTime).ok());
  CHECK(log->Finish(kTime).ok());
  CHECK(*ReadFile(path) == out + "F one\n" + out + "F \n" + out + "F two\n" + out +
                               "F \xff\x01{\n2023-11-14T22:13:20.12Z stderr P no end\n");

  // A line of exactly the limit is whole; one of a byte more is not.
  const std::string limit(16'384, 'x');
  const auto pieces = Open(kCriFormat, {.path = path + "2"});
  CHECK(pieces->Append(Stream::kStdout, limit, kTime).ok());
  CHECK(pieces->Append(Stream::kStdout, "\n" + limit + limit + "y", kTime).ok());
  CHECK(pieces->Append(Stream::kStdout, "\n", kTime).ok());
  CHECK(*ReadFile(path + "2") == out + "F " + limit + "\n" + out + "P " + limit + "\n" + out +
                                     "P " + limit + "\n" + out + "F y\n");
}

TEST_CASE("rotation keeps so many files and loses no line of the newest") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  const auto log =
      Open(kJsonFormat, {.path = path, .max_size = Line("x\n").size() * 2, .max_file = 3});
  for (const char* text : {"1\n", "2\n", "3\n4\n5\n", "6\n", "7\n", "8\n"})
    CHECK(log->Append(Stream::kStdout, text, kTime).ok());
  CHECK(*ReadFile(path) == Line("7\n") + Line("8\n"));
  CHECK(*ReadFile(path + ".1") == Line("5\n") + Line("6\n"));
  CHECK(*ReadFile(path + ".2") == Line("3\n") + Line("4\n"));
  CHECK_FALSE(PathExists(path + ".3"));
}

// The loop, until no child of a log is left or `seconds` are over.
void RunUntil(Loop* loop, const std::function<bool()>& done) {
  const std::function<void()> look = [&] {
    if (done()) return loop->Stop();
    loop->After(std::chrono::milliseconds(10), look);
  };
  look();
  CHECK(loop->Run().ok());
}

TEST_CASE("a rotation for which there is no descriptor shifts nothing out of the way") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  const auto log = Open(kJsonFormat, {.path = path, .max_size = 1, .max_file = 3});
  REQUIRE(log->Append(Stream::kStdout, "one\n", kTime).ok());
  rlimit usual;
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &usual) == 0);
  const rlimit none{0, usual.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  std::vector<Status> refused;
  for (int i = 0; i < 5; ++i) refused.push_back(log->Append(Stream::kStdout, "lost\n", kTime));
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &usual) == 0);
  for (const Status& status : refused) CHECK(ErrnoOf(status) == EMFILE);
  REQUIRE(log->Append(Stream::kStdout, "two\n", kTime).ok());
  CHECK(*ReadFile(path) == Line("two\n"));
  CHECK(*ReadFile(path + ".1") == Line("one\n"));
  CHECK_FALSE(PathExists(path + ".2"));
}

TEST_CASE("full files are compressed beside the loop, and move on meanwhile") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  auto loop = Loop::Create();
  REQUIRE(loop.ok());
  const auto log = Open(
      kJsonFormat, {.path = path, .max_size = Line("x\n").size(), .max_file = 4, .compress = true},
      loop->get());
  for (const char* text : {"1\n", "2\n", "3\n", "4\n", "5\n"})
    CHECK(log->Append(Stream::kStdout, text, kTime).ok());
  // The child was given "1", which is the fifth by now, and is no longer kept.
  CHECK(*ReadFile(path + ".1") == Line("4\n"));
  RunUntil(loop->get(), [&] {
    return !PathExists(path + ".1") && !PathExists(path + ".2") && !PathExists(path + ".3");
  });
  CHECK(*ReadFile(path) == Line("5\n"));
  CHECK(Gunzip(path + ".1.gz") == Line("4\n"));
  CHECK(Gunzip(path + ".2.gz") == Line("3\n"));
  CHECK(Gunzip(path + ".3.gz") == Line("2\n"));
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path), {}) == 4);
  const std::string header = *ReadFile(path + ".1.gz");
  CHECK(header[3] == 4);  // FEXTRA
  CHECK(header.find(R"("lastTime":")") != std::string::npos);
}

TEST_CASE("what a crash left is tidied up, and compressed at last") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  const LogFile::Options options = {.path = path, .max_size = 10, .max_file = 4, .compress = true};
  auto loop = Loop::Create();
  REQUIRE(loop.ok());
  // Killed amid the compression of 1; of 2 the compressed file has its name already.
  CHECK(WriteFile(path + ".gz-new", "half").ok());
  CHECK(WriteFile(path + ".1", "one").ok());
  CHECK(WriteFile(path + ".2", "two").ok());
  CHECK(WriteFile(path + ".2.gz", "whole").ok());
  const auto log = Open(kJsonFormat, options, loop->get());
  CHECK_FALSE(PathExists(path + ".2"));
  RunUntil(loop->get(), [&] { return !PathExists(path + ".1"); });
  CHECK(Gunzip(path + ".1.gz") == "one");
  CHECK(*ReadFile(path + ".2.gz") == "whole");
  CHECK_FALSE(PathExists(path + ".gz-new"));
}

TEST_CASE("a gap that a crash left in a rotation is closed, and nothing behind it lost") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  CHECK(WriteFile(path, Line("current\n")).ok());
  CHECK(WriteFile(path + ".2", "two").ok());
  CHECK(WriteFile(path + ".3.gz", "three").ok());
  CHECK(WriteFile(path + ".4x", "another's").ok());
  const auto log = Open(kJsonFormat, {.path = path, .max_size = 10, .max_file = 4});
  CHECK(*ReadFile(path + ".1") == "two");
  CHECK(*ReadFile(path + ".2.gz") == "three");
  CHECK(log->Append(Stream::kStdout, "new\n", kTime).ok());
  CHECK(*ReadFile(path + ".1") == Line("current\n"));
  CHECK(*ReadFile(path + ".2") == "two");
  CHECK(*ReadFile(path + ".3.gz") == "three");
  CHECK(*ReadFile(path + ".4x") == "another's");
}

TEST_CASE("a line that was not finished gets an end") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  CHECK(WriteFile(path, "half a li").ok());
  CHECK(Open(kJsonFormat, {.path = path})->Append(Stream::kStdout, "new\n", kTime).ok());
  CHECK(*ReadFile(path) == "half a li\n" + Line("new\n"));
}

TEST_CASE("a fifo is no log: who opens it could wait for ever") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  const auto log = LogWriter::Open(kJsonFormat, nullptr, {.path = path});
  CHECK(log.status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("a reopened log goes on in the new file; a line that is not finished is whole there") {
  TempDir dir;
  const std::string path = dir.path + "/log", out = "2023-11-14T22:13:20.12Z stdout F ";
  const auto log = Open(kCriFormat, {.path = path});
  CHECK(log->Append(Stream::kStdout, "one\ntw", kTime).ok());
  CHECK(sys::Rename(path, path + ".old").ok());
  CHECK(log->Append(Stream::kStdout, "o\nth", kTime).ok());
  CHECK(log->Reopen().ok());
  CHECK(log->Append(Stream::kStdout, "ree\n", kTime).ok());
  CHECK(*ReadFile(path + ".old") == out + "one\n" + out + "two\n");
  CHECK(*ReadFile(path) == out + "three\n");
  // Where none can be made, the old one is written on.
  CHECK(sys::Rename(path, path + ".last").ok());
  CHECK(sys::MakeDir(path, 0700).ok());
  CHECK_FALSE(log->Reopen().ok());
  CHECK(log->Append(Stream::kStdout, "four\n", kTime).ok());
  CHECK(*ReadFile(path + ".last") == out + "three\n" + out + "four\n");
}

TEST_CASE("what does not fit on the disk is not there in part either") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  const auto log = Open(kJsonFormat, {.path = path});
  CHECK(log->Append(Stream::kStdout, "one\n", kTime).ok());
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit old;
  ::getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small = {Line("one\n").size() + 10, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  CHECK_FALSE(log->Append(Stream::kStdout, "two\n", kTime).ok());
  ::setrlimit(RLIMIT_FSIZE, &old);
  CHECK(log->Append(Stream::kStdout, "three\n", kTime).ok());
  CHECK(*ReadFile(path) == Line("one\n") + Line("three\n"));
}

}  // namespace
}  // namespace ocirun::shim
