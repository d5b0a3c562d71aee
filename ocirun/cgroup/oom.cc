// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cgroup/oom.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/text.h"
#include "ocirun/cgroup/files.h"
#include "ocirun/cgroup/statistics.h"

namespace ocirun::cgroup {
namespace {

// The container's folder in the hierarchy that has the memory controller.
std::string MemoryFolder(const std::map<std::string, std::string>& view) {
  for (const auto& [name, folder] : view)
    for (const std::string_view controller : SplitWords(name, ","))
      if (controller == "memory") return folder;
  return {};
}

uint64_t Kills(const std::string& folder) {
  return ParseKeyed(ReadText(folder, "memory.events"))["oom_kill"];
}

}  // namespace

StatusOr<OomWatch> OomWatch::Open(const std::map<std::string, std::string>& view) {
  OomWatch watch;
  watch.v2_ = view.size() == 1 && view.begin()->first.empty();
  watch.folder_ = watch.v2_ ? view.begin()->second : MemoryFolder(view);
  if (watch.folder_.empty()) return FailedPrecondition("this host has no cgroup controller memory");
  if (watch.v2_) {
    watch.fd_ = UniqueFd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!watch.fd_) return SysError(errno, "inotify_init");
    const std::string events = watch.folder_ + "/memory.events";
    if (::inotify_add_watch(watch.fd_.get(), events.c_str(), IN_MODIFY | IN_DELETE_SELF) < 0)
      return SysError(errno, "inotify_add_watch", events);
    watch.kills_ = Kills(watch.folder_);
    return watch;
  }
  // Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control".
  watch.fd_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!watch.fd_) return SysError(errno, "eventfd");
  ASSIGN_OR_RETURN(watch.control_, sys::Open(watch.folder_ + "/memory.oom_control", O_RDONLY));
  RETURN_IF_ERROR(WriteControl(watch.folder_, "cgroup.event_control",
                               fmt::format("{} {}", watch.fd_.get(), watch.control_.get()),
                               "events"));
  return watch;
}

StatusOr<OomWatch::Event> OomWatch::Read() {
  std::array<char, 4096> buffer;
  const ssize_t n =
      sys::RetryEintr([&] { return ::read(fd_.get(), buffer.data(), buffer.size()); });
  if (n < 0 && errno != EAGAIN) return SysError(errno, "read");
  // The end of the cgroup wakes both kinds of descriptor, too.
  if (!PathExists(folder_)) return Event::kGone;
  if (n < 0) return Event::kNothing;
  if (!v2_) return Event::kOom;
  const uint64_t kills = Kills(folder_);
  const bool more = kills > kills_;
  kills_ = kills;
  return more ? Event::kOom : Event::kNothing;
}

}  // namespace ocirun::cgroup
