// SPDX-License-Identifier: Apache-2.0
//
// state, list and ps: what the store and the cgroups know, as runc prints it.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/file.h"
#include "base/json.h"
#include "base/passwd.h"
#include "base/subprocess.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "ocirun/cli/cli.h"
#include "ocirun/container/lifecycle.h"

namespace ocirun::cli {
namespace {

using container::ContainerStatus;
using container::Record;

std::string OwnerName(uid_t uid) {
  const auto text = ReadFile("/etc/passwd");
  const auto entry = text.ok() ? FindPasswd(*text, uid) : std::nullopt;
  return entry.has_value() ? entry->name : fmt::format("#{}", uid);
}

OrderedJson Describe(const container::Store& store, const Record& record) {
  const ContainerStatus status = store.StatusOf(record);
  OrderedJson json = {{"ociVersion", record.oci_version},
                      {"id", record.id},
                      {"pid", status == ContainerStatus::kStopped ? 0 : record.init_pid},
                      {"status", container::StatusName(status)},
                      {"bundle", record.bundle},
                      {"rootfs", record.rootfs},
                      {"created", FormatRfc3339Nano(record.created)}};
  if (!record.annotations.empty()) json["annotations"] = record.annotations;
  json["owner"] = OwnerName(record.owner);
  return json;
}

std::string Table(const std::vector<OrderedJson>& containers) {
  std::vector<std::vector<std::string>> rows = {
      {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}};
  for (const OrderedJson& c : containers)
    rows.push_back({c["id"].get<std::string>(), std::to_string(c["pid"].get<int>()),
                    c["status"].get<std::string>(), c["bundle"].get<std::string>(),
                    c["created"].get<std::string>(), c["owner"].get<std::string>()});
  std::vector<size_t> widths(rows[0].size(), 11);  // as runc's table: 12 with its border
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string out;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i)
      out += i + 1 == row.size() ? row[i] : fmt::format("{:<{}} ", row[i], widths[i]);
    out += "\n";
  }
  return out;
}

StatusOr<int> List(const Global& global, const std::string& format, bool quiet) {
  const container::Store store = global.store();
  // The default folder comes with the first container; another one that is missing is a slip.
  if (global.root != DefaultRoot() && !PathExists(global.root))
    return SysError(ENOENT, "open", global.root);
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, store.List());
  std::vector<OrderedJson> containers;
  std::string names;
  for (const std::string& id : ids) {
    const auto record = store.Load(id);
    if (!record.ok()) continue;  // deleted meanwhile
    names += id + "\n";
    containers.push_back(Describe(store, *record));
  }
  if (quiet) {
    RETURN_IF_ERROR(Print(names));
  } else if (format == "json") {
    RETURN_IF_ERROR(Print(containers.empty() ? "null" : OrderedJson(containers).dump()));
  } else {
    RETURN_IF_ERROR(Print(Table(containers)));
  }
  return 0;
}

// The heading of ps(1)'s output and the lines of the given processes.
StatusOr<std::string> FilterPs(const std::string& output, const std::vector<pid_t>& pids) {
  std::string out;
  int pid_column = -1;
  for (size_t at = 0; at < output.size();) {
    const size_t end = std::min(output.find('\n', at), output.size());
    const std::string line = output.substr(at, end - at);
    at = end + 1;
    std::vector<std::string> words;
    for (size_t i = 0; i < line.size();) {
      const size_t begin = line.find_first_not_of(' ', i);
      if (begin == std::string::npos) break;
      i = std::min(line.find(' ', begin), line.size());
      words.push_back(line.substr(begin, i - begin));
    }
    if (pid_column < 0) {
      const auto pid = std::find(words.begin(), words.end(), "PID");
      if (pid == words.end()) return InvalidArgument("couldn't find PID field in ps output");
      pid_column = static_cast<int>(pid - words.begin());
      out += line + "\n";
      continue;
    }
    if (static_cast<int>(words.size()) <= pid_column) continue;
    const auto is_it = [&](pid_t pid) { return std::to_string(pid) == words[pid_column]; };
    if (std::any_of(pids.begin(), pids.end(), is_it)) out += line + "\n";
  }
  return out;
}

StatusOr<int> Ps(const Global& global, const std::string& id, const std::string& format,
                 const std::vector<std::string>& ps_args) {
  ASSIGN_OR_RETURN(const std::vector<pid_t> pids, container::Processes(global.store(), id));
  if (format == "json") {
    RETURN_IF_ERROR(Print(Json(pids).dump()));
    return 0;
  }
  // A line for every process of the host.
  Command ps{
      .path = "/bin/ps", .args = {"ps"}, .env = {"PATH=/usr/bin:/bin"}, .max_output = kMaxTextFile};
  if (ps_args.empty()) {
    ps.args.emplace_back("-ef");
  } else {
    ps.args.insert(ps.args.end(), ps_args.begin(), ps_args.end());
  }
  ASSIGN_OR_RETURN(const CommandResult result, RunCommand(ps));
  if (sys::ExitCodeOf(result.wait_status) != 0)
    return FailedPrecondition("ps failed: {}", result.error_output);
  ASSIGN_OR_RETURN(const std::string text, FilterPs(result.output, pids));
  RETURN_IF_ERROR(Print(text));
  return 0;
}

void AddFormat(CliCommand* command, std::string* format) {
  command->Choice("-f,--format", format, {"table", "json"}, "select one of: table or json");
}

// An ordinary user, also one who is root in a user namespace of his own, as below rootless Podman;
// but not the root of a container, which says so by USER (as runc).
bool IsUsersRuntimeDir() {
  if (::geteuid() != 0) return true;
  const char* user = std::getenv("USER");
  return !sys::IsHostRoot() && (user == nullptr || std::string_view(user) != "root");
}

}  // namespace

std::string DefaultRoot() {
  const char* runtime_dir = std::getenv("XDG_RUNTIME_DIR");
  if (runtime_dir != nullptr && *runtime_dir == '/' && IsUsersRuntimeDir())
    return fmt::format("{}/ocirun", runtime_dir);
  return "/run/ocirun";
}

Status Print(std::string_view text) {
  UniqueFd out(1);
  const Status status = sys::WriteAll(out, text);
  (void)out.Release();  // borrowed
  return status;
}

void DescribeState(CliCommand* command) {
  command->run = [command](const Global& global) -> StatusOr<int> {
    const container::Store store = global.store();
    ASSIGN_OR_RETURN(const Record record, store.Load(command->container_id()));
    RETURN_IF_ERROR(Print(Describe(store, record).dump(2)));
    return 0;
  };
}

void DescribeList(CliCommand* command) {
  struct Flags {
    std::string format = "table";
    bool quiet = false;
  };
  auto flags = std::make_shared<Flags>();
  AddFormat(command, &flags->format);
  command->Flag("-q,--quiet", &flags->quiet, "display only container IDs");
  command->run = [flags](const Global& global) {
    return List(global, flags->format, flags->quiet);
  };
}

void DescribePs(CliCommand* command) {
  auto format = std::make_shared<std::string>("table");
  AddFormat(command, format.get());
  command->StopAtFirstWord();  // what follows is ps's own
  command->run = [format, command](const Global& global) {
    const auto& words = command->words();
    return Ps(global, command->container_id(), *format, {words.begin() + 1, words.end()});
  };
}

}  // namespace ocirun::cli
