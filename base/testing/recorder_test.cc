// SPDX-License-Identifier: Apache-2.0
#include "base/testing/recorder.h"

#include <doctest/doctest.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <unistd.h>

#include <csignal>

#include "base/path.h"
#include "base/sys/file.h"
#include "base/sys/mount.h"

namespace ocirun::testing {
namespace {

TEST_CASE("calls are recorded in order, with what their arguments stand for") {
  const auto recording = Record({"openat", "openat2", "write", "chdir"}, []() -> Status {
    ASSIGN_OR_RETURN(const UniqueFd root, sys::Open("/proc", O_PATH | O_DIRECTORY));
    RETURN_IF_ERROR(OpenInRoot(root, "self/status", O_RDONLY).status());
    ASSIGN_OR_RETURN(const UniqueFd null, sys::Open("/dev/null", O_WRONLY));
    RETURN_IF_ERROR(sys::WriteAll(null, "some\0bytes"));
    return ::chdir("/nowhere") < 0 ? SysError(errno, "chdir", "/nowhere") : OkStatus();
  });
  REQUIRE_MESSAGE(recording.ok(), MessageOf(recording.status()));
  CHECK(ErrnoOf(recording->status) == ENOENT);
  CHECK(MessageOf(recording->status).starts_with("chdir /nowhere"));
  const std::vector<RecordedCall>& calls = recording->calls;
  REQUIRE(calls.size() == 6);  // the last is the recorder's own, of the result
  CHECK(calls[0].memory[1] == "/proc");
  CHECK(calls[1].name == "openat2");
  CHECK(calls[1].memory[0] == "/proc");
  CHECK(calls[1].memory[1] == "self/status");
  CHECK(calls[1].ElementOf<open_how>(2, 0).resolve == (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
  CHECK(calls[3].memory[0] == "/dev/null");
  CHECK(calls[3].memory[1] == "some");
  CHECK(calls[4].result == -ENOENT);
  CHECK(Describe(calls[4]).starts_with("chdir(\"/nowhere\""));
}

TEST_CASE("a call is answered without being done") {
  const auto recording =
      Record({"pivot_root", "umount2"},
             []() -> Status {
               RETURN_IF_ERROR(sys::PivotRoot("/nowhere", "/none"));  // it would fail
               return sys::Unmount("/", MNT_DETACH);
             },
             {{.name = "pivot_root"},
              {.name = "umount2", .err = EBUSY, .when = [](const RecordedCall& call) {
                 return call.args[1] == MNT_DETACH;
               }}});
  REQUIRE_MESSAGE(recording.ok(), MessageOf(recording.status()));
  REQUIRE(recording->calls.size() == 2);
  CHECK(recording->calls[0].memory[1] == "/none");
  CHECK(recording->calls[0].ok());
  CHECK(ErrnoOf(recording->status) == EBUSY);
}

TEST_CASE("what can't be recorded is an error") {
  CHECK_FALSE(Record({"no_such_call"}, [] { return OkStatus(); }).ok());
  const auto killed = Record({}, []() -> Status {
    ::raise(SIGKILL);
    return OkStatus();
  });
  CHECK_FALSE(killed.ok());
}

}  // namespace
}  // namespace ocirun::testing
