// SPDX-License-Identifier: Apache-2.0
#include "shim/oom.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/text.h"
#include "ocirun/cgroup/files.h"
#include "ocirun/cgroup/host.h"
#include "ocirun/cgroup/manager.h"

namespace ocirun::shim {
namespace {

constexpr std::string_view kKill = "oom-kill:", kStats = "Memory cgroup stats for ";
constexpr std::string_view kLineEnd = "\\x0a";              // as /dev/kmsg writes it
constexpr std::string_view kKernelMemory = "kmem: usage ";  // v1, "540kB, limit ..."
constexpr size_t kMaxNumbers = 256;

std::string_view LastPart(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// What stands between two words of the line; empty when they do not.
std::string_view Between(std::string_view line, std::string_view from, std::string_view to) {
  const size_t begin = line.find(from);
  if (begin == std::string_view::npos) return {};
  const size_t end = line.find(to, begin + from.size());
  if (end == std::string_view::npos) return {};
  return line.substr(begin + from.size(), end - begin - from.size());
}

// The number that a text begins with; 0 for none.
uint64_t NumberAt(std::string_view text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

OomLog::OomLog(std::string_view memory_cgroup) : name_(LastPart(memory_cgroup)) {}

void OomLog::ReadNumber(std::string_view line) {
  const size_t blank = line.find(' ');
  if (blank == std::string_view::npos || memory_.size() >= kMaxNumbers) return;
  uint64_t number = 0;
  const auto parsed = std::from_chars(line.data() + blank + 1, line.data() + line.size(), number);
  if (parsed.ec == std::errc() && parsed.ptr == line.data() + line.size())
    memory_[std::string(line.substr(0, blank))] = number;
}

void OomLog::Read(std::string_view line) {
  if (line.starts_with(kStats)) {
    const auto kernel = memory_.find("kernel");
    const uint64_t bytes = kernel == memory_.end() ? 0 : kernel->second;
    memory_ = {{"kernel", bytes}};  // v1 told it before
    return;
  }
  if (line.starts_with(kKernelMemory)) {
    memory_["kernel"] = NumberAt(line.substr(kKernelMemory.size())) * 1024;
    return;
  }
  if (!line.starts_with(kKill)) {
    for (size_t at = 0; at < line.size();) {
      const size_t end = std::min(line.find(kLineEnd, at), line.size());
      ReadNumber(line.substr(at, end - at));
      at = end + kLineEnd.size();
    }
    return;
  }
  const auto memory = std::exchange(memory_, {});
  if (name_.empty() || LastPart(Between(line, ",task_memcg=", ",task=")) != name_) return;
  last_ = OomKill{.cgroup = std::string(Between(line, ",oom_memcg=", ",task_memcg=")),
                  .command = std::string(Between(line, ",task=", ",pid=")),
                  .memory = memory};
  last_->pid = static_cast<pid_t>(NumberAt(line.substr(line.rfind(",pid=") + 5)));
}

Json DescribeOomKill(const std::string& memory_cgroup) {
  const auto log = sys::Open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
  if (!log.ok()) return nullptr;
  OomLog kills(memory_cgroup);
  // A record a read, "priority,number,time,flags;text"; EPIPE: records were lost meanwhile.
  std::array<char, 8192> record;
  for (;;) {
    const ssize_t n =
        sys::RetryEintr([&] { return ::read(log->get(), record.data(), record.size()); });
    if (n < 0 && errno == EPIPE) continue;
    if (n <= 0) break;
    const std::string_view text(record.data(), static_cast<size_t>(n));
    const size_t begin = text.find(';');
    if (begin == std::string_view::npos) continue;
    kills.Read(text.substr(begin + 1, text.find('\n') - begin - 1));
  }
  if (!kills.last()) return nullptr;
  const OomKill& kill = *kills.last();
  const auto bytes = [&](const char* v2, const char* v1) {
    const auto found = kill.memory.find(kill.memory.count(v2) != 0 ? v2 : v1);
    return found == kill.memory.end() ? Json(nullptr) : Json(found->second);
  };
  return {{"cgroup", kill.cgroup},
          {"process", {{"pid", kill.pid}, {"command", kill.command}}},
          {"memory",
           {{"anon", bytes("anon", "rss")},
            {"file", bytes("file", "cache")},
            {"kernel", bytes("kernel", "kernel")}}}};
}

CgroupView CgroupsOf(pid_t pid) {
  const auto hierarchies = cgroup::HostHierarchies();
  const auto cgroups = ReadFile(fmt::format("/proc/{}/cgroup", pid));
  if (!hierarchies.ok() || !cgroups.ok()) return {};
  CgroupView out;
  for (const cgroup::Hierarchy& hierarchy : *hierarchies) {
    std::string name = hierarchy.mount_point.substr(hierarchy.mount_point.rfind('/') + 1);
    if (hierarchy.v2) name = hierarchies->size() == 1 ? "" : cgroup::kUnified;
    out[name] = hierarchy.mount_point + cgroup::OwnCgroup(*cgroups, hierarchy);
  }
  return out;
}

std::string MemoryFolder(const CgroupView& cgroups) {
  for (const auto& [name, folder] : cgroups)
    for (const std::string_view controller : SplitWords(name, ","))
      if (controller == "memory") return folder;
  for (const char* name : {"", cgroup::kUnified})
    if (const auto unified = cgroups.find(name); unified != cgroups.end()) return unified->second;
  return {};
}

bool WasOomKilled(const std::string& memory_cgroup) {
  for (const char* file : {"memory.oom_control", "memory.events"}) {
    const auto text = ReadFile(fmt::format("{}/{}", memory_cgroup, file));
    if (!text.ok()) continue;
    // Lines of "key number".
    for (size_t at = 0; at < text->size();) {
      const size_t end = std::min(text->find('\n', at), text->size());
      const std::string line = text->substr(at, end - at);
      if (line.rfind("oom_kill ", 0) == 0) return line != "oom_kill 0";
      at = end + 1;
    }
  }
  return false;
}

std::vector<pid_t> CgroupPids(const std::string& cgroup) {
  auto pids = cgroup::ReadPids(cgroup, true);
  return pids.ok() ? *pids : std::vector<pid_t>();
}

}  // namespace ocirun::shim
