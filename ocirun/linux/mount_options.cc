// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/mount_options.h"

#include <sys/mount.h>

#include <algorithm>
#include <charconv>

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

namespace ocirun::linux_ {
namespace {

// Options that are attributes of the mount. With a leading "r" they hold for the whole tree (rro).
constexpr struct {
  std::string_view name;
  uint64_t set, clear;
} kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
    // The access time attributes are one field of three values, so each clears the field first.
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
};

constexpr struct {
  std::string_view name;
  uint64_t flags;
} kPropagations[] = {
    {"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE | MS_REC},
    {"slave", MS_SLAVE},           {"rslave", MS_SLAVE | MS_REC},
    {"shared", MS_SHARED},         {"rshared", MS_SHARED | MS_REC},
    {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC},
};

// Ask for what is so anyway.
constexpr std::string_view kNoEffect[] = {"defaults", "async", "loud", "nomand", "noiversion"};
// Known to mount(8) and without a meaning for today's kernels: mandatory locks are gone (5.15),
// i_version is the filesystem's business, and a mount through fsconfig(2) logs nothing.
constexpr std::string_view kObsolete[] = {"mand", "silent", "iversion"};

template <typename List>
bool Contains(const List& list, std::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

void Apply(uint64_t set, uint64_t clear, uint64_t* all_set, uint64_t* all_clear) {
  *all_set = (*all_set & ~clear) | set;
  *all_clear = (*all_clear & ~set) | clear;
}

// Of the mount itself a kind of access time is chosen or not; to choose none of them ("atime",
// "norelatime") leaves what is there, as mount(8) does.
bool ParseAccessTime(std::string_view option, MountOptions* out) {
  if (option == "noatime") out->access_time = MOUNT_ATTR_NOATIME;
  if (option == "relatime") out->access_time = MOUNT_ATTR_RELATIME;
  if (option == "strictatime") out->access_time = MOUNT_ATTR_STRICTATIME;
  return option == "atime" || option == "norelatime" || option == "nostrictatime" ||
         option == "noatime" || option == "relatime" || option == "strictatime";
}

bool ParseAttribute(std::string_view option, MountOptions* out) {
  if (ParseAccessTime(option, out)) return true;
  for (const auto& attribute : kAttributes) {
    if (attribute.name == option) {
      Apply(attribute.set, attribute.clear, &out->set, &out->clear);
      return true;
    }
    if (option.substr(0, 1) == "r" && attribute.name == option.substr(1)) {
      Apply(attribute.set, attribute.clear, &out->recursive_set, &out->recursive_clear);
      return true;
    }
  }
  return false;
}

constexpr std::string_view kSpecial[] = {"bind",         "rbind",        "remount",
                                         "tmpcopyup",    "idmap",        "ridmap",
                                         "copy-symlink", "src-nofollow", "dest-nofollow"};
// The filesystem's own that all of them know.
constexpr std::string_view kSuperblockFlags[] = {"sync",       "dirsync", "lazytime",
                                                 "nolazytime", "acl",     "noacl"};

// "0-1000-10#@11-2000-1": id in the mounted filesystem, host id and length of each range; after an
// "@" the second is an id of the container.
Status ParseRanges(std::string_view text, std::vector<oci::IdMapping>* out,
                   std::vector<size_t>* relative) {
  while (!text.empty()) {
    std::string_view range = text.substr(0, text.find('#'));
    text.remove_prefix(std::min(range.size() + 1, text.size()));
    if (range.substr(0, 1) == "@") {
      relative->push_back(out->size());
      range.remove_prefix(1);
    }
    oci::IdMapping mapping;
    uint32_t* const fields[] = {&mapping.container_id, &mapping.host_id, &mapping.size};
    const char* at = range.data();
    const char* const end = at + range.size();
    for (uint32_t* field : fields) {
      const auto parsed = std::from_chars(at, end, *field);
      const bool last = field == &mapping.size;
      if (parsed.ec != std::errc() ||
          (last ? parsed.ptr != end : parsed.ptr == end || *parsed.ptr != '-'))
        return InvalidArgument("idmap: {:?} is not like 0-1000-1", range);
      at = parsed.ptr + (last ? 0 : 1);
    }
    out->push_back(mapping);
  }
  return OkStatus();
}

// "idmap", "ridmap", or crun's form with the mappings in place:
// "idmap=uids=0-1000-10;gids=0-1000-10".
Status ParseIdMap(std::string_view option, MountOptions* out) {
  const size_t equals = option.find('=');
  out->id_map = option[0] == 'r' ? IdMapScope::kTree : IdMapScope::kMount;
  if (equals == std::string_view::npos) return OkStatus();
  out->uid_mappings.clear();
  out->gid_mappings.clear();
  out->relative_uids.clear();
  out->relative_gids.clear();
  std::string_view rest = option.substr(equals + 1);
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find(';'));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    if (part.substr(0, 5) == "uids=") {
      RETURN_IF_ERROR(ParseRanges(part.substr(5), &out->uid_mappings, &out->relative_uids));
    } else if (part.substr(0, 5) == "gids=") {
      RETURN_IF_ERROR(ParseRanges(part.substr(5), &out->gid_mappings, &out->relative_gids));
    } else {
      return InvalidArgument("mount option {:?}: {:?} is neither uids= nor gids=", option, part);
    }
  }
  if (out->uid_mappings.empty() || out->gid_mappings.empty())
    return InvalidArgument("mount option {:?}: needs uids= and gids=", option);
  return OkStatus();
}

// True when the option was one of those that are neither attributes nor the filesystem's.
StatusOr<bool> ParseSpecial(const oci::Mount& mount, const std::string& option, MountOptions* out) {
  if (option == "bind" || option == "rbind") {
    out->bind = true;
    out->recursive_bind = out->recursive_bind || option == "rbind";
  } else if (option == "remount") {
    out->remount = true;
  } else if (option == "tmpcopyup") {
    if (mount.type != "tmpfs") return InvalidArgument("tmpcopyup needs a tmpfs");
    out->copy_up = true;
  } else if (option.rfind("idmap", 0) == 0 || option.rfind("ridmap", 0) == 0) {
    RETURN_IF_ERROR(ParseIdMap(option, out));
  } else if (option == "src-nofollow") {
    out->source_link = LinkHandling::kKeep;
  } else if (option == "copy-symlink") {
    out->source_link = LinkHandling::kCopy;
  } else if (option == "dest-nofollow") {
    out->target_link = LinkHandling::kKeep;
  } else {
    return false;
  }
  return true;
}

// A mount of a filesystem that is there can't change its options: the kernel ignores them. Those
// that mount(8) knows as flags go, and values ("mode=755", which the specification's own tests give
// to a bind mount) are to be warned of. Any other word is a mistake, and "noexce" would be no
// protection.
Status CheckSuperblockOptions(const oci::Mount& mount, MountOptions* options) {
  const bool cgroups = mount.type == "cgroup" || mount.type == "cgroup2";
  if (options->remount || (!options->bind && !cgroups)) return OkStatus();
  for (const std::string& option : options->superblock) {
    if (options->bind && option.find('=') != std::string::npos) {
      options->without_effect.push_back(option);
    } else if (!Contains(kSuperblockFlags, option)) {
      return InvalidArgument(
          "unknown option {:?}: {} mounts cannot have any filesystem-specific options", option,
          options->bind ? "bind" : "cgroup");
    }
  }
  options->superblock.clear();
  return OkStatus();
}

}  // namespace

