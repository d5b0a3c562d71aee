// SPDX-License-Identifier: Apache-2.0
#include "ocirun/container/criu.h"

#include <cstdlib>
#include <utility>

#include "base/file.h"
#include "base/subprocess.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/sys/socket.h"
#include "ocirun/container/criu_request.h"
#include "ocirun/linux/exec_lookup.h"
#include "ocirun/linux/program.h"
#include "ocirun/log/log.h"

namespace ocirun::container {
namespace {

constexpr size_t kMaxMessage = 64 * 1024;

// A name that is no UTF-8 becomes one that does not exist, rather than an exception.
std::string Text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

StatusOr<std::string> FindCriu() {
  const char* path = std::getenv("PATH");
  const std::string folders = path != nullptr ? path : "/usr/sbin:/usr/bin:/sbin:/bin";
  auto found = linux_::FindExecutable("criu", {"PATH=" + folders});
  if (!found.ok())
    return FailedPrecondition(
        "criu is not installed, or not in PATH: it is what checkpoints and restores "
        "(Debian: apt install criu; https://criu.org/Installation)");
  return found;
}

namespace {

// What CRIU itself says to `criu check`: for when it gives up before it opens a log.
std::string CheckCriu() {
  const auto path = FindCriu();
  if (!path.ok()) return MessageOf(path.status());
  const auto checked = RunCommand({.path = *path, .args = {"criu", "check"}});
  return checked.ok() ? FirstError(checked->output + checked->error_output) : "";
}

}  // namespace

StatusOr<Criu> Criu::Start(const CriuSetup& setup) {
  ASSIGN_OR_RETURN(const std::string criu_path, FindCriu());
  ASSIGN_OR_RETURN(const std::string helper_path,
                   linux_::FindHelper("ocirun-criu", "checkpoint and restore"));
  // What an earlier run left there would be taken for the reason of this one.
  IgnoreError(sys::Unlink(setup.log_file), "mostly there is none");
  // CRIU looks for descriptors in the process that made this pair: here.
  ASSIGN_OR_RETURN(auto rpc, sys::SocketPair());
  ASSIGN_OR_RETURN(auto control, sys::SocketPair());
  auto helper = linux_::Spawn({.path = helper_path,
                               .args = {"ocirun-criu"},
                               .fds = {&control.second, &rpc.first},
                               .share_stdio = true});
  if (!helper.ok()) return Annotate(helper.status(), "ocirun-criu");
  Criu out(setup.log_file, std::move(control.first), *helper);
  // Each end is with one process, or nobody would see the other one's end.
  rpc.first.Reset();
  linux_::Program program{.path = criu_path,
                          .args = {"criu", "swrk", "3"},
                          .fds = {&rpc.second},
                          .share_stdio = setup.share_stdio};
  if (setup.cgroups != nullptr) {
    program.clone = [&] { return cgroup::CloneInto(setup.cgroups, 0); };
    program.prepare = [&] { return cgroup::Enter(*setup.cgroups); };
  }
  program.fds.insert(program.fds.end(), setup.inherited.begin(), setup.inherited.end());
  auto criu = linux_::Spawn(program);
  if (!criu.ok()) return Annotate(criu.status(), "criu");
  out.criu_ = *criu;
  return out;
}

Criu::Criu(Criu&& other) noexcept
    : log_file_(std::move(other.log_file_)),
      control_(std::move(other.control_)),
      helper_(std::exchange(other.helper_, 0)),
      criu_(std::exchange(other.criu_, 0)) {}

int Criu::WaitForEnd() {
  control_.Reset();
  if (helper_ > 0) IgnoreError(sys::WaitPid(std::exchange(helper_, 0)).status(), "it has ended");
  if (criu_ <= 0) return 0;
  const auto status = sys::WaitPid(std::exchange(criu_, 0));
  return status.ok() ? *status : 0;
}

// Not killed: it would leave the container's processes stopped.
Criu::~Criu() { WaitForEnd(); }

Status Criu::Failure(const Json& response) {
  WaitForEnd();  // its log is whole then
  const auto log = ReadFile(log_file_);
  std::string reason = log.ok() ? FirstError(*log) : "";
  const std::string seen = log.ok() ? fmt::format(" (log file: {})", log_file_) : "";
  if (reason.empty()) reason = response.value("error", "");
  if (reason.empty()) reason = CheckCriu();
  while (!reason.empty() && reason.back() == '\n') reason.pop_back();
  if (!reason.empty()) reason = ": " + reason;
  if (response.empty())
    return FailedPrecondition("criu failed: it ended without an answer{}{}", reason, seen);
  return FailedPrecondition("criu failed: type {} errno {}{}{}", response.value("type", ""),
                            response.value("errno", 0), reason, seen);
}

Status Criu::Answer(const Json& response, const OnNotify& on_notify, UniqueFd fd) {
  const Json notify = response.value("notify", Json::object());
  Notification notification{notify.value("script", ""), notify.value("pid", 0), std::move(fd)};
  Debug("criu: notify {}", notification.script);
  const Status status = on_notify(std::move(notification));
  RETURN_IF_ERROR(
      sys::Send(control_, Json{{"type", "NOTIFY"}, {"notify_success", status.ok()}}.dump()));
  return status;
}

StatusOr<Json> Criu::Ask(const Json& request, const OnNotify& on_notify) {
  Debug("criu: {}", Text(request));
  Status refused;
  const Status sent = sys::Send(control_, Text(request));
  if (!sent.ok() && ErrnoOf(sent) != EPIPE) return sent;
  for (;;) {
    UniqueFd fd;
    auto message = sys::ReceiveWithFd(control_, kMaxMessage, &fd);
    if (!message.ok() && ErrnoOf(message.status()) != ECONNRESET) return message.status();
    const bool ended = !message.ok() || message->empty();
    Json response = Json::object();
    if (!ended) {
      ASSIGN_OR_RETURN(response, ParseJson(*message));
    }
    if (ended || !response.value("success", false)) {
      const Status failed = Failure(response);
      return refused.ok() ? failed : refused;
    }
    if (response.value("type", "") != "NOTIFY") return response;
    const Status answered = Answer(response, on_notify, std::move(fd));
    if (refused.ok()) refused = answered;
  }
}

StatusOr<int> Criu::CheckVersion(int least) {
  ASSIGN_OR_RETURN(const Json response, Ask({{"type", "VERSION"}, {"keep_open", true}}, nullptr));
  const int version = response.value("version", 0);
  if (version < least)
    return FailedPrecondition("CRIU version {} must be {} or higher", version, least);
  return version;
}

Status Criu::CheckFeature(const std::string& feature) {
  ASSIGN_OR_RETURN(
      const Json response,
      Ask({{"type", "FEATURE_CHECK"}, {"keep_open", true}, {"features", {{feature, true}}}},
          nullptr));
  if (response.value("features", Json::object()).value(feature, false)) return OkStatus();
  return FailedPrecondition("criu is missing features: {}", feature);
}

StatusOr<Json> Criu::Run(const Json& request, const OnNotify& on_notify) {
  ASSIGN_OR_RETURN(const Json response, Ask(request, on_notify));
  const int ended = WaitForEnd();
  // After a pre-dump it waits for more, and is not pleased that there is none.
  if (ended != 0 && request.value("type", "") != "PRE_DUMP")
    return FailedPrecondition("criu failed: exit status {}", sys::ExitCodeOf(ended));
  return response;
}

}  // namespace ocirun::container
