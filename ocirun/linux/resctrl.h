// SPDX-License-Identifier: Apache-2.0
//
// Intel Resource Director Technology through the resctrl filesystem (kernel:
// filesystems/resctrl.rst).
//
//   <mount>/schemata               the default class of service
//   <mount>/<closID>/              a class: made by us unless it was there
//     schemata  tasks
//     mon_groups/<container>/      counters of this container alone
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

// What was made for one container, so that delete can undo it. Empty paths: nothing.
struct RdtGroup {
  std::string class_folder;    // to be removed with the container
  std::string monitor_folder;  // the same
};

// The place of the resctrl filesystem in the text of /proc/self/mountinfo; NotFound when there is
// none.
StatusOr<std::string> FindResctrl(std::string_view mountinfo);

// Makes the class and writes its schemata. Without a closID the container's id is the class, and it
// goes with the container; a class that config.json names stays, since others may share it, and if
// it existed its schemata must agree. On failure nothing that was made is left.
StatusOr<RdtGroup> MakeRdtGroup(const std::string& resctrl, const oci::IntelRdt& config,
                                const std::string& id);
// Writes the schemata of a class that exists.
Status WriteSchemata(const std::string& resctrl, const oci::IntelRdt& config,
                     const std::string& id);
// The lines of the class's schemata, as the kernel shows them.
StatusOr<std::vector<std::string>> SchemataLines(const std::string& resctrl,
                                                 const oci::IntelRdt& config,
                                                 const std::string& id);
// Where the container is counted: by itself with enableMonitoring, else with its class.
std::string CountedFolder(const std::string& resctrl, const oci::IntelRdt& config,
                          const std::string& id);
// Moves a process into the class, and its counters.
Status EnterRdtGroup(const std::string& resctrl, const oci::IntelRdt& config, const std::string& id,
                     pid_t pid);
// Fine when the folders are gone.
Status RemoveRdtGroup(const RdtGroup& group);

}  // namespace ocirun::linux_
