// SPDX-License-Identifier: Apache-2.0
//
// A conversation with CRIU, through ocirun-criu (criu/translate.h). Both programs are children of
// the runtime: with rst_sibling the process that CRIU restores is one, too.
//
//   ocirun                          ocirun-criu                  criu swrk 3
//     |-- {"type":"VERSION", ...} ---->|-------- request ----------->|
//     |<-- {"version":31701, ...} -----|<------- response -----------|
//     |-- {"type":"RESTORE", ...} ---->|---------------------------->|
//     |<-- {"notify":{"script"}} + fd -|<----------------------------|  any number of times
//     |-- {"notify_success":true} ---->|---------------------------->|
//     |<-- {"success":true, ...} ------|<----------------------------|  criu ends
//
// Descriptors that a request names by number (images_dir_fd) are the runtime's, those of inherit_fd
// are CRIU's own.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "ocirun/cgroup/entry.h"

namespace ocirun::container {

// The number that the first of CriuSetup::inherited has in CRIU.
inline constexpr int kFirstInheritedFd = 4;

struct CriuSetup {
  std::string log_file;                    // where CRIU will say why it failed
  cgroup::Entry* cgroups = nullptr;        // to start in; nullptr: the runtime's own
  std::vector<const UniqueFd*> inherited;  // passed to CRIU
  bool share_stdio = false;                // what is restored gets ours; otherwise /dev/null
};

struct Notification {
  std::string script;  // "post-restore", ...: criu.org/Action_scripts
  pid_t pid = 0;       // of the container's init, for some
  UniqueFd fd;         // for orphan-pts-master
};
using OnNotify = std::function<Status(Notification)>;

// The program, in PATH. FailedPrecondition when it is not installed.
StatusOr<std::string> FindCriu();

class Criu {
 public:
  // FailedPrecondition when CRIU is not installed.
  static StatusOr<Criu> Start(const CriuSetup& setup);
  Criu(Criu&& other) noexcept;
  Criu& operator=(Criu&&) = delete;
  // Ends the conversation, upon which CRIU takes back what it did to the container, and waits.
  ~Criu();

  [[nodiscard]] pid_t pid() const { return criu_; }

  // 31701 for 3.17.1. FailedPrecondition below `least`.
  StatusOr<int> CheckVersion(int least);
  // FailedPrecondition when this CRIU on this kernel lacks "mem_track" or "lazy_pages".
  Status CheckFeature(const std::string& feature);
  // The last request. An error of `on_notify` makes CRIU give up, and is the result.
  StatusOr<Json> Run(const Json& request, const OnNotify& on_notify);

 private:
  Criu(std::string log_file, UniqueFd control, pid_t helper)
      : log_file_(std::move(log_file)), control_(std::move(control)), helper_(helper) {}
  StatusOr<Json> Ask(const Json& request, const OnNotify& on_notify);
  Status Answer(const Json& response, const OnNotify& on_notify, UniqueFd fd);
  Status Failure(const Json& response);
  int WaitForEnd();

  std::string log_file_;
  UniqueFd control_;
  pid_t helper_ = 0, criu_ = 0;  // 0: ended
};

}  // namespace ocirun::container
