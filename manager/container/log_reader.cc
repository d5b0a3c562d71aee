// SPDX-License-Identifier: Apache-2.0
#include "manager/container/log_reader.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <limits>
#include <thread>

#include "base/json.h"
#include "base/sys/file.h"
#include "base/time.h"
#include "manager/container/log_files.h"

namespace ocirun::container {
namespace {

using ocid::v1::LogEntry;
using ocid::v1::Output;

constexpr auto kPollEvery = std::chrono::milliseconds(20);

std::optional<LogEntry> ParseLine(std::string_view line) {
  const StatusOr<Json> json = ParseJson(line, kMaxLogLine);
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

UnixNanos TimeOf(std::string_view line) {
  const auto entry = ParseLine(line);
  return entry ? entry->time() : 0;
}

// Where reading begins: the parts before are not looked at any more.
struct Start {
  size_t part = 0;
  uint64_t offset = 0;  // in a plain one
  uint64_t skip = 0;    // entries of it that match: in a packed one
};

StatusOr<Start> FindSince(const std::vector<LogPart>& parts, UnixNanos since) {
  Start start;
  if (since == 0) return start;
  const auto is_older = [&](const LogPart& part) {
    return part.last_time != 0 && part.last_time < since;
  };
  while (start.part < parts.size() && is_older(parts[start.part])) ++start.part;
  // Whoever follows the last one still begins with it, at its end.
  if (start.part == parts.size() && !parts.empty()) --start.part;
  if (start.part < parts.size() && !parts[start.part].packed) {
    ASSIGN_OR_RETURN(start.offset, FindTime(parts[start.part].file, since, TimeOf));
  }
  return start;
}

// Of a packed part, which can only be read from its start: once to count them, and once more.
StatusOr<uint64_t> CountMatches(const LogPart& part, const LogQuery& query) {
  LogPart again{.packed = true};
  ASSIGN_OR_RETURN(again.file, sys::Duplicate(part.file));
  uint64_t count = 0;
  LineReader reader(std::move(again), 0);
  RETURN_IF_ERROR(reader
                      .ReadOn([&](std::string_view line) {
                        const auto entry = ParseLine(line);
                        if (entry && Wanted(*entry, query)) ++count;
                        return true;
                      })
                      .status());
  return count;
}

// The last `*query.tail` entries that match, of those behind `first`.
StatusOr<Start> FindTail(const std::vector<LogPart>& parts, const LogQuery& query,
                         const Start& first) {
  uint64_t wanted = *query.tail;
  for (size_t i = parts.size(); i-- > first.part;) {
    Start start{.part = i};
    if (parts[i].packed) {
      ASSIGN_OR_RETURN(const uint64_t count, CountMatches(parts[i], query));
      start.skip = count > wanted ? count - wanted : 0;
      wanted -= count - start.skip;
    } else {
      ASSIGN_OR_RETURN(const struct stat st, sys::Stat(parts[i].file));
      start.offset = static_cast<uint64_t>(st.st_size);
      const auto count = [&](uint64_t offset, std::string_view line) {
        if (wanted == 0) return false;
        const auto entry = ParseLine(line);
        if (entry && Wanted(*entry, query)) {
          start.offset = offset;
          --wanted;
        }
        return wanted != 0;
      };
      const uint64_t begin = i == first.part ? first.offset : 0;
      RETURN_IF_ERROR(ReadBackwards(parts[i].file, begin, count));
    }
    if (wanted == 0) return start;
  }
  return first;
}

// The parts of the log one after the other, and what becomes of the last one.
class Reading {
 public:
  Reading(std::string path, const LogQuery& query) : path_(std::move(path)), query_(query) {}

  // False: there is no log yet.
  StatusOr<bool> Begin() {
    ASSIGN_OR_RETURN(std::vector<LogPart> parts, OpenLog(path_));
    if (parts.empty()) return false;
    ASSIGN_OR_RETURN(Start start, FindSince(parts, query_.since));
    if (query_.tail) {
      ASSIGN_OR_RETURN(start, FindTail(parts, query_, start));
    }
    skip_ = start.skip;
    // Who does not follow is given what is there now, however fast more is written.
    if (!query_.follow && !parts.back().packed) {
      ASSIGN_OR_RETURN(const struct stat st, sys::Stat(parts.back().file));
      end_ = static_cast<uint64_t>(st.st_size);
    }
    parts.erase(parts.begin(), parts.begin() + static_cast<ptrdiff_t>(start.part));
    Queue(std::move(parts), start.offset);
    return true;
  }

  // All that is written by now, or was at Begin(). False: `entry` said stop.
  StatusOr<bool> ReadOn(const std::function<bool(const LogEntry&)>& entry) {
    const auto take = [&](std::string_view line) {
      const auto parsed = ParseLine(line);
      if (!parsed || !Wanted(*parsed, query_)) return true;
      if (skip_ == 0) return entry(*parsed);
      --skip_;
      return true;
    };
    for (;;) {
      // Asked before reading: nobody writes a file that has lost its name.
      const bool last = parts_.size() == 1 && (!query_.follow || !WasRotated());
      ASSIGN_OR_RETURN(const bool more, parts_.front().ReadOn(take));
      if (!more) return false;
      if (last) return true;
      if (parts_.size() == 1) RETURN_IF_ERROR(FindNext());
      parts_.pop_front();
    }
  }

 private:
  void Queue(std::vector<LogPart> parts, uint64_t offset) {
    for (LogPart& part : parts)
      parts_.emplace_back(std::move(part), std::exchange(offset, 0),
                          &part == &parts.back() ? end_ : kNoEnd);
  }

  [[nodiscard]] bool WasRotated() const {
    const auto named = sys::StatPath(path_);
    return named.ok() && named->st_ino != parts_.front().inode();
  }

  // What came behind the file that was the last one. If that is gone, so may be some that came
  // behind it.
  Status FindNext() {
    const uint64_t mine = parts_.front().inode();
    ASSIGN_OR_RETURN(std::vector<LogPart> parts, OpenLog(path_, mine));
    if (!parts.empty() && parts.front().inode == mine) parts.erase(parts.begin());
    if (parts.empty()) return Internal("{}: a rotation left no file", path_);
    Queue(std::move(parts), 0);
    return OkStatus();
  }

  std::string path_;
  const LogQuery& query_;
  std::deque<LineReader> parts_;
  uint64_t skip_ = 0;
  static constexpr uint64_t kNoEnd = std::numeric_limits<uint64_t>::max();
  uint64_t end_ = kNoEnd;  // of the last part
};

}  // namespace

Status ReadLogs(const std::string& path, const LogQuery& query, const std::function<bool()>& ended,
                const std::function<bool(const LogEntry&)>& entry) {
  Reading reading(path, query);
  for (bool begun = false;;) {
    // Asked before reading: what was written is read.
    const bool last =
        !query.follow || ended() || (query.until != 0 && NowUnixNanos() > query.until);
    if (!begun) {
      ASSIGN_OR_RETURN(begun, reading.Begin());
    }
    if (begun) {
      ASSIGN_OR_RETURN(const bool more, reading.ReadOn(entry));
      if (!more) return OkStatus();
    }
    if (last) return OkStatus();
    std::this_thread::sleep_for(kPollEvery);
  }
}

}  // namespace ocirun::container
