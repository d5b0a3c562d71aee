// SPDX-License-Identifier: Apache-2.0
//
// How the runtime walks in a root file system that is somebody else's: not by what a test tries,
// but for every call that takes a path.
#include "ocirun/linux/mounts.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/path.h"
#include "base/sys/file.h"
#include "base/testing/own_mounts.h"
#include "base/testing/recorder.h"
#include "base/testing/temp_dir.h"
#include "ocirun/linux/console.h"
#include "ocirun/linux/devices.h"
#include "ocirun/linux/hide.h"

namespace ocirun::linux_ {
namespace {

using testing::Answer;
using testing::RecordedCall;

bool IsBelow(const std::string& path, const std::string& root) {
  return path.starts_with(root + "/");
}

// By this flag the call takes a link for itself; the others here never follow the last one.
bool FollowsLastLink(const RecordedCall& call) {
  const struct {
    const char* name;
    size_t argument;
    uint64_t flag;
  } kNoFollow[] = {{"openat", 2, O_NOFOLLOW},
                   {"newfstatat", 3, AT_SYMLINK_NOFOLLOW},
                   {"statx", 2, AT_SYMLINK_NOFOLLOW},
                   {"fchownat", 4, AT_SYMLINK_NOFOLLOW},
                   {"utimensat", 3, AT_SYMLINK_NOFOLLOW},
                   {"open_tree", 2, AT_SYMLINK_NOFOLLOW},
                   {"mount_setattr", 2, AT_SYMLINK_NOFOLLOW}};
  for (const auto& known : kNoFollow)
    if (call.name == known.name) return (call.args[known.argument] & known.flag) == 0;
  constexpr const char* kNever[] = {"mkdirat",  "mknodat",  "symlinkat", "readlinkat",
                                    "unlinkat", "renameat", "renameat2"};
  return std::none_of(std::begin(kNever), std::end(kNever),
                      [&](const char* name) { return call.name == name; });
}

// Whether the call can't be led out of the root, whatever its folders and links are turned into
// meanwhile.
bool StaysInside(const RecordedCall& call, const std::string& root) {
  for (const testing::NamedPath& path : testing::PathsOf(call)) {
    const bool is_absolute = path.name.starts_with('/');
    if (is_absolute && IsBelow(path.name, root)) return false;
    const bool in_root = path.folder == root || IsBelow(path.folder, root);
    // An object that is held, or a place of the host's.
    if (path.name.empty() || (is_absolute && call.name != "openat2")) continue;
    if (!in_root && !IsBelow(path.folder + "/" + path.name, root)) continue;
    if (call.name == "openat2") {
      const uint64_t resolve = call.ElementOf<open_how>(2, 0).resolve;
      if (!in_root || (resolve & (RESOLVE_IN_ROOT | RESOLVE_BENEATH)) == 0 ||
          (resolve & (RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS)) == 0)
        return false;
    } else if (path.name.find('/') != std::string::npos || path.name == ".." ||
               (path.name != "." && FollowsLastLink(call))) {
      return false;
    }
  }
  return true;
}

// A root file system in which every way leads over links: absolute ones, and ones that climb.
struct HostileRoot {
  testing::TempDir dir;
  std::string path = dir.path + "/root", source = dir.path + "/source";

  HostileRoot() {
    for (const std::string& folder :
         {path, source, path + "/real", path + "/dev", path + "/secret", path + "/full"})
      REQUIRE(sys::MakeDir(folder, 0755).ok());
    REQUIRE(WriteFile(dir.path + "/file", "text").ok());
    REQUIRE(WriteFile(path + "/real/key", "text").ok());
    REQUIRE(WriteFile(path + "/full/file", "text").ok());
    const auto link = [&](const char* to, const char* name) {
      REQUIRE(::symlink(to, (path + "/" + name).c_str()) == 0);
    };
    link("/real", "absolute");
    link("../../../real", "climbing");
    link("/absolute/new", "dangling");
    link("../nowhere/file", "dangling_file");
  }

