// SPDX-License-Identifier: Apache-2.0
#include "manager/container/log_reader.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <atomic>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "base/sys/file.h"
#include "base/testing/temp_dir.h"
#include "base/time.h"
#include "manager/container/log_files.h"

namespace ocirun::container {
namespace {

using testing::TempDir;

constexpr UnixNanos kSecond = 1'000'000'000, kStart = 1'700'000'000 * kSecond;

// Line `number`, a second after the one before it; odd ones are of stderr.
std::string Line(int number, UnixNanos time = 0) {
  if (time == 0) time = kStart + number * kSecond;
  return fmt::format(R"({{"log":"line {}\n","stream":"{}","time":"{}"}})"
                     "\n",
                     number, number % 2 == 0 ? "stdout" : "stderr", FormatRfc3339Nano(time));
}

std::string Lines(int first, int last) {
  std::string text;
  for (int i = first; i <= last; ++i) text += Line(i);
  return text;
}

void Write(const std::string& path, const std::string& text) {
  REQUIRE(WriteFile(path, text).ok());
}

// The shim's format, with its extra field or as anybody's gzip.
void WritePacked(const std::string& path, const std::string& text, const std::string& extra) {
  z_stream stream{};
  REQUIRE(::deflateInit2(&stream, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string bytes = extra, out(text.size() + 1000, '\0');
  gz_header header{};
  header.extra = reinterpret_cast<Bytef*>(bytes.data());
  header.extra_len = static_cast<uInt>(bytes.size());
  if (!extra.empty()) ::deflateSetHeader(&stream, &header);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  Write(path, out);
}

// "1 2 3": the numbers of the lines that are read.
std::string Read(const std::string& path, const LogQuery& query) {
  std::string numbers;
  const Status status = ReadLogs(
      path, query, [] { return true; },
      [&](const ocid::v1::LogEntry& entry) {
        const std::string& text = entry.output().data();
        if (text.empty()) return true;  // an object that says nothing
        numbers += (numbers.empty() ? "" : " ") + text.substr(5, text.size() - 6);
        return true;
      });
  CHECK(status.ok());
  return numbers;
}

TEST_CASE("all files of a log are read, oldest first, packed ones too") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  CHECK(Read(path, {}).empty());
  Write(path, Lines(7, 8) + "{\"log\":\"torn");
  Write(path + ".1", Lines(5, 6));
  WritePacked(path + ".2.gz", Lines(3, 4), "{\"lastTime\":\"2023-11-14T22:13:25Z\"}");
  WritePacked(path + ".3.gz", Lines(1, 2), "");
  CHECK(Read(path, {}) == "1 2 3 4 5 6 7 8");
  CHECK(Read(path, {.standard_error = false}) == "2 4 6 8");
  const struct {
    uint32_t tail;
    const char* all;
    const char* even;
  } kTails[] = {{0, "", ""},
                {1, "8", "8"},
                {2, "7 8", "6 8"},
                {3, "6 7 8", "4 6 8"},
                {5, "4 5 6 7 8", "2 4 6 8"},
                {7, "2 3 4 5 6 7 8", "2 4 6 8"},
                {100, "1 2 3 4 5 6 7 8", "2 4 6 8"}};
  for (const auto& row : kTails) {
    CHECK(Read(path, {.tail = row.tail}) == row.all);
    CHECK(Read(path, {.standard_error = false, .tail = row.tail}) == row.even);
  }
  CHECK(Read(path, {.since = kStart + 4 * kSecond}) == "4 5 6 7 8");
  CHECK(Read(path, {.since = kStart + 6 * kSecond, .until = kStart + 7 * kSecond}) == "6 7");
  CHECK(Read(path, {.since = kStart + 4 * kSecond, .tail = 2}) == "7 8");
  CHECK(Read(path, {.since = kStart + 7 * kSecond, .tail = 5}) == "7 8");
}

TEST_CASE("a packed file that is too old is not opened up") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  Write(path, Lines(5, 6));
  WritePacked(path + ".1.gz", Lines(3, 4), "{\"lastTime\":\"2023-11-14T22:13:25Z\"}");
  std::string broken = *ReadFile(path + ".1.gz");
  broken.resize(broken.size() - 20);
  Write(path + ".1.gz", broken);
  CHECK(Read(path, {.since = kStart + 6 * kSecond}) == "6");
  CHECK_FALSE(ReadLogs(path, {}, [] { return true; }, [](const auto&) { return true; }).ok());
}

TEST_CASE("a time is found in a big file, beside lines that came late") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  constexpr int kLines = 40'000;
  std::string text;
  for (int i = 1; i <= kLines; ++i) {
    text += Line(i);
    // The end of a line that was begun long ago.
    if (i % 10 == 0) text += Line(0, kStart);
  }
  Write(path, text);
  for (const int first : {1, 2, 9'999, 20'000, 31'234, kLines}) {
    const std::string numbers = Read(path, {.since = kStart + first * kSecond});
    CHECK(numbers.starts_with(std::to_string(first)));
    CHECK(numbers.ends_with(std::to_string(kLines)));
    CHECK(std::count(numbers.begin(), numbers.end(), ' ') == kLines - first);
  }
  CHECK(Read(path, {.since = kStart + (kLines + 1) * kSecond}).empty());
  CHECK(Read(path, {.tail = 3}) == "39999 40000 0");
}

TEST_CASE("lines that nobody of ours wrote are passed over") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  Write(path, Line(1) + std::string(500'000, 'x') + "\n\n[]\n" + Line(2) + "{}\n" + Line(3) +
                  std::string(300'000, 'y'));
  for (const auto& query : {LogQuery{}, LogQuery{.tail = 9}, LogQuery{.since = kStart}})
    CHECK(Read(path, query).ends_with("3"));
  CHECK(Read(path, {.tail = 2}) == "3");
}

TEST_CASE("who does not follow is given what was there, though more is written all the time") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  for (const auto& query : {LogQuery{}, LogQuery{.tail = 1}}) {
    Write(path, Lines(1, 5));
    UniqueFd file = *sys::Open(path, O_WRONLY | O_APPEND);
    int lines = 0;
    const Status status = ReadLogs(
        path, query, [] { return true; },
        [&](const ocid::v1::LogEntry&) {
          if (lines == 2) CHECK(sys::Rename(path, path + ".1").ok());
          // More than is read at once.
          CHECK(sys::WriteAll(file, Lines(6, 2000)).ok());
          return ++lines < 100;
        });
    CHECK(status.ok());
    CHECK(lines == (query.tail ? 1 : 5));
  }
}

// One file becomes another's name, is packed and thrown away while a reader follows.
TEST_CASE("who follows sees every line once, however the files move") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  constexpr int kLines = 6'000, kOfAFile = 40, kFiles = 400;
  Write(path, Line(1));
  std::atomic<bool> ended{false};
  std::thread writer([&] {
    UniqueFd file = *sys::Open(path, O_WRONLY | O_APPEND);
    for (int i = 2; i <= kLines; ++i) {
      if (i % kOfAFile == 0) {
        for (int n = kFiles; n >= 1; --n)
          for (const char* suffix : {"", ".gz"})
            IgnoreError(sys::Rename(fmt::format("{}.{}{}", path, n, suffix),
                                    fmt::format("{}.{}{}", path, n + 1, suffix)),
                        "not there");
        CHECK(sys::Rename(path, path + ".1").ok());
        const struct stat st = *sys::StatPath(path + ".1");
        file = *sys::Open(path, O_WRONLY | O_APPEND | O_CREAT, 0640);
        if (i % 80 == 0) {
          WritePacked(path + ".new", *ReadFile(path + ".1"),
                      Json({{"inode", st.st_ino}, {"lastTime", "2030-01-01T00:00:00Z"}}).dump());
          CHECK(sys::Rename(path + ".new", path + ".1.gz").ok());
          CHECK(sys::Unlink(path + ".1").ok());
        }
      }
      CHECK(sys::WriteAll(file, Line(i)).ok());
    }
    ended = true;
  });
  int last = 0;
  bool in_order = true;
  const Status status = ReadLogs(
      path, {.follow = true}, [&] { return ended.load(); },
      [&](const ocid::v1::LogEntry& entry) {
        in_order = in_order && entry.output().data() == fmt::format("line {}\n", ++last);
        return true;
      });
  writer.join();
  CHECK(status.ok());
  CHECK(in_order);
  CHECK(last == kLines);
}

TEST_CASE("a file that somebody has removed hides none of the others") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  Write(path, Lines(7, 8));
  Write(path + ".2", Lines(3, 4));
  WritePacked(path + ".3.gz", Lines(1, 2), "");
  CHECK(Read(path, {}) == "1 2 3 4 7 8");
  CHECK(sys::Unlink(path).ok());
  CHECK(Read(path, {}) == "1 2 3 4");
}

TEST_CASE("who follows until a time that has come is done") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  Write(path, Lines(1, 3));
  int lines = 0;
  const Status status = ReadLogs(
      path, {.until = kStart + 2 * kSecond, .follow = true}, [] { return false; },
      [&](const ocid::v1::LogEntry&) { return ++lines < 100; });
  CHECK(status.ok());
  CHECK(lines == 2);
}

