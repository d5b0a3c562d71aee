// SPDX-License-Identifier: Apache-2.0
//
// The container's cgroups, behind one interface that is chosen once: cgroup v1 (also hybrid: all
// controllers on v1) or cgroup v2, with the cgroupfs driver or systemd's, or none.
//
//   Create  makes the folders            Destroy  removes them, with what is below
//   Set, Update  write the limits        OpenEntry  the way in (entry.h)
//
// `cgroupsPath` of config.json: an absolute path is below the mount point, a relative or missing
// one (then the container's id) below the runtime's own cgroup, on v2 beside it. With systemd it is
// "slice:prefix:name" (systemd_unit.h).
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "ocirun/cgroup/entry.h"
#include "ocirun/cgroup/host.h"
#include "ocirun/cgroup/statistics.h"
#include "ocirun/spec/spec.h"

namespace ocirun::cgroup {

// The name in View() of the cgroup v2 that a hybrid host has beside its v1 hierarchies.
inline constexpr char kUnified[] = "unified";

// Whether this build speaks to systemd (--systemd-cgroup).
inline constexpr bool kHasSystemdDriver = true;

// Who makes a container's cgroup: the runtime, systemd, nobody.
enum class Driver { kCgroupfs, kSystemd, kDisabled };

// A scope of systemd's, which has the container's cgroup. Without a name there is none.
struct SystemdUnit {
  std::string name;  // "ocirun-web.scope"
  std::string bus;   // the address of the user's bus; empty: the system's
};

class Manager {
 public:
  virtual ~Manager() = default;

  // Makes the cgroups. FailedPrecondition when one exists and holds processes or is frozen. On
  // failure nothing that this call made is left.
  virtual Status Create() = 0;
  // Writes the limits. What the kernel refuses names the file and the value; a controller that the
  // host lacks is an error only if the configuration asks for it.
  virtual Status Set(const oci::Resources& resources) = 0;
  // Changes limits of a container that exists, all or none: what was written before a failure is
  // put back. Devices stay as they are. `tell` hears of it when the kernel has taken them; as it
  // may have them written by somebody else, less exactly, they are then written again.
  using Tell = std::function<Status()>;
  virtual Status Update(const oci::Resources& resources, const Tell& tell = nullptr) = 0;
  // To be called when the first process is in: what kept the cgroups for it goes.
  virtual Status Entered() { return OkStatus(); }
  // Gives the container's root (a user id of the host) the cgroup, so that it can make cgroups
  // below (cgroups(7), delegation). Only cgroup v2 is safe to hand on; elsewhere it does nothing.
  virtual Status Delegate(uid_t owner) = 0;
  [[nodiscard]] virtual Statistics ReadStatistics() const = 0;
  // The way into all cgroups of the container, opened in the runtime, whose rights count
  // (cgroups(7)). `below` names cgroups below the container's own to enter instead, by controller,
  // "" for all controllers that it does not name.
  using SubCgroups = std::map<std::string, std::string>;
  virtual StatusOr<Entry> OpenEntry(const SubCgroups& below) const = 0;
  // Every process of the container, also in cgroups that it made itself.
  virtual StatusOr<std::vector<pid_t>> Pids() const = 0;
  virtual Status SetFrozen(bool frozen) = 0;
  [[nodiscard]] virtual bool IsFrozen() const = 0;
  // Signals every process; none that is forked meanwhile escapes.
  virtual Status KillAll(int signal) = 0;
  // Removes the cgroups; fine when they are gone.
  virtual Status Destroy() = 0;
  // Folder name of each hierarchy -> the container's folder in it; on v2 one entry, "".
  [[nodiscard]] virtual std::map<std::string, std::string> View() const = 0;
  [[nodiscard]] virtual SystemdUnit Unit() const { return {}; }
};

// What to do about hierarchies that the caller may not write to: an ordinary user, or the root of a
// container, has none of his own unless they were handed to him. A limit that needs one is refused.
// The unified hierarchy of a hybrid host has no controllers, so that nothing which is asked for is
// missed without it.
enum class Tolerance { kNone, kSkipUnified, kSkipForbidden };

// `hierarchies` and `proc_cgroup` describe the host (FindHierarchies, /proc/self/cgroup). The path
// must not hold "..". Makes nothing yet.
StatusOr<std::unique_ptr<Manager>> NewManager(const std::vector<Hierarchy>& hierarchies,
                                              const std::string& proc_cgroup,
                                              const std::string& cgroups_path,
                                              const std::string& id,
                                              Tolerance tolerance = Tolerance::kNone);
// The same for this host.
StatusOr<std::unique_ptr<Manager>> NewHostManager(const std::string& cgroups_path,
                                                  const std::string& id, Tolerance tolerance);
// The cgroups that the caller is in, named as Manager::View() names a container's: what a container
// without cgroups of its own is shown.
StatusOr<std::map<std::string, std::string>> CallersView();

// The same in a scope that systemd makes, which Create() asks for with the limits of `spec`.
// `user`: by the manager of the user, not of the system. FailedPrecondition when systemd does not
// run here.
StatusOr<std::unique_ptr<Manager>> NewSystemdManager(const oci::Spec& spec, const std::string& id,
                                                     bool user);
// No cgroup is made or entered, wherever cgroupsPath would have one. A limit is refused by name.
std::unique_ptr<Manager> NewDisabledManager();
// Which cgroup stands at each folder of a view: its inode, which no other cgroup gets as long as
// the machine runs (before Linux 5.5: for long). A name can be taken by another's cgroup when ours
// was removed from outside.
using Inodes = std::map<std::string, uint64_t>;
Inodes InodesOf(const std::map<std::string, std::string>& view);
// Has the folders that are another's by now bear the name of nothing, as the kernel names what is
// gone: nothing is read there, ended or removed. Returns their names in the view.
std::vector<std::string> DisownReplaced(const Inodes& made,
                                        std::map<std::string, std::string>* view);

// For a container that exists: what View() and Unit() told when it was made. Without the unit it is
// good for everything but Update(), Destroy(), and OpenEntry() by an ordinary user.
std::unique_ptr<Manager> ExistingManager(const std::map<std::string, std::string>& view,
                                         const SystemdUnit& unit = {});

}  // namespace ocirun::cgroup
