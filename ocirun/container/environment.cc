// SPDX-License-Identifier: Apache-2.0
#include "ocirun/container/environment.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/sys/socket.h"
#include "base/text.h"

namespace ocirun::container {
namespace {

constexpr char kInContainer[] = "/run/notify";
constexpr int kFirstFd = 3;  // SD_LISTEN_FDS_START

int Number(const char* text) {
  int number = 0;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), number);
  return number;
}

// The last message, with a descriptor that the service manager closes when it has read all before
// (sd_notify_barrier(3)).
Status Barrier(const UniqueFd& host) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) return SysError(errno, "pipe");
  const UniqueFd ours(fds[0]);
  UniqueFd theirs(fds[1]);
  RETURN_IF_ERROR(sys::SendFd(host, theirs, "BARRIER=1"));
  theirs.Reset();
  pollfd closed{ours.get(), POLLHUP, 0};
  constexpr int kMilliseconds = 30'000;
  if (::poll(&closed, 1, kMilliseconds) == 0)
    return Error(StatusCode::kDeadlineExceeded, "the service manager does not answer");
  return OkStatus();
}

}  // namespace

int PassListenFds(oci::Process* process) {
  const int count = Number(std::getenv("LISTEN_FDS"));
  if (count <= 0 || Number(std::getenv("LISTEN_PID")) != ::getpid()) return 0;
  process->env.push_back(fmt::format("LISTEN_FDS={}", count));
  process->env.emplace_back("LISTEN_PID=1");  // as its own namespace numbers it
  if (const char* names = std::getenv("LISTEN_FDNAMES"))
    process->env.push_back(fmt::format("LISTEN_FDNAMES={}", names));
  return count;
}

Status CheckEnvironment(const std::vector<std::string>& env) {
  for (const std::string& entry : env) {
    const size_t equals = entry.find('=');
    if (equals == std::string::npos)
      return InvalidArgument("invalid environment variable: missing '=' in {:?}", entry);
    if (equals == 0)
      return InvalidArgument("invalid environment variable: name cannot be empty in {:?}", entry);
  }
  return OkStatus();
}

Status CheckPreservedFds(int n) {
  for (int fd = kFirstFd; fd < kFirstFd + n; ++fd) {
    // One that closes at exec did not come through ours: it is one that we opened since, where the
    // caller has left a hole.
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) != 0)
      return SysError(EBADF, "preserved descriptor", std::to_string(fd));
  }
  return OkStatus();
}

std::optional<NotifySocket> NotifySocket::FromEnvironment(const Store& store,
                                                          const std::string& id) {
  const char* host = std::getenv("NOTIFY_SOCKET");
  if (host == nullptr || *host == '\0') return std::nullopt;
  return NotifySocket(host, store.Folder(id) + "/notify");
}

void NotifySocket::AddTo(oci::Spec* spec) const {
  spec->mounts.push_back({.destination = kInContainer,
                          .type = "bind",
                          .source = folder_,
                          .options = {"bind", "nosuid", "noexec", "nodev", "ro"}});
  spec->process->env.push_back(fmt::format("NOTIFY_SOCKET={}/notify.sock", kInContainer));
}

Status NotifySocket::MakeFolder() const { return sys::MakeDir(folder_, 0755); }

Status NotifySocket::Listen() {
  const std::string path = folder_ + "/notify.sock";
  ASSIGN_OR_RETURN(socket_, sys::BindUnix(path, SOCK_DGRAM));
  // Whoever the container's process is may write to it.
  if (::chmod(path.c_str(), 0777) < 0) return SysError(errno, "chmod", path);
  return OkStatus();
}

StatusOr<bool> NotifySocket::Forward(pid_t init) const {
  ASSIGN_OR_RETURN(const std::string message, sys::Receive(socket_, 4096));
  for (const std::string_view line : SplitWords(message, "\n")) {
    if (line.rfind("READY=", 0) != 0) continue;
    ASSIGN_OR_RETURN(const UniqueFd host, sys::ConnectUnix(host_, SOCK_DGRAM));
    RETURN_IF_ERROR(sys::Send(host, std::string(line) + "\n"));
    RETURN_IF_ERROR(sys::Send(host, fmt::format("MAINPID={}\n", init)));
    RETURN_IF_ERROR(Barrier(host));
    return true;
  }
  return false;
}

Status NotifySocket::WaitReady(const ProcessHandle& init) const {
  for (;;) {
    std::vector<pollfd> fds = {{}, {socket_.get(), POLLIN, 0}};
    if (init.Poll(&fds, -1) < 0) return SysError(errno, "poll");
    if (fds[1].revents != 0) {
      ASSIGN_OR_RETURN(const bool ready, Forward(init.pid()));
      if (ready) return OkStatus();
    } else {
      return OkStatus();  // it ended without a word
    }
  }
}

}  // namespace ocirun::container
