// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <charconv>
#include <memory>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/text.h"
#include "ocirun/cli/cli.h"
#include "ocirun/cli/foreground.h"
#include "ocirun/container/lifecycle.h"

namespace ocirun::cli {
namespace {

struct ExecFlags {
  container::ExecOptions options;
  std::string process_file, cwd, user, apparmor, process_label;
  std::vector<std::string> env, caps, args, cgroups;
  std::vector<gid_t> groups;
  bool tty = false, detach = false, no_new_privs = false;
};

// "uid[:gid]", numbers: names are the manager's business.
Status ParseUser(const std::string& text, oci::User* user) {
  const char* end = text.data() + text.size();
  auto parsed = std::from_chars(text.data(), end, user->uid);
  if (parsed.ec == std::errc() && parsed.ptr != end && *parsed.ptr == ':')
    parsed = std::from_chars(parsed.ptr + 1, end, user->gid);
  if (parsed.ec != std::errc() || parsed.ptr != end)
    return InvalidArgument("--user {:?}: must be uid[:gid], as numbers", text);
  if (user->uid == oci::kNoId || user->gid == oci::kNoId)
    return InvalidArgument("--user {:?}: {} stands for no id", text, oci::kNoId);
  return OkStatus();
}

Status AddCapabilities(const std::vector<std::string>& names, oci::Process* process) {
  if (names.empty()) return OkStatus();
  if (!process->capabilities.has_value()) process->capabilities.emplace();
  for (const std::string& name : names) {
    if (oci::CapabilityBit(name) < 0)
      return InvalidArgument("--cap: unknown capability {:?}", name);
    for (auto* set : {&process->capabilities->bounding, &process->capabilities->effective,
                      &process->capabilities->permitted})
      set->push_back(name);
    // An ambient capability must be inheritable, so it is given to a container that knows the
    // notion.
    if (!process->capabilities->inheritable.empty()) {
      process->capabilities->inheritable.push_back(name);
      process->capabilities->ambient.push_back(name);
    }
  }
  return OkStatus();
}

// What a process.json does not say is as with the container's own process (as runc); what confines
// it above all.
void Inherit(const oci::Process& from, oci::Process* process) {
  if (!process->capabilities.has_value()) process->capabilities = from.capabilities;
  if (process->apparmor_profile.empty()) process->apparmor_profile = from.apparmor_profile;
  if (process->selinux_label.empty()) process->selinux_label = from.selinux_label;
  if (!process->oom_score_adj.has_value()) process->oom_score_adj = from.oom_score_adj;
  if (!process->scheduler.has_value()) process->scheduler = from.scheduler;
  if (!process->io_priority.has_value()) process->io_priority = from.io_priority;
  if (!process->exec_cpu_affinity.has_value()) process->exec_cpu_affinity = from.exec_cpu_affinity;
}

// The container's own process object with what the command line changes.
StatusOr<oci::Process> ProcessFromFlags(const oci::Spec& spec, const ExecFlags& flags) {
  if (!flags.process_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.process_file));
    ASSIGN_OR_RETURN(oci::Process process, oci::ParseProcess(text));
    Inherit(*spec.process, &process);
    return process;
  }
  if (flags.args.empty()) return InvalidArgument("exec args cannot be empty");
  oci::Process process = *spec.process;
  process.args = flags.args;
  process.terminal = flags.tty;
  process.console_size.reset();
  if (!flags.cwd.empty()) process.cwd = flags.cwd;
  process.env.insert(process.env.end(), flags.env.begin(), flags.env.end());
  if (!flags.user.empty()) RETURN_IF_ERROR(ParseUser(flags.user, &process.user));
  process.user.additional_gids.insert(process.user.additional_gids.end(), flags.groups.begin(),
                                      flags.groups.end());
  process.no_new_privileges = process.no_new_privileges || flags.no_new_privs;
  if (!flags.apparmor.empty()) process.apparmor_profile = flags.apparmor;
  if (!flags.process_label.empty()) process.selinux_label = flags.process_label;
  RETURN_IF_ERROR(AddCapabilities(flags.caps, &process));
  return process;
}

