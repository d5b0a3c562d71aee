// SPDX-License-Identifier: Apache-2.0
#include <sched.h>

#include <algorithm>

#include "ocirun/spec/fields.h"

namespace ocirun::oci {
namespace {

// sched(7); linux/sched.h can't be included beside sched.h.
constexpr NamedNumber kPolicies[] = {{"SCHED_OTHER", 0},   {"SCHED_FIFO", 1}, {"SCHED_RR", 2},
                                     {"SCHED_BATCH", 3},   {"SCHED_ISO", 4},  {"SCHED_IDLE", 5},
                                     {"SCHED_DEADLINE", 6}};
constexpr uint64_t kFifo = 1, kRoundRobin = 2, kDeadline = 6;
constexpr NamedNumber kSchedulerFlags[] = {
    {"SCHED_FLAG_RESET_ON_FORK", 0x01}, {"SCHED_FLAG_RECLAIM", 0x02},
    {"SCHED_FLAG_DL_OVERRUN", 0x04},    {"SCHED_FLAG_KEEP_POLICY", 0x08},
    {"SCHED_FLAG_KEEP_PARAMS", 0x10},   {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
    {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40}};
// linux/ioprio.h.
constexpr NamedNumber kIoClasses[] = {
    {"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}};

StatusOr<uint32_t> ParseId(const JsonView& view) {
  ASSIGN_OR_RETURN(const uint32_t id, view.UInt32());
  if (id == kNoId) return view.Bad("is the number that stands for no id");
  return id;
}

StatusOr<uint32_t> IdOrRoot(const JsonView& view, std::string_view key) {
  ASSIGN_OR_RETURN(const JsonView field, view.Get(key));
  return field.present() ? ParseId(field) : 0;
}

StatusOr<User> ParseUser(const JsonView& view) {
  User user;
  ASSIGN_OR_RETURN(user.uid, IdOrRoot(view, "uid"));
  ASSIGN_OR_RETURN(user.gid, IdOrRoot(view, "gid"));
  ASSIGN_OR_RETURN(const auto umask, OptionalUInt32(view, "umask"));
  if (umask.has_value()) {
    if (*umask > 0777) return view.Get("umask")->Bad("must be at most 0777");
    user.umask = *umask;
  }
  RETURN_IF_ERROR(ReadList(view, "additionalGids", &user.additional_gids, ParseId));
  return user;
}

// Names that this runtime does not know go to `warnings`: a newer kernel's capability is not
// granted, which is the safe side.
StatusOr<Capabilities> ParseCapabilities(const JsonView& view, std::vector<std::string>* warnings) {
  Capabilities caps;
  const std::pair<std::string_view, std::vector<std::string>*> sets[] = {
      {"bounding", &caps.bounding},       {"effective", &caps.effective},
      {"inheritable", &caps.inheritable}, {"permitted", &caps.permitted},
      {"ambient", &caps.ambient},
  };
  for (const auto& [key, set] : sets) {
    ASSIGN_OR_RETURN(const JsonView list, view.Get(key));
    ASSIGN_OR_RETURN(const std::vector<JsonView> elements, list.Elements());
    for (const JsonView& element : elements) {
      ASSIGN_OR_RETURN(std::string name, element.String());
      if (CapabilityBit(name) >= 0) {
        set->push_back(std::move(name));
      } else {
        warnings->push_back(
            fmt::format("{}: unknown capability {:?} is not granted", element.path(), name));
      }
    }
  }
  // The kernel's rule (capset(2)).
  for (const std::string& name : caps.effective)
    if (std::find(caps.permitted.begin(), caps.permitted.end(), name) == caps.permitted.end())
      return view.Get("effective")->Bad(fmt::format("{} must be in \"permitted\", too", name));
  return caps;
}

StatusOr<Rlimit> ParseRlimit(const JsonView& view) {
  Rlimit limit;
  ASSIGN_OR_RETURN(const JsonView type, view.Get("type"));
  ASSIGN_OR_RETURN(limit.type, type.String());
  limit.resource = RlimitResource(limit.type);
  if (limit.resource < 0) return type.Bad(fmt::format("unknown resource limit {:?}", limit.type));
  ASSIGN_OR_RETURN(const JsonView soft, view.Get("soft"));
  ASSIGN_OR_RETURN(const JsonView hard, view.Get("hard"));
  ASSIGN_OR_RETURN(limit.soft, soft.UInt64());
  ASSIGN_OR_RETURN(limit.hard, hard.UInt64());
  if (limit.soft > limit.hard) return soft.Bad("must not be above the hard limit");
  return limit;
}

StatusOr<ConsoleSize> ParseConsoleSize(const JsonView& view) {
  ConsoleSize size;
  ASSIGN_OR_RETURN(const JsonView width, view.Get("width"));
  ASSIGN_OR_RETURN(const JsonView height, view.Get("height"));
  ASSIGN_OR_RETURN(size.width, UInt16(width));
  ASSIGN_OR_RETURN(size.height, UInt16(height));
  return size;
}

StatusOr<Scheduler> ParseScheduler(const JsonView& view) {
  Scheduler out;
  ASSIGN_OR_RETURN(const JsonView policy, view.Get("policy"));
  ASSIGN_OR_RETURN(const uint64_t number, NumberOf(policy, kPolicies, "scheduling policy"));
  out.policy = static_cast<uint32_t>(number);
  ASSIGN_OR_RETURN(const auto nice, OptionalInt64(view, "nice"));
  ASSIGN_OR_RETURN(const auto priority, OptionalInt64(view, "priority"));
  if (nice.value_or(0) < -20 || nice.value_or(0) > 19)
    return view.Get("nice")->Bad("must be from -20 to 19");
  if (priority.value_or(0) < 0 || priority.value_or(0) > 99)
    return view.Get("priority")->Bad("must be from 0 to 99");
  out.nice = static_cast<int32_t>(nice.value_or(0));
  out.priority = static_cast<int32_t>(priority.value_or(0));
  if (out.priority != 0 && out.policy != kFifo && out.policy != kRoundRobin)
    return view.Get("priority")
        ->Bad("scheduler.priority can only be specified for SchedFIFO or SchedRR policy");
  ASSIGN_OR_RETURN(out.flags, FlagsOf(view, "flags", kSchedulerFlags, "scheduler flag"));
  const std::pair<std::string_view, uint64_t*> times[] = {
      {"runtime", &out.runtime}, {"deadline", &out.deadline}, {"period", &out.period}};
  for (const auto& [key, time] : times) {
    ASSIGN_OR_RETURN(const auto value, OptionalUInt64(view, key));
    *time = value.value_or(0);
    if (*time != 0 && out.policy != kDeadline)
      return view.Get(key)->Bad(
          "scheduler runtime/deadline/period can only be specified for SchedDeadline policy");
  }
  return out;
}

StatusOr<IoPriority> ParseIoPriority(const JsonView& view) {
  IoPriority out;
  ASSIGN_OR_RETURN(const JsonView io_class, view.Get("class"));
  ASSIGN_OR_RETURN(const uint64_t number, NumberOf(io_class, kIoClasses, "I/O priority class"));
  out.io_class = static_cast<int>(number);
  ASSIGN_OR_RETURN(const auto priority, OptionalInt64(view, "priority"));
  if (priority.value_or(0) < 0 || priority.value_or(0) > 7)
    return view.Get("priority")->Bad("must be from 0 to 7");
  out.priority = static_cast<int>(priority.value_or(0));
  return out;
}

Status ReadNumberList(const JsonView& view, std::string_view key, std::vector<unsigned>* out) {
  ASSIGN_OR_RETURN(const std::string text, StringOr(view, key, ""));
  auto numbers = ParseNumberList(text);
  if (!numbers.ok()) return view.Get(key)->Bad(MessageOf(numbers.status()));
  *out = std::move(*numbers);
  return OkStatus();
}

StatusOr<CpuAffinity> ParseCpuAffinity(const JsonView& view) {
  CpuAffinity out;
  RETURN_IF_ERROR(ReadNumberList(view, "initial", &out.initial));
  RETURN_IF_ERROR(ReadNumberList(view, "final", &out.final));
  return out;
}

}  // namespace

StatusOr<Process> ParseProcessView(const JsonView& view, std::vector<std::string>* warnings) {
  Process process;
  RETURN_IF_ERROR(RefuseUnsupported(view, {"commandLine"}));
  ASSIGN_OR_RETURN(process.terminal, BoolOr(view, "terminal", false));
  ASSIGN_OR_RETURN(process.no_new_privileges, BoolOr(view, "noNewPrivileges", false));
  ASSIGN_OR_RETURN(process.env, StringsOf(view, "env"));
  ASSIGN_OR_RETURN(process.args, StringsOf(view, "args"));
  ASSIGN_OR_RETURN(const JsonView cwd, view.Get("cwd"));
  ASSIGN_OR_RETURN(process.cwd, cwd.String());
  if (process.cwd.empty() || process.cwd[0] != '/') return cwd.Bad("must be an absolute path");
  ASSIGN_OR_RETURN(const JsonView args, view.Get("args"));
  if (process.args.empty()) return args.Bad("must not be empty");
  RETURN_IF_ERROR(ReadInto(view, "consoleSize", &process.console_size, ParseConsoleSize));
  RETURN_IF_ERROR(ReadInto(view, "user", &process.user, ParseUser));
  RETURN_IF_ERROR(ReadInto(view, "capabilities", &process.capabilities,
                           [&](const JsonView& v) { return ParseCapabilities(v, warnings); }));
  RETURN_IF_ERROR(ReadInto(view, "scheduler", &process.scheduler, ParseScheduler));
  RETURN_IF_ERROR(ReadInto(view, "ioPriority", &process.io_priority, ParseIoPriority));
  RETURN_IF_ERROR(ReadInto(view, "execCPUAffinity", &process.exec_cpu_affinity, ParseCpuAffinity));
  ASSIGN_OR_RETURN(process.apparmor_profile, StringOr(view, "apparmorProfile", ""));
  ASSIGN_OR_RETURN(process.selinux_label, StringOr(view, "selinuxLabel", ""));
  RETURN_IF_ERROR(ReadList(view, "rlimits", &process.rlimits, ParseRlimit));
  for (size_t i = 0; i < process.rlimits.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (process.rlimits[i].resource == process.rlimits[j].resource)
        return view.Get("rlimits")->Bad(fmt::format("{} stands twice", process.rlimits[i].type));
  ASSIGN_OR_RETURN(const auto score, OptionalInt64(view, "oomScoreAdj"));
  if (score.has_value()) {
    if (*score < -1000 || *score > 1000)
      return view.Get("oomScoreAdj")->Bad("must be from -1000 to 1000");
    process.oom_score_adj = static_cast<int>(*score);
  }
  return process;
}

}  // namespace ocirun::oci
