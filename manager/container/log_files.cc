// SPDX-License-Identifier: Apache-2.0
#include "manager/container/log_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "base/sys/file.h"
#include "manager/snapshot/decompressor.h"

namespace ocirun::container {
namespace {

constexpr size_t kBlock = 1u << 16;
// A rotation is a few renames: it is over the next time one looks.
constexpr int kMaxTries = 100;
constexpr auto kBetweenTries = std::chrono::milliseconds(1);
// Lines of which the youngest tells the time of their place in the file.
constexpr int kLinesOfAPlace = 16;

// Of a gzip file: what the shim says in the header's extra field (RFC 1952: FEXTRA is bit 2 of
// byte 3, its length at 10). Of one without, nothing is known.
void ReadExtraField(LogPart* part) {
  unsigned char header[12];
  if (::pread(part->file.get(), header, sizeof header, 0) != sizeof header) return;
  if ((header[3] & 4) == 0) return;
  std::string extra(header[10] | header[11] << 8, '\0');
  if (::pread(part->file.get(), extra.data(), extra.size(), sizeof header) !=
      static_cast<ssize_t>(extra.size()))
    return;
  const auto json = ParseJson(extra);
  if (!json.ok() || !json->is_object()) return;
  const JsonView view(*json);
  if (const auto time = StringOr(view, "lastTime", ""); time.ok())
    part->last_time = ParseRfc3339(*time).value_or(0);
  if (const auto inode = view.Get("inode"); inode.ok() && inode->present())
    part->inode = inode->UInt64().value_or(0);
}

StatusOr<LogPart> OpenPart(const std::string& path, bool packed) {
  LogPart part{.packed = packed};
  ASSIGN_OR_RETURN(part.file, sys::Open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  if (packed) {
    ReadExtraField(&part);
    return part;
  }
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(part.file));
  part.inode = st.st_ino;
  // The last write's time is the clock of the kernel's last tick: not before its lines when a
  // second is added.
  part.last_time = (st.st_mtim.tv_sec + 1) * 1'000'000'000;
  return part;
}

std::string NameOf(const std::string& path, int number, bool packed) {
  if (number == 0) return path;
  return fmt::format("{}.{}{}", path, number, packed ? ".gz" : "");
}

// Plain first: a packed file has its name before the plain one goes.
StatusOr<LogPart> OpenNumber(const std::string& path, int number) {
  StatusOr<LogPart> part = OpenPart(NameOf(path, number, false), false);
  if (ErrnoOf(part.status()) != ENOENT) return part;
  return OpenPart(NameOf(path, number, true), true);
}

constexpr int kFar = 64;  // that many rotations in the time between two looks

// The number that a file has by now, which was `from`; nothing: it was packed, or is gone.
std::optional<int> NumberOf(const std::string& path, const LogPart& part, int from) {
  const auto own = sys::Stat(part.file);
  for (int number = from; own.ok() && number < from + kFar; ++number) {
    const auto st = sys::StatPath(NameOf(path, number, part.packed));
    if (st.ok() && st->st_ino == own->st_ino) return number;
  }
  return std::nullopt;
}

// Whether a file that has no name any more, the last one at `from`, was not packed but thrown away.
// Then it was the oldest: a rotation begins with that one.
StatusOr<bool> IsThrownAway(const std::string& path, const LogPart& part, int from) {
  ASSIGN_OR_RETURN(const struct stat own, sys::Stat(part.file));
  if (own.st_nlink != 0 || part.packed) return own.st_nlink == 0;
  for (int number = from; number < from + kFar; ++number) {
    const auto packed = OpenPart(NameOf(path, number, true), true);
    if (packed.ok() && packed->inode == part.inode) return false;
  }
  return true;
}

// Newest first, as far as the part with the inode. Unavailable when one was packed meanwhile, or
// the newest is about to be made.
//
// A rotation moves all files up, the oldest first. So while a file stays at N the next older one is
// at N + 1, or at N + 2 when its move is done and the file's is still to come, or there is none.
// Where a number is missing because somebody has removed it the same is right.
StatusOr<std::vector<LogPart>> TryToOpen(const std::string& path, uint64_t known, bool last_try) {
  const Status moved = Error(StatusCode::kUnavailable, "{} is being rotated", path);
  std::vector<LogPart> parts;
  int at = 0;
  StatusOr<LogPart> part = OpenPart(path, false);
  if (ErrnoOf(part.status()) == ENOENT) {
    while (at < 2 && ErrnoOf(part.status()) == ENOENT) part = OpenNumber(path, ++at);
    const bool is_there = ErrnoOf(part.status()) != ENOENT;
    // Behind a file that is known there is another one.
    if (!last_try && (is_there || known != 0)) return moved;
    if (!is_there) return parts;
  }
  RETURN_IF_ERROR(part.status());
  parts.push_back(*std::move(part));
  while (known == 0 || parts.back().inode != known) {
    int next = at + 1;
    part = OpenNumber(path, next);
    if (ErrnoOf(part.status()) == ENOENT) part = OpenNumber(path, ++next);
    const auto now = NumberOf(path, parts.back(), at);
    if (!now.has_value()) {
      ASSIGN_OR_RETURN(const bool is_oldest, IsThrownAway(path, parts.back(), at));
      if (!is_oldest) return moved;
      break;
    }
    if (std::exchange(at, *now) != *now) continue;
    if (ErrnoOf(part.status()) == ENOENT) break;
    RETURN_IF_ERROR(part.status());
    parts.push_back(*std::move(part));
    at = next;
  }
  return parts;
}

}  // namespace

StatusOr<std::vector<LogPart>> OpenLog(const std::string& path, uint64_t known) {
  for (int tries = 1;; ++tries) {
    StatusOr<std::vector<LogPart>> parts = TryToOpen(path, known, tries == kMaxTries);
    if (parts.ok()) std::reverse(parts->begin(), parts->end());
    if (parts.status().code() != StatusCode::kUnavailable || tries == kMaxTries) return parts;
    std::this_thread::sleep_for(kBetweenTries);
  }
}

LineReader::LineReader(LogPart part, uint64_t offset, uint64_t end) : inode_(part.inode) {
  struct Reading {
    UniqueFd file;
    uint64_t at, end;
    std::string buffer = std::string(kBlock, '\0');
  };
  const auto reading = std::make_shared<Reading>(std::move(part.file), offset, end);
  source_ = [reading]() -> StatusOr<std::string_view> {
    const uint64_t left = reading->end - std::min(reading->at, reading->end);
    const ssize_t n = sys::RetryEintr([&] {
      return ::pread(reading->file.get(), reading->buffer.data(),
                     std::min<uint64_t>(reading->buffer.size(), left),
                     static_cast<off_t>(reading->at));
    });
    if (n < 0) return SysError(errno, "read", "log");
    reading->at += static_cast<uint64_t>(n);
    return std::string_view(reading->buffer).substr(0, static_cast<size_t>(n));
  };
  if (part.packed) source_ = snapshot::Decompress(std::move(source_));
}

StatusOr<bool> LineReader::ReadOn(const std::function<bool(std::string_view)>& line) {
  for (;;) {
    ASSIGN_OR_RETURN(const std::string_view data, source_());
    if (data.empty()) return true;
    size_t begin = 0;
    for (size_t end; (end = data.find('\n', begin)) != std::string_view::npos; begin = end + 1) {
      std::string_view whole = data.substr(begin, end - begin);
      if (!rest_.empty()) whole = rest_ += whole;
      const bool wanted = !std::exchange(too_long_, false) && whole.size() <= kMaxLogLine;
      const bool more = !wanted || line(whole);
      rest_.clear();
      if (!more) return false;
    }
    rest_ += data.substr(begin);
    if (rest_.size() <= kMaxLogLine) continue;
    rest_.clear();
    too_long_ = true;
  }
}

Status ReadBackwards(const UniqueFd& file, uint64_t begin,
                     const std::function<bool(uint64_t, std::string_view)>& line) {
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(file));
  uint64_t at = static_cast<uint64_t>(st.st_size);
  std::string text;    // from `at` to the end of a line that starts before
  bool whole = false;  // text ends where a line ends
  while (at > begin) {
    const size_t size = std::min<uint64_t>(kBlock, at - begin);
    std::string block(size, '\0');
    const ssize_t n = sys::RetryEintr(
        [&] { return ::pread(file.get(), block.data(), size, static_cast<off_t>(at - size)); });
    if (n < 0) return SysError(errno, "read", "log");
    if (static_cast<size_t>(n) != size) return OkStatus();  // somebody has cut it
    at -= size;
    text.insert(0, block);
    for (;;) {
      // Behind the newline before the line that text ends with.
      const size_t newline = text.find_last_of('\n');
      if (newline == std::string::npos && at > begin) break;
      const size_t start = newline == std::string::npos ? 0 : newline + 1;
      if (whole && text.size() - start <= kMaxLogLine &&
          !line(at + start, std::string_view(text).substr(start)))
        return OkStatus();
      if (newline == std::string::npos) return OkStatus();
      whole = true;
      text.resize(newline);
    }
    if (text.size() > kMaxLogLine) {
      text.clear();  // no line of ours; its end is left out, and its start, when that comes
      whole = false;
    }
  }
  return OkStatus();
}

