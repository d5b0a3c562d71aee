// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/root.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mount.h>

#include "base/sys/file.h"
#include "base/testing/own_mounts.h"
#include "base/testing/recorder.h"
#include "base/testing/temp_dir.h"

namespace ocirun::linux_ {
namespace {

using testing::Answer;
using testing::RecordedCall;
using testing::Recording;
using testing::TempDir;

std::vector<std::string> NamesOf(const Recording& recording) {
  std::vector<std::string> names;
  for (const RecordedCall& call : recording.calls) names.push_back(call.name);
  return names;
}

// The calls of ChangeRoot() that change something. None is done: the root stays the test's.
Recording RecordChange(RootChange how, const std::string& propagation,
                       const std::vector<Answer>& first = {}) {
  const TempDir root;
  std::vector<Answer> answers = {{.name = "setns"},   {.name = "pivot_root"},
                                 {.name = "umount2"}, {.name = "mount"},
                                 {.name = "chroot"},  {.name = "mount_setattr"}};
  answers.insert(answers.end(), first.begin(), first.end());
  const auto recording = testing::Record(
      {"setns", "fchdir", "pivot_root", "umount2", "mount", "chroot", "chdir", "mount_setattr"},
      [&]() -> Status {
        ASSIGN_OR_RETURN(const UniqueFd fd, sys::Open(root.path, O_PATH | O_DIRECTORY));
        return ChangeRoot(fd, how, propagation);
      },
      answers);
  REQUIRE_MESSAGE(recording.ok(), MessageOf(recording.status()));
  return *recording;
}

TEST_CASE("the old root is detached at once, from below the new one") {
  const Recording recording = RecordChange(RootChange::kPivot, "rshared");
  CHECK(recording.status.ok());
  REQUIRE(NamesOf(recording) ==
          std::vector<std::string>{"setns", "fchdir", "pivot_root", "umount2", "chdir", "mount"});
  const std::vector<RecordedCall>& calls = recording.calls;
  CHECK(calls[1].memory[0].starts_with("/tmp/ocirun-test."));
  CHECK(calls[2].memory[0] == ".");
  CHECK(calls[2].memory[1] == ".");
  CHECK(calls[3].memory[0] == ".");
  CHECK(calls[3].args[1] == MNT_DETACH);
  CHECK(calls[4].memory[0] == "/");
  CHECK(calls[5].memory[1] == "/");
  CHECK(calls[5].args[3] == (MS_SHARED | MS_REC));
}

TEST_CASE("what was not exchanged is not detached, and what is not detached ends the start") {
  const Recording no_pivot =
      RecordChange(RootChange::kPivot, "", {{.name = "pivot_root", .err = EINVAL}});
  CHECK(ErrnoOf(no_pivot.status) == EINVAL);
  CHECK(NamesOf(no_pivot) == std::vector<std::string>{"setns", "fchdir", "pivot_root"});
  const Recording no_detach =
      RecordChange(RootChange::kPivot, "", {{.name = "umount2", .err = EBUSY}});
  CHECK(ErrnoOf(no_detach.status) == EBUSY);
  CHECK(NamesOf(no_detach).back() == "umount2");
}

TEST_CASE("without pivot_root the host's procfs and sysfs go before the root moves") {
  const Recording recording = RecordChange(RootChange::kMove, "private");
  CHECK(recording.status.ok());
  const std::vector<RecordedCall>& calls = recording.calls;
  size_t moved = 0;
  while (moved < calls.size() && (calls[moved].name != "mount" || calls[moved].args[3] != MS_MOVE))
    ++moved;
  REQUIRE(moved + 3 < calls.size());
  size_t hidden = 0;
  for (size_t i = 0; i < moved; ++i)
    hidden += calls[i].name == "umount2" && calls[i].memory[0] == "/proc" ? 1 : 0;
  CHECK(hidden == 1);
  CHECK(calls[moved].memory[0] == ".");
  CHECK(calls[moved].memory[1] == "/");
  CHECK(calls[moved + 1].name == "chroot");
  CHECK(calls[moved + 2].name == "chdir");
  CHECK(calls[moved + 3].args[3] == MS_PRIVATE);
}

TEST_CASE("a procfs of the host that can't be unmounted is covered before the root moves") {
  const Recording recording =
      RecordChange(RootChange::kMove, "", {{.name = "umount2", .err = EINVAL}});
  CHECK(recording.status.ok());
  bool is_covered = false;
  for (const RecordedCall& call : recording.calls) {
    if (call.name == "chroot") break;
    is_covered = is_covered || (call.name == "mount" && call.memory[1] == "/proc" &&
                                call.memory[2] == "tmpfs" && call.args[3] == MS_RDONLY);
  }
  CHECK(is_covered);
}

TEST_CASE("in the host's mount namespace no mount of the host is touched") {
  const Recording recording = RecordChange(RootChange::kChroot, "rshared");
  CHECK(recording.status.ok());
  CHECK(NamesOf(recording) == std::vector<std::string>{"fchdir", "chroot", "chdir"});
}

oci::Spec SpecOf(const std::string& root, const std::string& propagation) {
  oci::Spec spec;
  spec.root.path = root;
  spec.linux.rootfs_propagation = propagation;
  spec.linux.namespaces = {{oci::NamespaceType::kMount, ""}};
  return spec;
}

// Really done, in a mount namespace of the child's own.
Recording RecordPreparation(const oci::Spec& spec, const std::vector<Answer>& answers = {}) {
  const auto recording = testing::Record(
      {"mount_setattr", "mount", "open_tree", "move_mount", "unshare"},
      [&]() -> Status {
        RETURN_IF_ERROR(testing::EnterOwnMounts());
        return PrepareRoot(spec).status();
      },
      answers);
  REQUIRE_MESSAGE(recording.ok(), MessageOf(recording.status()));
  REQUIRE_MESSAGE(recording->status.ok(), MessageOf(recording->status));
  return *recording;
}

TEST_CASE("all mounts leave their peers before the first one is made") {
  const TempDir root;
  for (const auto& [name, propagation] : {std::pair<const char*, uint64_t>{"", MS_SLAVE},
                                          {"rslave", MS_SLAVE},
                                          {"rshared", MS_SLAVE},
                                          {"rprivate", MS_PRIVATE},
                                          {"unbindable", MS_PRIVATE}}) {
    CAPTURE(name);
    const Recording recording = RecordPreparation(SpecOf(root.path, name));
    // unshare and mount are the test's own.
    REQUIRE(NamesOf(recording) == std::vector<std::string>{"unshare", "mount", "mount_setattr",
                                                           "open_tree", "move_mount"});
    const RecordedCall& leave = recording.calls[2];
    CHECK(leave.memory[0] == "/");
    CHECK(leave.args[2] == (AT_RECURSIVE | AT_EMPTY_PATH));
    CHECK(leave.ElementOf<mount_attr>(3, 0).propagation == propagation);
    CHECK(recording.calls[4].memory[2] == root.path);
  }
}

TEST_CASE("a kernel without mount_setattr is asked the same by mount(2)") {
  const TempDir root;
  const Recording recording =
      RecordPreparation(SpecOf(root.path, ""), {{.name = "mount_setattr", .err = ENOSYS}});
  const RecordedCall& leave = recording.calls.at(3);
  CHECK(leave.name == "mount");
  CHECK(leave.memory[1].starts_with("/proc/self/fd/"));
  CHECK(leave.args[3] == (MS_SLAVE | MS_REC));
  CHECK(recording.calls.at(4).name == "open_tree");
}

TEST_CASE("a tree that can't leave its peers is not mounted in") {
  const TempDir root;
  const auto recording =
      testing::Record({"mount_setattr", "open_tree", "move_mount"},
                      [&] { return PrepareRoot(SpecOf(root.path, "")).status(); },
                      {{.name = "mount_setattr", .err = EINVAL}});
  REQUIRE(recording.ok());
  CHECK(ErrnoOf(recording->status) == EINVAL);
  CHECK(NamesOf(*recording) == std::vector<std::string>{"mount_setattr"});
}

}  // namespace
}  // namespace ocirun::linux_
