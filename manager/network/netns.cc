// SPDX-License-Identifier: Apache-2.0
#include "manager/network/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include <thread>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/sys/mount.h"
#include "base/sys/process.h"
#include "manager/network/netlink.h"

namespace ocirun::network {
namespace {

// Of the namespace of the thread that looks.
constexpr const char* kDisableIpv6 = "/proc/sys/net/ipv6/conf/all/disable_ipv6";

// A thread that leaves its namespaces must not serve anything else afterwards.
Status OnOwnThread(const std::function<Status()>& work) {
  Status status;
  std::thread([&] { status = work(); }).join();
  return status;
}

}  // namespace

Status MakeNetNs(const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd file, sys::Open(path, O_RDONLY | O_CREAT | O_EXCL, 0444));
  Undo remove([&] { IgnoreError(RemoveNetNs(path), "half made"); });
  const auto make = [&]() -> Status {
    if (unshare(CLONE_NEWNET) != 0) return SysError(errno, "unshare", "a network namespace");
    RETURN_IF_ERROR(sys::Mount("/proc/thread-self/ns/net", path, "", MS_BIND, ""));
    // As Docker: no network has IPv6. Before there are interfaces, so that all take it over.
    if (PathExists(kDisableIpv6)) RETURN_IF_ERROR(WriteFile(kDisableIpv6, "1"));
    ASSIGN_OR_RETURN(const auto netlink, Netlink::Open());
    return netlink->SetUp("lo");
  };
  RETURN_IF_ERROR(OnOwnThread(make));
  remove.Release();
  return OkStatus();
}

Status RemoveNetNs(const std::string& path) {
  const Status unmounted = sys::Unmount(path, MNT_DETACH);
  const int err = ErrnoOf(unmounted);
  if (!unmounted.ok() && err != EINVAL && err != ENOENT) return unmounted;
  const Status unlinked = sys::Unlink(path);
  return ErrnoOf(unlinked) == ENOENT ? OkStatus() : unlinked;
}

Status InNetNs(const std::string& path, const std::function<Status()>& work) {
  ASSIGN_OR_RETURN(const UniqueFd ns, sys::Open(path, O_RDONLY));
  return OnOwnThread([&]() -> Status {
    RETURN_IF_ERROR(sys::SetNs(ns, CLONE_NEWNET));
    return work();
  });
}

}  // namespace ocirun::network