StatusOr<uint64_t> FindTime(const UniqueFd& file, UnixNanos since,
                            const std::function<UnixNanos(std::string_view)>& time_of) {
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(file));
  uint64_t low = 0, high = static_cast<uint64_t>(st.st_size);  // the line starts in [low, high]
  std::string window(kMaxLogLine + kBlock, '\0');              // holds a line, wherever it starts
  while (low < high && high - low > window.size()) {
    const uint64_t middle = low + (high - low) / 2;
    const ssize_t n = sys::RetryEintr([&] {
      return ::pread(file.get(), window.data(), window.size(), static_cast<off_t>(middle));
    });
    if (n < 0) return SysError(errno, "read", "log");
    std::string_view text = std::string_view(window).substr(0, static_cast<size_t>(n));
    text.remove_prefix(std::min(text.size(), text.find('\n') + 1));
    UnixNanos youngest = 0;
    uint64_t first = 0;  // where the first of them starts
    for (int i = 0; i < kLinesOfAPlace; ++i) {
      const size_t end = text.find('\n');
      if (end == std::string_view::npos) break;
      if (first == 0) first = middle + static_cast<uint64_t>(text.data() - window.data());
      youngest = std::max(youngest, time_of(text.substr(0, end)));
      text.remove_prefix(end + 1);
    }
    // Nothing that tells a time: to go back is never wrong.
    if (youngest == 0 || youngest >= since) {
      high = middle;
    } else {
      low = first;
    }
  }
  return low;
}

}  // namespace ocirun::container
