// SPDX-License-Identifier: Apache-2.0
#include "manager/container/check.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/file.h"
#include "base/signal_names.h"
#include "manager/image/manifest.h"

namespace ocirun::container {
namespace {

using ocid::v1::ContainerConfig;
using ocid::v1::HostConfig;

constexpr int64_t kMinMemory = 6 << 20;
constexpr int64_t kBillion = 1'000'000'000;
constexpr unsigned kMaxNumber = 8192;  // more CPUs than Linux has

StatusOr<std::set<unsigned>> ReadNumberList(const std::string& path) {
  if (!PathExists(path)) return std::set<unsigned>{0};
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, 1u << 16));
  while (text.ends_with('\n')) text.pop_back();
  return ParseNumberList(text);
}

std::string FormatNumberList(const std::set<unsigned>& numbers) {
  std::string text;
  for (auto first = numbers.begin(); first != numbers.end();) {
    auto last = first;
    while (std::next(last) != numbers.end() && *std::next(last) == *last + 1) ++last;
    if (!text.empty()) text += ",";
    text += first == last ? std::to_string(*first) : fmt::format("{}-{}", *first, *last);
    first = std::next(last);
  }
  return text;
}

Status CheckRestart(const HostConfig& host) {
  const auto& policy = host.restart_policy();
  const std::string& name = policy.name();
  const bool none = name.empty() || name == "no";
  if (!none && name != "always" && name != "unless-stopped" && name != "on-failure") {
    return InvalidArgument("invalid restart policy '{}'", name);
  }
  if (policy.maximum_retry_count() != 0 && name != "on-failure") {
    return InvalidArgument("maximum retry count cannot be used with restart policy '{}'",
                           none ? "no" : name);
  }
  if (host.auto_remove() && !none) {
    return InvalidArgument("conflicting options: cannot specify both --restart and --rm");
  }
  return OkStatus();
}