// "PATH" or "CONTROLLER[,CONTROLLER...]:PATH".
Status ReadSubCgroups(const std::vector<std::string>& texts,
                      std::map<std::string, std::string>* out) {
  for (const std::string& text : texts) {
    const size_t colon = text.find(':');
    if (colon == std::string::npos) {
      (*out)[""] = text;
      continue;
    }
    for (const std::string_view controller :
         SplitWords(std::string_view(text).substr(0, colon), ","))
      (*out)[std::string(controller)] = text.substr(colon + 1);
  }
  return OkStatus();
}

// A pipe, as of a shell's <(...), is empty once it was read.
bool CanBeReadOnce(const std::string& path) {
  const auto st = sys::StatPath(path);
  return st.ok() && !S_ISREG(st->st_mode);
}

StatusOr<int> Exec(const Global& global, const std::string& id, ExecFlags flags) {
  const container::Store store = global.store();
  RETURN_IF_ERROR(ReadSubCgroups(flags.cgroups, &flags.options.sub_cgroups));
  ASSIGN_OR_RETURN(
      container::ExecTarget target,
      container::OpenForExec(store, id,
                             !flags.process_file.empty() && CanBeReadOnce(flags.process_file)));
  ASSIGN_OR_RETURN(flags.options.process, ProcessFromFlags(target.container.spec, flags));
  RETURN_IF_ERROR(container::PrepareTracer(store, target, flags.options.process));
  if (!flags.detach) return ExecInForeground(store, std::move(target), flags.options);
  RETURN_IF_ERROR(container::Exec(store, std::move(target), flags.options).status());
  return 0;
}

}  // namespace

void DescribeExec(CliCommand* command) {
  auto flags = std::make_shared<ExecFlags>();
  command->Option("--console-socket", &flags->options.console_socket,
                  "path to an AF_UNIX socket which will receive the console's master");
  command->Option("--cwd", &flags->cwd, "current working directory in the container");
  command->List("-e,--env", &flags->env, "set environment variables");
  command->Flag("-t,--tty", &flags->tty, "allocate a pseudo-TTY");
  command->Option("-u,--user", &flags->user, "UID (format: <uid>[:<gid>])");
  const auto add_group = [flags](const std::string& value) -> Status {
    ASSIGN_OR_RETURN(const int64_t gid, ParseInt(value));
    if (gid < 0 || gid >= oci::kNoId) return InvalidArgument("must be a number of a group");
    flags->groups.push_back(static_cast<gid_t>(gid));
    return OkStatus();
  };
  command->Parsed("-g,--additional-gids", "gid", add_group, "additional gids");
  command->Option("-p,--process", &flags->process_file, "path to the process.json");
  command->Flag("-d,--detach", &flags->detach, "detach from the container's process");
  command->Option("--pid-file", &flags->options.pid_file,
                  "specify the file to write the process id to");
  command->Option("--pidfd-socket", &flags->options.pidfd_socket,
                  "path to an AF_UNIX socket which will receive a file descriptor referencing "
                  "the exec process");
  command->Option("--process-label", &flags->process_label,
                  "set the asm process label for the process commonly used with selinux");
  command->Option("--apparmor", &flags->apparmor, "set the apparmor profile for the process");
  command->List("--cgroup", &flags->cgroups,
                "run the process in an (existing) sub-cgroup(s). Format is "
                "[<controller>:]<cgroup>");
  command->Flag("--no-new-privs", &flags->no_new_privs,
                "set the no new privileges value for the process");
  command->List("-c,--cap", &flags->caps, "add a capability to the bounding set for the process");
  AddPreserveFds(command, &flags->options.preserve_fds);
  command->Flag("--ignore-paused", &flags->options.ignore_paused,
                "allow exec in a paused container");
  command->StopAtFirstWord();  // what follows the id is the process's
  command->run = [flags, command](const Global& global) {
    auto from = command->words().begin() + 1;
    if (from != command->words().end() && *from == "--") ++from;
    flags->args.assign(from, command->words().end());
    return Exec(global, command->container_id(), *flags);
  };
}

}  // namespace ocirun::cli
