// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cgroup/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <memory>

#include "base/file.h"
#include "base/sys/file.h"

namespace ocirun::cgroup {
namespace {

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

void AppendDescendants(const std::string& folder, std::vector<std::string>* out) {
  out->push_back(folder);
  const std::unique_ptr<DIR, DirCloser> dir(::opendir(folder.c_str()));
  if (!dir) return;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..")
      AppendDescendants(fmt::format("{}/{}", folder, name), out);
  }
}

}  // namespace

Status WriteControl(const std::string& folder, std::string_view file, std::string_view value,
                    std::string_view property) {
  const std::string path = fmt::format("{}/{}", folder, file);
  auto fd = sys::Open(path, O_WRONLY);
  const Status status = fd.ok() ? sys::WriteAll(*fd, value) : fd.status();
  if (status.ok()) return status;
  if (ErrnoOf(status) == ENOENT)
    return Annotate(status, fmt::format("{}: this host's cgroups can't do it", property));
  return Annotate(status, fmt::format("{}: writing {:?} to {}", property, value, path));
}

StatusOr<std::string> ReadControl(const std::string& folder, std::string_view file) {
  return ReadFile(fmt::format("{}/{}", folder, file));
}

StatusOr<std::vector<pid_t>> ReadPids(const std::string& folder, bool recursive) {
  std::vector<pid_t> out;
  const std::vector<std::string> folders =
      recursive ? Descendants(folder) : std::vector<std::string>{folder};
  for (const std::string& each : folders) {
    auto text = ReadControl(each, "cgroup.procs");
    if (!text.ok()) {
      const int err = ErrnoOf(text.status());
      if (err == ENOENT || err == ENODEV) continue;
      // A threaded cgroup: the domain above it, which we read too, tells its processes.
      if (err == EOPNOTSUPP && recursive) continue;
      return text.status();
    }
    const char* at = text->data();
    const char* end = at + text->size();
    while (at < end) {
      pid_t pid = 0;
      const auto [next, error] = std::from_chars(at, end, pid);
      if (error == std::errc() && pid > 0) out.push_back(pid);
      at = next + 1;
    }
  }
  return out;
}

std::vector<std::string> Descendants(const std::string& folder) {
  std::vector<std::string> out;
  AppendDescendants(folder, &out);
  return out;
}

Status MakeCgroup(const std::string& mount_point, const std::string& path,
                  std::string* first_made) {
  for (size_t at = mount_point.size(); at != std::string::npos && at < path.size();) {
    at = path.find('/', at + 1);
    const std::string folder = path.substr(0, at);
    if (::mkdir(folder.c_str(), 0755) == 0) {
      if (first_made->empty()) *first_made = folder;
    } else if (errno != EEXIST) {
      return SysError(errno, "mkdir", folder);
    }
  }
  return OkStatus();
}

Status RemoveCgroup(const std::string& folder) {
  // Most have nothing below, and nobody left in them.
  if (::rmdir(folder.c_str()) == 0 || errno == ENOENT) return OkStatus();
  constexpr int kTries = 200;
  for (int attempt = 0;; ++attempt) {
    const std::vector<std::string> all = Descendants(folder);
    int err = 0;
    for (auto it = all.rbegin(); it != all.rend(); ++it)
      if (::rmdir(it->c_str()) < 0 && errno != ENOENT) err = errno;
    if (err == 0) return OkStatus();
    if (err != EBUSY || attempt == kTries) return SysError(err, "rmdir", folder);
    ::usleep(attempt < 20 ? 500 : 10'000);
  }
}

}  // namespace ocirun::cgroup