Status CheckMemory(const HostConfig& host) {
  const int64_t memory = host.memory(), swap = host.memory_swap();
  const int64_t reservation = host.memory_reservation();
  if (memory != 0 && memory < kMinMemory) {
    return InvalidArgument("Minimum memory limit allowed is 6MB");
  }
  if (memory > 0 && swap > 0 && swap < memory) {
    return InvalidArgument(
        "Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  if (memory == 0 && swap > 0) {
    return InvalidArgument(
        "You should always set the Memory limit when using Memoryswap limit, see usage");
  }
  if (host.has_memory_swappiness() && host.memory_swappiness() > 100) {
    return InvalidArgument("Invalid value: {}, valid memory swappiness range is 0-100",
                           host.memory_swappiness());
  }
  if (reservation != 0 && reservation < kMinMemory) {
    return InvalidArgument("Minimum memory reservation allowed is 6MB");
  }
  if (memory > 0 && reservation > memory) {
    return InvalidArgument(
        "Minimum memory limit can not be less than memory reservation limit, see usage");
  }
  return OkStatus();
}

Status CheckCpuTime(const HostConfig& host, const HostFacts& facts) {
  const auto cpus = static_cast<int64_t>(facts.cpus.size());
  if (host.nano_cpus() > 0 && host.cpu_period() > 0) {
    return InvalidArgument("Conflicting options: Nano CPUs and CPU Period cannot both be set");
  }
  if (host.nano_cpus() > 0 && host.cpu_quota() > 0) {
    return InvalidArgument("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
  }
  if (host.nano_cpus() < 0 || host.nano_cpus() > cpus * kBillion) {
    return InvalidArgument(
        "range of CPUs is from 0.01 to {}.00, as there are only {} CPUs available", cpus, cpus);
  }
  if (host.cpu_period() != 0 && (host.cpu_period() < 1000 || host.cpu_period() > 1'000'000)) {
    return InvalidArgument(
        "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  }
  if (host.cpu_quota() > 0 && host.cpu_quota() < 1000) {
    return InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  }
  if (host.cpu_shares() != 0 && host.cpu_shares() < 2) {
    return InvalidArgument("the minimum allowed cpu-shares is 2");
  }
  if (host.cpu_shares() > 262144) {
    return InvalidArgument("the maximum allowed cpu-shares is 262144");
  }
  return OkStatus();
}

Status CheckCpuset(const std::string& text, const std::set<unsigned>& available, const char* option,
                   const char* what) {
  if (text.empty()) return OkStatus();
  const auto wanted = ParseNumberList(text);
  if (!wanted.ok()) return InvalidArgument("Invalid value {} for {}", text, option);
  if (std::includes(available.begin(), available.end(), wanted->begin(), wanted->end())) {
    return OkStatus();
  }
  return InvalidArgument("Requested {} are not available - requested {}, available: {}", what, text,
                         FormatNumberList(available));
}

Status CheckMountTargets(const HostConfig& host) {
  std::set<std::string> targets;
  for (const auto& mount : host.mounts()) {
    std::string target = std::filesystem::path(mount.target()).lexically_normal().string();
    if (target.size() > 1 && target.ends_with('/')) target.pop_back();
    if (!targets.insert(target).second) {
      return InvalidArgument("Duplicate mount point: {}", target);
    }
  }
  return OkStatus();
}

// A name of a host goes into /etc/hosts and into the kernel, which takes 64 bytes.
Status CheckHostName(const std::string& name) {
  constexpr size_t kLongest = 64;
  const bool clean = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return c > ' ' && c != 0x7f && c != '/' && c != '#';
  });
  if (clean && name.size() <= kLongest) return OkStatus();
  return InvalidArgument("invalid hostname format: {}", name);
}

Status CheckConfig(const ContainerConfig& config) {
  RETURN_IF_ERROR(CheckHostName(config.hostname()));
  RETURN_IF_ERROR(CheckHostName(config.domainname()));
  for (const std::string& word : config.env()) {
    if (word.empty() || word[0] == '=') {
      return InvalidArgument("invalid environment variable: {}", word);
    }
  }
  if (config.labels().contains("")) return InvalidArgument("invalid label: empty name");
  if (!config.working_dir().empty() && config.working_dir()[0] != '/') {
    return InvalidArgument("the working directory '{}' is invalid, it needs to be an absolute path",
                           config.working_dir());
  }
  for (const std::string& text : config.exposed_ports()) {
    uint16_t port = 0;
    const char* const end = text.data() + std::min(text.find('/'), text.size());
    const auto result = std::from_chars(text.data(), end, port);
    if (result.ec != std::errc() || result.ptr != end || port == 0) {
      return InvalidArgument("invalid port specification: \"{}\"", text);
    }
  }
  const std::string& signal = config.stop_signal();
  if (!signal.empty() && !ParseSignal(signal).ok()) {
    return InvalidArgument("Invalid signal: {}", signal);
  }
  return OkStatus();
}

}  // namespace

StatusOr<HostFacts> ReadHostFacts() {
  HostFacts facts;
  ASSIGN_OR_RETURN(facts.cpus, ReadNumberList("/sys/devices/system/cpu/online"));
  ASSIGN_OR_RETURN(facts.memory_nodes, ReadNumberList("/sys/devices/system/node/online"));
  facts.cgroup_v2 = PathExists("/sys/fs/cgroup/cgroup.controllers");
  return facts;
}

Status CheckNuls(const google::protobuf::Message& message) {
  using Field = google::protobuf::FieldDescriptor;
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const Field*> fields;
  reflection.ListFields(message, &fields);
  const auto check = [](const Field& field, const std::string& text) -> Status {
    if (text.find('\0') == std::string::npos) return OkStatus();
    return InvalidArgument("{}: a NUL is no character of a text", field.name());
  };
  for (const Field* field : fields) {
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      if (field->cpp_type() == Field::CPPTYPE_STRING) {
        RETURN_IF_ERROR(check(*field, field->is_repeated()
                                          ? reflection.GetRepeatedString(message, field, i)
                                          : reflection.GetString(message, field)));
      } else if (field->cpp_type() == Field::CPPTYPE_MESSAGE) {
        RETURN_IF_ERROR(CheckNuls(field->is_repeated()
                                      ? reflection.GetRepeatedMessage(message, field, i)
                                      : reflection.GetMessage(message, field)));
      }
    }
  }
  return OkStatus();
}

