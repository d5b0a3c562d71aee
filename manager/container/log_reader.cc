// SPDX-License-Identifier: Apache-2.0
#include "manager/container/log_reader.h"

#include <fcntl.h>

#include <chrono>
#include <deque>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "base/sys/file.h"
#include "base/time.h"

namespace ocirun::container {
namespace {

using ocid::v1::LogEntry;
using ocid::v1::Output;

constexpr auto kPollEvery = std::chrono::milliseconds(20);
constexpr size_t kMaxLine = 1u << 20;

std::optional<LogEntry> ParseLine(std::string_view line) {
  const StatusOr<Json> json = ParseJson(line, kMaxLine);
  if (!json.ok() || !json->is_object()) return {};  // torn by a crash
  const JsonView view(*json);
  const auto text = StringOr(view, "log", "");
  const auto stream = StringOr(view, "stream", "");
  const auto time = StringOr(view, "time", "");
  if (!text.ok() || !stream.ok() || !time.ok()) return {};
  LogEntry entry;
  entry.mutable_output()->set_stream(*stream == "stderr" ? Output::STREAM_STDERR
                                                         : Output::STREAM_STDOUT);
  entry.mutable_output()->set_data(*text);
  entry.set_time(ParseRfc3339(*time).value_or(0));
  return entry;
}

bool Wanted(const LogEntry& entry, const LogQuery& query) {
  const bool error = entry.output().stream() == Output::STREAM_STDERR;
  if (error ? !query.standard_error : !query.standard_output) return false;
  if (query.since != 0 && entry.time() < query.since) return false;
  return query.until == 0 || entry.time() <= query.until;
}

// Gives whole lines of a file as far as it is written.
class LineFile {
 public:
  explicit LineFile(UniqueFd file) : file_(std::move(file)) {}

  // False when `line` said stop.
  StatusOr<bool> ReadOn(const std::function<bool(std::string_view)>& line) {
    std::string buffer(1 << 16, '\0');
    for (;;) {
      const ssize_t n =
          sys::RetryEintr([&] { return read(file_.get(), buffer.data(), buffer.size()); });
      if (n < 0) return SysError(errno, "read", "log");
      if (n == 0) return true;
      rest_.append(buffer, 0, static_cast<size_t>(n));
      size_t begin = 0;
      for (size_t end; (end = rest_.find('\n', begin)) != std::string::npos; begin = end + 1) {
        if (!line(std::string_view(rest_).substr(begin, end - begin))) return false;
      }
      rest_.erase(0, begin);
    }
  }

  // Whether the name stands for another file now: it was rotated away.
  [[nodiscard]] bool WasRotated(const std::string& path) const {
    const auto mine = sys::Stat(file_);
    const auto named = sys::StatPath(path);
    return mine.ok() && named.ok() && mine->st_ino != named->st_ino;
  }

 private:
  UniqueFd file_;
  std::string rest_;
};

std::vector<std::string> RotatedFiles(const std::string& path) {
  std::vector<std::string> files;
  for (int number = 1; PathExists(fmt::format("{}.{}", path, number)); ++number) {
    files.insert(files.begin(), fmt::format("{}.{}", path, number));
  }
  return files;
}

}  // namespace

Status ReadLogs(const std::string& path, const LogQuery& query, const std::function<bool()>& ended,
                const std::function<bool(const LogEntry&)>& entry) {
  std::deque<LogEntry> tail;
  bool collecting = query.tail.has_value();
  const auto take = [&](std::string_view line) {
    const auto parsed = ParseLine(line);
    if (!parsed || !Wanted(*parsed, query)) return true;
    if (!collecting) return entry(*parsed);
    tail.push_back(*parsed);
    if (tail.size() > *query.tail) tail.pop_front();
    return true;
  };
  for (const std::string& old : RotatedFiles(path)) {
    ASSIGN_OR_RETURN(UniqueFd file, sys::Open(old, O_RDONLY));
    ASSIGN_OR_RETURN(const bool more, LineFile(std::move(file)).ReadOn(take));
    if (!more) return OkStatus();
  }
  StatusOr<UniqueFd> file = sys::Open(path, O_RDONLY);
  if (ErrnoOf(file.status()) == ENOENT && !query.follow) return OkStatus();
  while (!file.ok()) {
    if (ErrnoOf(file.status()) != ENOENT) return file.status();
    if (ended()) return OkStatus();
    std::this_thread::sleep_for(kPollEvery);
    file = sys::Open(path, O_RDONLY);
  }
  LineFile current(*std::move(file));
  for (;;) {
    const bool last = !query.follow || ended();  // asked before reading: what was written is read
    const bool rotated = current.WasRotated(path);
    ASSIGN_OR_RETURN(const bool more, current.ReadOn(take));
    if (!more) return OkStatus();
    if (collecting) {
      collecting = false;
      for (const LogEntry& kept : tail) {
        if (!entry(kept)) return OkStatus();
      }
    }
    if (rotated) {
      ASSIGN_OR_RETURN(UniqueFd next, sys::Open(path, O_RDONLY));
      current = LineFile(std::move(next));
      continue;
    }
    if (last) return OkStatus();
    std::this_thread::sleep_for(kPollEvery);
  }
}

}  // namespace ocirun::container