StatusOr<MountOptions> ParseMountOptions(const oci::Mount& mount) {
  MountOptions out;
  out.uid_mappings = mount.uid_mappings;
  out.gid_mappings = mount.gid_mappings;
  if (!mount.uid_mappings.empty()) out.id_map = IdMapScope::kMount;
  for (const std::string& option : mount.options) {
    ASSIGN_OR_RETURN(const bool special, ParseSpecial(mount, option, &out));
    if (special) continue;
    const auto* propagation = std::find_if(std::begin(kPropagations), std::end(kPropagations),
                                           [&](const auto& p) { return p.name == option; });
    if (propagation != std::end(kPropagations)) {
      out.propagation.push_back(propagation->flags);
    } else if (Contains(kNoEffect, option) || Contains(kObsolete, option) || option.empty()) {
      continue;
    } else if (!ParseAttribute(option, &out)) {
      out.superblock.push_back(option);
    }
  }
  if (mount.type == "bind") out.bind = true;
  RETURN_IF_ERROR(CheckSuperblockOptions(mount, &out));
  if (out.id_map != IdMapScope::kNone && !out.bind)
    return InvalidArgument("an idmapped mount must be a bind mount");
  return out;
}

std::vector<std::string> KnownMountOptions() {
  std::vector<std::string> out(std::begin(kSpecial), std::end(kSpecial));
  out.insert(out.end(), std::begin(kSuperblockFlags), std::end(kSuperblockFlags));
  out.insert(out.end(), std::begin(kNoEffect), std::end(kNoEffect));
  out.insert(out.end(), std::begin(kObsolete), std::end(kObsolete));
  for (const auto& propagation : kPropagations) out.emplace_back(propagation.name);
  for (const auto& attribute : kAttributes) {
    out.emplace_back(attribute.name);
    out.push_back("r" + std::string(attribute.name));
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace ocirun::linux_