StatusOr<std::set<unsigned>> ParseNumberList(std::string_view text) {
  std::set<unsigned> numbers;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  const auto number = [&](unsigned* to) {
    const auto result = std::from_chars(at, end, *to);
    at = result.ptr;
    return result.ec == std::errc() && *to < kMaxNumber;
  };
  for (;;) {
    unsigned first = 0;
    if (!number(&first)) return InvalidArgument("not a list of numbers: {:?}", text);
    unsigned last = first;
    if (at != end && *at == '-') {
      ++at;
      if (!number(&last) || last < first) {
        return InvalidArgument("not a list of numbers: {:?}", text);
      }
    }
    for (unsigned n = first; n <= last; ++n) numbers.insert(n);
    if (at == end) return numbers;
    if (*at++ != ',') return InvalidArgument("not a list of numbers: {:?}", text);
  }
}

Status CheckRequest(const ocid::v1::CreateContainerRequest& request, const HostFacts& facts) {
  RETURN_IF_ERROR(CheckNuls(request));
  RETURN_IF_ERROR(CheckConfig(request.config()));
  const HostConfig& host = request.host_config();
  RETURN_IF_ERROR(CheckRestart(host));
  RETURN_IF_ERROR(CheckMemory(host));
  RETURN_IF_ERROR(CheckCpuTime(host, facts));
  RETURN_IF_ERROR(CheckCpuset(host.cpuset_cpus(), facts.cpus, "cpuset cpus", "CPUs"));
  RETURN_IF_ERROR(
      CheckCpuset(host.cpuset_mems(), facts.memory_nodes, "cpuset mems", "memory nodes"));
  RETURN_IF_ERROR(CheckMountTargets(host));
  if (host.oom_score_adj() < -1000 || host.oom_score_adj() > 1000) {
    return InvalidArgument("Invalid value {}, range for oom score adj is [-1000, 1000]",
                           host.oom_score_adj());
  }
  return OkStatus();
}

std::vector<std::string> AdaptToHost(const HostFacts& facts, HostConfig* host) {
  std::vector<std::string> warnings;
  // On v1 a cgroup namespace would hide what old programs look for, as Docker has it.
  if (host->cgroupns_mode().empty()) host->set_cgroupns_mode(facts.cgroup_v2 ? "private" : "host");
  if (!facts.cgroup_v2) return warnings;
  if (host->has_memory_swappiness()) {
    host->clear_memory_swappiness();
    warnings.emplace_back(
        "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. "
        "Memory swappiness discarded.");
  }
  if (host->oom_kill_disable()) {
    host->set_oom_kill_disable(false);
    warnings.emplace_back("Your kernel does not support OomKillDisable. OomKillDisable discarded.");
  }
  return warnings;
}

Status CheckPlatform(const std::string& wanted, const ocid::v1::Image& image,
                     const std::string& reference) {
  if (wanted.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const image::Platform platform, image::ParsePlatform(wanted));
  // The host's own variants run one another; what was pulled for it is good enough.
  if (platform.os == image.os() && platform.architecture == image.architecture()) {
    return OkStatus();
  }
  return InvalidArgument(
      "image with reference {} was found but does not match the specified platform: wanted {}, "
      "actual: {}/{}",
      reference, image::PlatformText(platform), image.os(), image.architecture());
}

}  // namespace ocirun::container
