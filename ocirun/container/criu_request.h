// SPDX-License-Identifier: Apache-2.0
//
// What CRIU is asked for, as the JSON that ocirun-criu translates (criu/translate.h): the options
// of `checkpoint` and `restore`, and what of a container CRIU must be told to leave to us. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "ocirun/spec/spec.h"

namespace ocirun::container {

// As the command line of runc has them; each command uses those that it offers.
struct CriuOptions {
  std::string image_path;   // the checkpoint
  std::string work_path;    // of CRIU's logs; empty: image_path
  std::string parent_path;  // of the pre-dump before, relative to image_path
  bool leave_running = false, pre_dump = false, lazy_pages = false, auto_dedup = false;
  bool tcp_established = false, tcp_skip_in_flight = false, tcp_close = false;
  bool ext_unix_sk = false, shell_job = false, link_remap = false, file_locks = false;
  int status_fd = -1;
  std::string page_server;          // ADDRESS:PORT
  std::string manage_cgroups_mode;  // soft, full, strict or ignore
  std::vector<std::string> empty_ns;
  std::string lsm_profile, lsm_mount_context;
};

// The options that dump and restore share. InvalidArgument in runc's words.
StatusOr<Json> CommonOptions(const CriuOptions& options);
// The same with those that only one of them takes; both add the container's CRIU configuration
// file.
StatusOr<Json> DumpOptions(const CriuOptions& options, const oci::Spec& spec);
StatusOr<Json> RestoreOptions(const CriuOptions& options, const oci::Spec& spec);

// "extRootNetNS": how the image calls a namespace that is not the container's own.
std::string ExternalNamespaceKey(oci::NamespaceType type);
// "net[4026531840]:extRootNetNS"
std::string ExternalNamespace(oci::NamespaceType type, uint64_t inode);

// The mounts whose sources belong to the host: destination in config.json -> source. Bind mounts,
// and the bound cgroups (`cgroups` as Manager::View()) of a cgroup v1 mount.
using HostMounts = std::map<std::string, std::string>;
HostMounts FindHostMounts(const oci::Spec& spec, const std::map<std::string, std::string>& cgroups);

// {"key": ..., "val": ...}
Json ExternalMount(const std::string& key, const std::string& val);

// The pipes among what 0, 1 and 2 were when the container was made (descriptors.json of the image),
// which become what 0, 1 and 2 are now.
Json InheritedPipes(const std::vector<std::string>& descriptors);

// Why CRIU failed, from the text of its log: its first error, which those after it follow from.
// Empty when there is none.
std::string FirstError(std::string_view log);

}  // namespace ocirun::container
