// SPDX-License-Identifier: Apache-2.0
//
// The operations on a container (runtime.md#lifecycle), one .cc each. All run in the runtime's own
// process, which has one thread, and hold the container's lock.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/sys/process.h"
#include "ocirun/cgroup/manager.h"
#include "ocirun/container/state.h"
#include "ocirun/linux/root.h"

namespace ocirun::container {

// Whether this build has `checkpoint` and `restore`.
inline constexpr bool kHasCheckpoint = true;

// What the error of a process that did not come to be begins with, as runc's does.
inline constexpr const char* kNotStarted = "unable to start container process";

struct CreateOptions {
  std::string id, bundle;      // bundle: absolute
  std::string config_file;     // empty: the bundle's config.json
  std::string console_socket;  // empty: none
  std::string pid_file, pidfd_socket;
  linux_::RootChange root_change = linux_::RootChange::kPivot;
  bool new_keyring = true;
  bool tolerate_cgroups = false;  // go on without the cgroups that the caller may not make
  cgroup::Driver cgroup_driver = cgroup::Driver::kCgroupfs;
  int preserve_fds = 0;
};

// What is to become a container, read and validated once.
struct Bundle {
  std::string text;  // config.json as it stands there
  oci::Spec spec;
};
// Here, before anything is made, the runtime may execute itself again, once (linux/self_exe.h,
// HideSelf).
StatusOr<Bundle> ReadBundle(const CreateOptions& options);

// Makes the container up to the point where only `Start` is missing. When it fails nothing is left.
// Returns the record; the process is a child of the caller.
StatusOr<Record> Create(const Store& store, CreateOptions options, Bundle bundle);

// Who is told of a process that was made.
struct Handover {
  std::string pid_file;      // its number is written there; empty: none
  std::string pidfd_socket;  // a pidfd is sent there; empty: none
};
Status HandOver(const Handover& to, pid_t pid);

// Lets the command run, and with NOTIFY_SOCKET in the environment waits until it says that it is
// ready, or has ended (container/environment.h).
Status StartAndWaitReady(const Store& store, const std::string& id);
// Lets the command run. The error is what kept it from being executed; the container is then
// stopped. After a startContainer or poststart hook that failed it is destroyed, and its poststop
// hooks have run (runtime.md#lifecycle, steps 7 and 9).
Status Start(const Store& store, const std::string& id);

struct ExecOptions {
  oci::Process process;
  std::string console_socket, pid_file, pidfd_socket;
  // A cgroup below the container's own to run in, by controller; "" is for all others.
  std::map<std::string, std::string> sub_cgroups;
  int preserve_fds = 0;
  bool ignore_paused = false;
};

// A container as an exec finds it, and the lock (LockPart::kEntry) under which it was looked at.
struct ExecTarget {
  StoredContainer container;
  UniqueFd lock;
};
// These two come before anything else of an exec: in either the runtime may execute itself again,
// once (linux/self_exe.h, HideSelf). `for_good`: in the first of them, if ever, since the caller
// goes on to read what can be read once.
StatusOr<ExecTarget> OpenForExec(const Store& store, const std::string& id, bool for_good);
// Notes whether `process` may look at those that come after it.
Status PrepareTracer(const Store& store, const ExecTarget& target, const oci::Process& process);
// Runs one more process in the container; returns its id on the host. It is a child of the caller.
// What was loaded may be old: whether the container still runs is looked up under its lock.
StatusOr<pid_t> Exec(const Store& store, ExecTarget target, const ExecOptions& options);

// Mounts into a running container, all or none, from where the caller stands; and unmounts what is
// on the destinations. The working folder is lost by either, and after the first this process is in
// the container's mount namespace.
Status AddMounts(const Store& store, const std::string& id, const std::vector<oci::Mount>& mounts);
Status RemoveMounts(const Store& store, const std::string& id,
                    const std::vector<oci::Mount>& mounts);

enum class KillScope { kInit, kAll };
Status Kill(const Store& store, const std::string& id, int signal, KillScope scope);

enum class DeleteMode { kStopped, kForce };
// Removes what is left of a container; kForce kills it first and is fine when there is none. One
// that is only created is killed in either mode, as runc does.
Status Delete(const Store& store, const std::string& id, DeleteMode mode);

// Kills what still runs, removes what is left and runs the poststop hooks. The caller holds the
// container's lock.
Status Destroy(const Store& store, const Record& record);

struct Changes {
  oci::Resources resources;  // devices stay as they are
  std::string l3_cache_schema, mem_bw_schema;
};
// Changes limits of a container that has not stopped, all or none.
Status Update(const Store& store, const std::string& id, const Changes& changes);

Status Pause(const Store& store, const std::string& id);
Status Resume(const Store& store, const std::string& id);
StatusOr<std::vector<pid_t>> Processes(const Store& store, const std::string& id);

}  // namespace ocirun::container
