// SPDX-License-Identifier: Apache-2.0
#include "ocirun/init/become.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys/file.h"
#include "base/testing/recorder.h"
#include "ocirun/linux/proc.h"

namespace ocirun::init {
namespace {

using testing::Answer;
using testing::RecordedCall;
using testing::Recording;

oci::Process ProcessOf(uid_t uid, gid_t gid, std::vector<gid_t> groups) {
  oci::Process process;
  process.user = {.uid = uid, .gid = gid, .additional_gids = std::move(groups)};
  process.capabilities = oci::Capabilities{.bounding = {"CAP_CHOWN", "CAP_KILL"},
                                           .effective = {"CAP_CHOWN"},
                                           .permitted = {"CAP_CHOWN", "CAP_KILL"}};
  return process;
}

std::optional<linux_::SeccompFilter> AllowAll() {
  const sock_filter allow{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  return linux_::SeccompFilter{
      .bpf = std::string(reinterpret_cast<const char*>(&allow), sizeof allow)};
}

bool IsPrctl(const RecordedCall& call, uint64_t option) {
  return call.name == "prctl" && call.args[0] == option;
}

// The calls by which a process becomes another; none is done, so this needs no privileges.
Recording RecordBecoming(const oci::Process& process, const std::vector<Answer>& first = {}) {
  std::vector<Answer> answers = {{.name = "setgroups"},
                                 {.name = "setresgid"},
                                 {.name = "setresuid"},
                                 {.name = "capset"},
                                 {.name = "fchown"},
                                 {.name = "seccomp"},
                                 {.name = "prctl", .when = [](const RecordedCall& call) {
                                    return call.args[0] != PR_CAPBSET_READ;
                                  }}};
  answers.insert(answers.end(), first.begin(), first.end());
  const auto recording = testing::Record(
      {"setgroups", "setresgid", "setresuid", "capset", "prctl", "seccomp", "umask"},
      [&]() -> Status {
        ASSIGN_OR_RETURN(const UniqueFd proc, linux_::OpenProc());
        return Become({process, AllowAll(), proc, UniqueFd()});
      },
      answers);
  REQUIRE_MESSAGE(recording.ok(), MessageOf(recording.status()));
  return *recording;
}

// What the calls do, one word each; questions and the bounding set, capability by capability, as
// one.
std::vector<std::string> StepsOf(const Recording& recording) {
  const struct {
    uint64_t option;
    const char* word;
  } kOptions[] = {{PR_CAPBSET_DROP, "bounding"},
                  {PR_SET_KEEPCAPS, "keepcaps"},
                  {PR_SET_NO_NEW_PRIVS, "no_new_privs"},
                  {PR_CAP_AMBIENT, "ambient"}};
  std::vector<std::string> steps;
  for (const RecordedCall& call : recording.calls) {
    std::string word = call.name;
    for (const auto& known : kOptions)
      if (IsPrctl(call, known.option)) word = known.word;
    if (IsPrctl(call, PR_CAPBSET_READ) || (!steps.empty() && steps.back() == word)) continue;
    steps.push_back(word);
  }
  return steps;
}

TEST_CASE("privileges go in an order in which each step still may, and none stays") {
  oci::Process process = ProcessOf(1000, 2000, {5, 6});
  process.user.umask = 027;
  process.no_new_privileges = true;
  const Recording recording = RecordBecoming(process);
  CHECK_MESSAGE(recording.status.ok(), MessageOf(recording.status));
  const std::vector<std::string> steps = StepsOf(recording);
  // With no_new_privs the filter is the last: what comes before it may need what it forbids.
  std::vector<std::string> expected = {"umask",     "bounding",  "keepcaps", "setgroups",
                                       "setresgid", "setresuid", "capset",   "no_new_privs",
                                       "capset",    "ambient",   "seccomp"};
  // A caller without capabilities in its bounding set has none to drop.
  if (std::find(steps.begin(), steps.end(), "bounding") == steps.end())
    expected.erase(expected.begin() + 1);
  CHECK(steps == expected);
  for (const RecordedCall& call : recording.calls) {
    if (call.name == "umask") CHECK(call.args[0] == 027);
    if (call.name == "setresgid" || call.name == "setresuid")
      for (int kind = 0; kind < 3; ++kind)
        CHECK(call.args[kind] == (call.name == "setresuid" ? 1000 : 2000));
    if (call.name != "setgroups") continue;
    CHECK(call.args[0] == 2);
    CHECK(call.ElementOf<gid_t>(1, 0) == 5);
    CHECK(call.ElementOf<gid_t>(1, 1) == 6);
  }
}

TEST_CASE("without no_new_privs the filter is loaded while there is CAP_SYS_ADMIN") {
  const Recording recording = RecordBecoming(ProcessOf(1000, 1000, {}));
  CHECK(recording.status.ok());
  std::vector<std::string> steps = StepsOf(recording);
  REQUIRE(steps.size() > 4);
  steps.erase(steps.begin(), steps.end() - 5);
  CHECK(steps == std::vector<std::string>{"setresuid", "capset", "seccomp", "capset", "ambient"});
}

TEST_CASE("the groups of the caller go even when there are none to come") {
  const Recording recording = RecordBecoming(ProcessOf(0, 0, {}));
  for (const RecordedCall& call : recording.calls)
    if (call.name == "setgroups") CHECK(call.args[0] == 0);
  const std::vector<std::string> steps = StepsOf(recording);
  CHECK(std::find(steps.begin(), steps.end(), "setgroups") != steps.end());
}

TEST_CASE("only what is to be dropped leaves the bounding set, and what is kept is what is asked") {
  const Recording recording = RecordBecoming(ProcessOf(1000, 1000, {}));
  std::vector<const RecordedCall*> sets;
  for (const RecordedCall& call : recording.calls) {
    if (IsPrctl(call, PR_CAPBSET_DROP)) {
      CHECK(call.args[1] != CAP_CHOWN);
      CHECK(call.args[1] != CAP_KILL);
    }
    if (call.name == "capset") sets.push_back(&call);
  }
  REQUIRE(sets.size() == 2);
  const auto set_of = [&](size_t which, size_t field) {
    return sets[which]->ElementOf<uint32_t>(1, field) |
           uint64_t{sets[which]->ElementOf<uint32_t>(1, 3 + field)} << 32;
  };
  constexpr size_t kEffective = 0, kPermitted = 1, kInheritable = 2;
  CHECK(set_of(0, kEffective) == set_of(0, kPermitted));
  const uint64_t had = set_of(0, kPermitted);
  constexpr uint64_t kChown = 1 << CAP_CHOWN, kKill = 1 << CAP_KILL;
  CHECK(set_of(1, kEffective) == (kChown & had));
  CHECK(set_of(1, kPermitted) == ((kChown | kKill) & had));
  CHECK(set_of(1, kInheritable) == 0);
}

TEST_CASE("a step that fails is the last") {
  for (const char* name : {"setgroups", "setresgid", "setresuid", "capset", "seccomp"}) {
    CAPTURE(name);
    const Recording recording =
        RecordBecoming(ProcessOf(1000, 1000, {5}), {{.name = name, .err = EPERM}});
    CHECK(ErrnoOf(recording.status) == EPERM);
    REQUIRE_FALSE(recording.calls.empty());
    CHECK(recording.calls.back().name == name);
  }
  oci::Process process = ProcessOf(1000, 1000, {});
  process.no_new_privileges = true;
  const Recording recording =
      RecordBecoming(process, {{.name = "prctl", .err = EINVAL, .when = [](const auto& call) {
                                  return IsPrctl(call, PR_SET_NO_NEW_PRIVS);
                                }}});
  CHECK(ErrnoOf(recording.status) == EINVAL);
  CHECK(IsPrctl(recording.calls.back(), PR_SET_NO_NEW_PRIVS));
}

TEST_CASE("a process without capabilities in config.json keeps to its user alone") {
  oci::Process process = ProcessOf(1000, 1000, {});
  process.capabilities.reset();
  const Recording recording = RecordBecoming(process);
  CHECK(recording.status.ok());
  CHECK(StepsOf(recording) ==
        std::vector<std::string>{"setgroups", "setresgid", "setresuid", "seccomp"});
}

}  // namespace
}  // namespace ocirun::init
