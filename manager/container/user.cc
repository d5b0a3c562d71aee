// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include <charconv>
#include <optional>
#include <set>
#include <sstream>

#include "base/path.h"
#include "base/sys/file.h"
#include "manager/container/spec_builder.h"

namespace ocirun::container {
namespace {

constexpr size_t kMaxAccountFile = 4u << 20;

// The lines of a file of the image, cut at colons. A file that is not there has none.
StatusOr<std::vector<std::vector<std::string>>> ReadAccounts(const UniqueFd& rootfs,
                                                             const char* path) {
  std::vector<std::vector<std::string>> lines;
  // Not O_RDONLY alone: a pipe in its place would block.
  StatusOr<UniqueFd> file = OpenInRoot(rootfs, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file.ok()) return lines;
  ASSIGN_OR_RETURN(const struct stat info, sys::Stat(*file));
  if (!S_ISREG(info.st_mode)) return lines;
  ASSIGN_OR_RETURN(const std::string text, sys::ReadAll(*file, kMaxAccountFile));
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    std::vector<std::string> fields;
    std::istringstream cut(line);
    for (std::string field; std::getline(cut, field, ':');) fields.push_back(field);
    lines.push_back(std::move(fields));
  }
  return lines;
}

std::optional<uint32_t> Number(const std::string& text) {
  uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (text.empty() || result.ec != std::errc() || result.ptr != end || value > 0x7fffffff)
    return {};
  return value;
}

// Digits, with a sign or not, are an id and never a name: an image whose passwd file calls a root
// user "1000" would undo a policy that goes by the number (CVE-2016-3697, CVE-2026-46680).
bool LooksLikeNumber(const std::string& text) {
  const size_t first = text.find_first_not_of("+-");
  return first != std::string::npos &&
         text.find_first_not_of("0123456789", first) == std::string::npos;
}

struct Account {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string name;
};

StatusOr<Account> FindUser(const std::string& user, const UniqueFd& rootfs) {
  const auto number = Number(user);
  if (!number && LooksLikeNumber(user))
    return InvalidArgument("user {}: uids and gids must be in range 0-2147483647", user);
  ASSIGN_OR_RETURN(const auto lines, ReadAccounts(rootfs, "/etc/passwd"));
  for (const auto& fields : lines) {
    if (fields.size() < 4) continue;
    const auto uid = Number(fields[2]);
    const auto gid = Number(fields[3]);
    if (!uid || !gid) continue;
    if (number ? *number == *uid : fields[0] == user) {
      return Account{.uid = *uid, .gid = *gid, .name = fields[0]};
    }
  }
  if (number) return Account{.uid = *number};
  return NotFound("unable to find user {}: no matching entries in passwd file", user);
}

StatusOr<uint32_t> FindGroup(const std::string& group, const UniqueFd& rootfs) {
  if (const auto number = Number(group)) return *number;
  if (LooksLikeNumber(group))
    return InvalidArgument("group {}: uids and gids must be in range 0-2147483647", group);
  ASSIGN_OR_RETURN(const auto lines, ReadAccounts(rootfs, "/etc/group"));
  for (const auto& fields : lines) {
    if (fields.size() < 3 || fields[0] != group) continue;
    if (const auto gid = Number(fields[2])) return *gid;
  }
  return NotFound("unable to find group {}: no matching entries in group file", group);
}

// Groups that list `name` as a member.
StatusOr<std::set<uint32_t>> GroupsOf(const std::string& name, const UniqueFd& rootfs) {
  std::set<uint32_t> groups;
  ASSIGN_OR_RETURN(const auto lines, ReadAccounts(rootfs, "/etc/group"));
  for (const auto& fields : lines) {
    if (fields.size() < 4) continue;
    std::istringstream members(fields[3]);
    for (std::string member; std::getline(members, member, ',');) {
      const auto gid = Number(fields[2]);
      if (member == name && gid) groups.insert(*gid);
    }
  }
  return groups;
}

}  // namespace

StatusOr<Json> ResolveUser(const std::string& user, const std::vector<std::string>& extra_groups,
                           const UniqueFd& rootfs) {
  const size_t colon = user.find(':');
  const std::string name = user.substr(0, colon);
  ASSIGN_OR_RETURN(Account account, FindUser(name.empty() ? "0" : name, rootfs));
  std::set<uint32_t> groups;
  if (colon != std::string::npos) {
    ASSIGN_OR_RETURN(account.gid, FindGroup(user.substr(colon + 1), rootfs));
  } else if (!account.name.empty()) {
    ASSIGN_OR_RETURN(groups, GroupsOf(account.name, rootfs));
  }
  for (const std::string& group : extra_groups) {
    ASSIGN_OR_RETURN(const uint32_t gid, FindGroup(group, rootfs));
    groups.insert(gid);
  }
  groups.insert(account.gid);
  return Json{{"uid", account.uid}, {"gid", account.gid}, {"additionalGids", groups}};
}

}  // namespace ocirun::container
