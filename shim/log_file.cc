// SPDX-License-Identifier: Apache-2.0
#include "shim/log_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "base/file.h"
#include "base/json.h"
#include "base/open_fds.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/text.h"
#include "base/time.h"
#include "shim/gzip.h"

namespace ocirun::shim {
namespace {

constexpr mode_t kMode = 0640;
constexpr int kLowestPriority = 19;

Status RenameIfThere(const std::string& from, const std::string& to) {
  const Status moved = sys::Rename(from, to);
  return ErrnoOf(moved) == ENOENT ? OkStatus() : moved;
}

Status UnlinkIfThere(const std::string& path) {
  const Status gone = sys::Unlink(path);
  return ErrnoOf(gone) == ENOENT ? OkStatus() : gone;
}

// Docker's extra field, so that readers need not look into a file that is older than what they
// want; and the number of the file that it was, by which a reader who had it open finds its place.
// The last write's time is the clock of the kernel's last tick: a second later is behind its lines.
std::string ExtraField(const struct stat& st) {
  const UnixNanos last = (st.st_mtim.tv_sec + 1) * 1'000'000'000;
  return Json({{"lastTime", FormatRfc3339Nano(last)}, {"inode", st.st_ino}}).dump();
}

// The child's life. Everything else that is open here would stay so: pipes, whose end others wait
// for.
[[noreturn]] void CompressAndExit(const UniqueFd& from, const UniqueFd& to,
                                  const std::string& extra) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setpriority(PRIO_PROCESS, 0, kLowestPriority);
  const bool done = CloseAllBut({from.get(), to.get()}).ok() && CompressFile(from, to, extra).ok();
  ::_exit(done ? 0 : 1);
}

}  // namespace

StatusOr<std::unique_ptr<LogFile>> LogFile::Open(Loop* loop, Options options) {
  std::unique_ptr<LogFile> log(new LogFile(loop, std::move(options)));
  RETURN_IF_ERROR(log->OpenFile(O_CREAT));
  log->TidyUp();
  log->EndTornLine();
  if (log->options_.compress) log->CompressNext();
  return log;
}

LogFile::~LogFile() {
  if (job_.pid == 0) return;
  IgnoreError(sys::Kill(job_.pid, SIGKILL), "it has ended");
  IgnoreError(sys::Unlink(Half()), "the next Open tries again");
}

std::string LogFile::Plain(unsigned number) const {
  return fmt::format("{}.{}", options_.path, number);
}

Status LogFile::OpenFile(int flags) {
  // Not waiting: of a fifo, for its reader.
  auto file = sys::Open(options_.path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | flags, kMode);
  const auto is_fifo = [&] {
    const auto st = sys::Stat(*file);
    return st.ok() && S_ISFIFO(st->st_mode);
  };
  if (ErrnoOf(file.status()) == ENXIO || (file.ok() && is_fifo()))
    return InvalidArgument("{}: must be a file, not a fifo", options_.path);
  RETURN_IF_ERROR(file.status());
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(*file));
  file_ = *std::move(file);
  size_ = static_cast<uint64_t>(st.st_size);
  return OkStatus();
}

// A shim that was killed in the middle of a line: it stays alone, and does not spoil the next one.
void LogFile::EndTornLine() {
  if (size_ == 0) return;
  const auto file = sys::Open(options_.path, O_RDONLY | O_NONBLOCK);
  char last = '\n';
  if (!file.ok() || ::pread(file->get(), &last, 1, static_cast<off_t>(size_ - 1)) != 1) return;
  if (last != '\n' && sys::WriteAll(file_, "\n").ok()) ++size_;
}

// Of the files that there are beside the current one, the lowest first.
std::set<unsigned> LogFile::OldNumbers() const {
  std::set<unsigned> numbers;
  const size_t slash = options_.path.rfind('/');
  const auto names = ListFolder(slash == 0 ? "/" : options_.path.substr(0, slash));
  if (!names.ok()) return numbers;
  const std::string prefix = options_.path.substr(slash + 1) + ".";
  for (const std::string& name : *names) {
    if (!name.starts_with(prefix)) continue;
    const auto number =
        static_cast<unsigned>(LeadingNumber(name.substr(prefix.size())).value_or(0));
    if (number != 0 && (PathExists(Plain(number)) || PathExists(Packed(number))))
      numbers.insert(number);
  }
  return numbers;
}