  [[nodiscard]] oci::Spec Spec() const {
    oci::Spec spec;
    spec.mounts = {
        {.destination = "/absolute/a/b", .type = "bind", .source = source, .options = {"rbind"}},
        {.destination = "/climbing/c", .type = "bind", .source = source, .options = {"bind", "ro"}},
        {.destination = "/dangling", .type = "bind", .source = source, .options = {"rbind"}},
        {.destination = "/dangling_file", .source = dir.path + "/file", .options = {"bind"}},
        {.destination = "/absolute/../../../up/x",
         .source = dir.path + "/file",
         .options = {"bind"}},
        {.destination = "/climbing/tmp", .type = "tmpfs", .options = {"ro", "size=64k"}},
        {.destination = "/full", .type = "tmpfs", .options = {"tmpcopyup"}},
        {.destination = "/climbing/c", .options = {"remount", "bind", "nosuid"}}};
    spec.linux.devices = {
        {.type = 'c', .path = "/absolute/null", .major = 1, .minor = 3, .file_mode = 0600},
        {.type = 'p', .path = "/climbing/pipes/fifo"}};
    spec.linux.masked_paths = {"/secret", "/absolute/key", "/climbing/nothing"};
    spec.linux.readonly_paths = {"/absolute", "/climbing/key"};
    return spec;
  }
};

Status Furnish(const HostileRoot& hostile) {
  oci::Spec spec = hostile.Spec();
  // An ordinary user can't make it, nor is there one of the host's by that name to bind.
  if (::geteuid() != 0) spec.linux.devices.erase(spec.linux.devices.begin());
  RETURN_IF_ERROR(testing::EnterOwnMounts());
  ASSIGN_OR_RETURN(const UniqueFd root, sys::Open(hostile.path, O_PATH | O_DIRECTORY));
  const CgroupView no_cgroups;
  const std::string no_label;
  for (const oci::Mount& mount : spec.mounts)
    RETURN_IF_ERROR(
        Annotate(MountInRoot({root, no_cgroups, no_label}, mount, UniqueFd()), mount.destination));
  RETURN_IF_ERROR(MakeDevices(root, spec));
  ASSIGN_OR_RETURN(const UniqueFd terminal, sys::Open("/dev/null", O_RDWR));
  RETURN_IF_ERROR(MakeConsole(root, terminal));
  RETURN_IF_ERROR(FinishReadOnly(root, spec.mounts));
  HiddenPaths places(root, spec.mounts);
  RETURN_IF_ERROR(MakeReadOnly(&places, spec.linux.readonly_paths));
  return MaskPaths(&places, spec.linux.masked_paths);
}

// How many of the calls were of a path in the root.
size_t CheckEveryCall(const std::vector<Answer>& answers) {
  const HostileRoot hostile;
  const auto recording =
      testing::Record(testing::PathCalls(), [&] { return Furnish(hostile); }, answers);
  REQUIRE_MESSAGE(recording.ok(), MessageOf(recording.status()));
  CHECK_MESSAGE(recording->status.ok(), MessageOf(recording->status));
  size_t inside = 0;
  for (const RecordedCall& call : recording->calls) {
    CHECK_MESSAGE(StaysInside(call, hostile.path), testing::Describe(call));
    for (const testing::NamedPath& path : testing::PathsOf(call))
      inside += !path.name.empty() && (path.folder + "/").starts_with(hostile.path + "/") ? 1 : 0;
  }
  CHECK_FALSE(PathExists(hostile.dir.path + "/up"));
  CHECK_FALSE(PathExists(hostile.dir.path + "/nowhere"));
  return inside;
}

TEST_CASE("no path of the root file system is looked up but inside of it") {
  CHECK(CheckEveryCall({}) > 40);
}

TEST_CASE("nor on a kernel without openat2, where it is walked by single names") {
  CHECK(CheckEveryCall({{.name = "openat2", .err = ENOSYS}}) > 100);
}

TEST_CASE("nor on one without detached mounts") {
  std::vector<Answer> answers;
  for (const char* name : {"openat2", "fsopen", "fsconfig", "fsmount", "open_tree", "move_mount"})
    answers.push_back({.name = name, .err = ENOSYS});
  CHECK(CheckEveryCall(answers) > 100);
}

TEST_CASE("the rule finds what breaks it") {
  const HostileRoot hostile;
  const auto unsafe = [&](const std::function<Status(const UniqueFd&)>& look) {
    const auto recording = testing::Record(testing::PathCalls(), [&]() -> Status {
      ASSIGN_OR_RETURN(const UniqueFd root, sys::Open(hostile.path, O_PATH | O_DIRECTORY));
      return look(root);
    });
    REQUIRE(recording.ok());
    return std::count_if(
        recording->calls.begin(), recording->calls.end(),
        [&](const RecordedCall& call) { return !StaysInside(call, hostile.path); });
  };
  CHECK(unsafe([](const UniqueFd& root) { return OpenInRoot(root, "a/b", O_PATH).status(); }) == 0);
  CHECK(unsafe([&](const UniqueFd&) {
          return sys::Open(hostile.path + "/full", O_PATH).status();
        }) == 1);
  CHECK(unsafe([](const UniqueFd& root) {
          return sys::OpenAt(root, "full/file", O_PATH | O_NOFOLLOW).status();
        }) == 1);
  CHECK(unsafe([](const UniqueFd& root) { return sys::OpenAt(root, "full", O_PATH).status(); }) ==
        1);
  CHECK(unsafe([](const UniqueFd& root) {
          return OpenBelow(root, "full", O_PATH, RESOLVE_NO_XDEV).status();
        }) == 1);
  CHECK(unsafe([](const UniqueFd& root) { return sys::MakeDirAt(root, "..", 0755); }) == 1);
}

}  // namespace
}  // namespace ocirun::linux_