// The number of the first line of each file.
std::vector<int> FirstLines(const std::vector<LogPart>& parts) {
  std::vector<int> numbers;
  for (const LogPart& part : parts) {
    int number = 0;
    char text[8] = {};
    if (::pread(part.file.get(), text, sizeof text - 1, 0) > 0) number = std::atoi(text);
    numbers.push_back(number);
  }
  return numbers;
}

TEST_CASE("files that move up faster than they are opened are opened in order, each once") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  constexpr int kFiles = 100;
  std::atomic<bool> ended{false};
  int made = kFiles + 1;
  for (int n = 0; n <= kFiles; ++n)
    Write(n == 0 ? path : fmt::format("{}.{}", path, n), std::to_string(made - n));
  std::thread writer([&] {
    while (!ended) {
      for (int n = kFiles; n >= 0; --n)
        IgnoreError(sys::Rename(n == 0 ? path : fmt::format("{}.{}", path, n),
                                fmt::format("{}.{}", path, n + 1)),
                    "not there");
      Write(path, std::to_string(++made));
    }
  });
  for (int i = 0; i < 30; ++i) {
    const auto parts = OpenLog(path);
    CHECK(parts.ok());
    if (!parts.ok()) break;
    const std::vector<int> numbers = FirstLines(*parts);
    CHECK(numbers.size() > kFiles / 2);
    // The newest may be empty still.
    for (size_t at = 1; at + 1 < numbers.size(); ++at) CHECK(numbers[at] == numbers[at - 1] + 1);
  }
  ended = true;
  writer.join();
}

TEST_CASE("of files that are thrown away at once, those that were opened are read") {
  TempDir dir;
  const std::string path = dir.path + "/log";
  Write(path, "1");
  std::atomic<bool> ended{false};
  std::thread writer([&] {
    for (int number = 2; !ended; ++number) {
      CHECK(sys::Unlink(path).ok());
      Write(path, std::to_string(number));
    }
  });
  for (int i = 0; i < 1000; ++i) {
    constexpr uint64_t kGone = 1;  // of one that was known, and was the oldest before these
    const auto parts = OpenLog(path, kGone);
    CHECK(parts.ok());
    if (!parts.ok()) break;
    CHECK(parts->size() == 1);
  }
  ended = true;
  writer.join();
}

}  // namespace
}  // namespace ocirun::container