// What a shim that was killed left.
void LogFile::TidyUp() {
  IgnoreError(UnlinkIfThere(Half()), "it is overwritten");
  for (const unsigned number : OldNumbers()) {
    // It was whole on disk before it had its name.
    const bool packed = PathExists(Packed(number));
    if (packed) IgnoreError(UnlinkIfThere(Plain(number)), "a reader prefers it, and sees the same");
    ++old_files_;
    // Amid a rotation there is a gap, which the next one would close with another file.
    if (number == old_files_) continue;
    const std::string suffix = packed ? ".gz" : "";
    IgnoreError(sys::Rename(Plain(number) + suffix, Plain(old_files_) + suffix), "as it was");
  }
}

uint64_t LogFile::Room() const {
  if (options_.max_size == 0) return std::numeric_limits<uint64_t>::max();
  return size_ >= options_.max_size ? 0 : options_.max_size - size_;
}

Status LogFile::Write(std::string_view lines) {
  if (lines.empty()) return OkStatus();
  if (!file_) RETURN_IF_ERROR(Annotate(OpenFile(O_CREAT), options_.path));
  if (Room() == 0) RETURN_IF_ERROR(Annotate(Rotate(), options_.path));
  const Status written = sys::WriteAll(file_, lines);
  if (written.ok()) {
    size_ += lines.size();
    return OkStatus();
  }
  // Half a line would spoil the next one. A file that somebody has cut meanwhile is left as it is.
  const auto st = sys::Stat(file_);
  if (st.ok() && static_cast<uint64_t>(st->st_size) > size_ &&
      ::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0)
    return Annotate(SysError(errno, "ftruncate"), options_.path);
  return Annotate(written, options_.path);
}

Status LogFile::Reopen() { return Annotate(OpenFile(O_CREAT), options_.path); }

Status LogFile::Rotate() {
  RETURN_IF_ERROR(Shift());
  RETURN_IF_ERROR(options_.max_file > 1 ? RenameIfThere(options_.path, Plain(1))
                                        : UnlinkIfThere(options_.path));
  old_files_ = std::min(old_files_ + 1, options_.max_file - 1);
  // Before: there may be no further descriptor for the new one. Without it Write tries again, where
  // a second rotation would move the files out of the way until none is left.
  file_.Reset();
  RETURN_IF_ERROR(OpenFile(O_CREAT | O_EXCL));
  if (options_.compress) CompressNext();
  return OkStatus();
}

// Makes number 1 free: what is too many goes, each of the others gets the number behind its own.
Status LogFile::Shift() {
  for (unsigned number = old_files_; number >= 1; --number) {
    const bool kept = number + 1 < options_.max_file;
    for (const char* suffix : {"", ".gz"}) {
      const std::string name = Plain(number) + suffix;
      RETURN_IF_ERROR(kept ? RenameIfThere(name, Plain(number + 1) + suffix) : UnlinkIfThere(name));
    }
    if (job_.number == number) job_.number = kept ? number + 1 : 0;
  }
  return OkStatus();
}

// The newest first: it stays longest.
void LogFile::CompressNext() {
  if (job_.pid != 0) return;
  for (unsigned number = 1; number <= old_files_; ++number) {
    if (!PathExists(Plain(number))) continue;
    IgnoreError(StartCompressing(number), "it stays plain, and is tried at the next rotation");
    return;
  }
}

Status LogFile::StartCompressing(unsigned number) {
  ASSIGN_OR_RETURN(const UniqueFd from, sys::Open(Plain(number), O_RDONLY | O_NOFOLLOW));
  ASSIGN_OR_RETURN(const struct stat st, sys::Stat(from));
  ASSIGN_OR_RETURN(const UniqueFd to, sys::Open(Half(), O_WRONLY | O_CREAT | O_TRUNC, kMode));
  const std::string extra = ExtraField(st);
  ASSIGN_OR_RETURN(const pid_t pid, sys::Clone(0));
  if (pid == 0) CompressAndExit(from, to, extra);
  job_ = {.pid = pid, .number = number};
  loop_->OnChild(pid, [this, alive = std::weak_ptr<int>(alive_)](int wait_status) {
    if (!alive.expired()) Compressed(wait_status);
  });
  return OkStatus();
}

void LogFile::Compressed(int wait_status) {
  const Job job = std::exchange(job_, Job());
  Status status;
  if (job.number != 0 && sys::ExitCodeOf(wait_status) == 0)
    status = sys::Rename(Half(), Packed(job.number));
  if (job.number == 0 || sys::ExitCodeOf(wait_status) != 0 || !status.ok()) {
    IgnoreError(UnlinkIfThere(Half()), "the next one overwrites it");
    // A disk that is full would only have us try again and again: the next rotation does.
    if (job.number != 0) return;
  } else {
    IgnoreError(UnlinkIfThere(Plain(job.number)), "a reader prefers it, and sees the same");
  }
  CompressNext();
}

}  // namespace ocirun::shim
