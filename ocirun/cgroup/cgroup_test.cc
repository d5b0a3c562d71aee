// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/testing/temp_dir.h"
#include "ocirun/cgroup/device_bpf.h"
#include "ocirun/cgroup/device_rules.h"
#include "ocirun/cgroup/host.h"
#include "ocirun/cgroup/journal.h"
#include "ocirun/cgroup/manager.h"
#include "ocirun/cgroup/statistics.h"

namespace ocirun::cgroup {
namespace {

constexpr char kMountInfo[] =
    "25 31 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "26 25 0:23 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "27 25 0:24 / /sys/fs/cgroup/cpu\\040set rw,relatime shared:3 - cgroup cgroup rw,cpuset\n"
    "28 25 0:25 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n"
    "29 25 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

TEST_CASE("mountinfo is split into words") {
  const auto hierarchies = FindHierarchies(kMountInfo);
  REQUIRE(hierarchies.size() == 4);
  CHECK(hierarchies[0].controllers == std::vector<std::string>{"cpu"});
  CHECK(hierarchies[1].mount_point == "/sys/fs/cgroup/cpu set");
  CHECK(hierarchies[2].controllers == std::vector<std::string>{"name=systemd"});
  CHECK(hierarchies[3].v2);
  CHECK(OwnCgroup("3:cpuset:/a\n2:cpu:/b\n0::/c\n", hierarchies[0]) == "/b");
  CHECK(OwnCgroup("3:cpuset:/a\n2:cpu:/b\n0::/c\n", hierarchies[3]) == "/c");
  CHECK(OwnCgroup("", hierarchies[0]) == "/");
}

TEST_CASE("a word is not found inside another") {
  CHECK_FALSE(HasWord("cpuset io\n", "cpu"));
  CHECK(HasWord("cpuset cpu\n", "cpu"));
}

TEST_CASE("what stands in the place of a cgroup is another's") {
  const testing::TempDir dir;
  const std::string kept = dir.path + "/kept", replaced = dir.path + "/replaced";
  for (const std::string& folder : {kept, replaced}) REQUIRE(sys::MakeDir(folder, 0700).ok());
  const std::map<std::string, std::string> made = {
      {"cpu", kept}, {"memory", replaced}, {"pids", dir.path + "/gone"}};
  const Inodes inodes = InodesOf(made);
  auto view = made;
  CHECK(DisownReplaced(inodes, &view).empty());
  CHECK(view == made);
  REQUIRE(sys::Rename(replaced, dir.path + "/away").ok());
  REQUIRE(sys::MakeDir(replaced, 0700).ok());
  CHECK(DisownReplaced(inodes, &view) == std::vector<std::string>{"memory"});
  CHECK(view.at("cpu") == kept);
  CHECK(view.at("memory") == replaced + " (deleted)");
  CHECK(view.at("pids") == made.at("pids"));
}

TEST_CASE("where a cgroup stands") {
  const auto folder = [](const std::string& path) {
    const auto manager = NewManager(FindHierarchies(kMountInfo), "2:cpu:/own\n", path, "id");
    REQUIRE(manager.ok());
    return (*manager)->View().at("cpu");
  };
  CHECK(folder("/a//b/") == "/sys/fs/cgroup/cpu/a/b");
  CHECK(folder("a/b") == "/sys/fs/cgroup/cpu/own/a/b");
  CHECK(folder("") == "/sys/fs/cgroup/cpu/own/id");
  CHECK_FALSE(NewManager(FindHierarchies(kMountInfo), "", "/a/../../x", "id").ok());

  // On v2 beside the runtime's own, which has a process and hands no controllers on.
  const auto unified = [](const std::string& own, const std::string& path) {
    const auto manager = NewManager({{"/sys/fs/cgroup", "/", {}, true}}, own, path, "id");
    REQUIRE(manager.ok());
    return (*manager)->View().at("");
  };
  CHECK(unified("0::/a.slice/own\n", "") == "/sys/fs/cgroup/a.slice/id");
  CHECK(unified("0::/a.slice/own\n", "b/c") == "/sys/fs/cgroup/a.slice/b/c");
  CHECK(unified("0::/\n", "") == "/sys/fs/cgroup/id");
  CHECK(unified("0::/a.slice/own\n", "/b") == "/sys/fs/cgroup/b");
}

// A folder that stands for a hierarchy: its control files are plain files.
using FakeHierarchy = testing::TempDir;

TEST_CASE("a limit is written to its file, and a missing file names property and host") {
  FakeHierarchy fake;
  const std::vector<Hierarchy> host = {{fake.path, "/", {"memory"}, false},
                                       {fake.path, "/", {"pids"}, false}};
  const auto manager = NewManager(host, "", "/box", "id");
  REQUIRE(manager.ok());
  REQUIRE((*manager)->Create().ok());
  REQUIRE(WriteFile(fake.path + "/box/pids.max", "").ok());
  oci::Resources resources;
  resources.pids_limit = 7;
  CHECK((*manager)->Set(resources).ok());  // no device rules, no devices controller: fine
  CHECK(*ReadFile(fake.path + "/box/pids.max") == "7");
  resources.memory.limit = 1 << 20;
  const Status status = (*manager)->Set(resources);
  CHECK(ErrnoOf(status) == ENOENT);
  CHECK(MessageOf(status).rfind("linux.resources.memory.limit: this host's cgroups can't", 0) == 0);
}

TEST_CASE("an update that is refused half way leaves what was there") {
  FakeHierarchy fake;
  const auto manager = NewManager({{fake.path, "/", {"pids"}, false}}, "", "/box", "id");
  REQUIRE(manager.ok());
  REQUIRE((*manager)->Create().ok());
  REQUIRE(WriteFile(fake.path + "/box/pids.max", "30\n").ok());
  oci::Resources resources;
  resources.pids_limit = 7;
  resources.hugepage_limits.push_back({"2MB", 1});  // this host has no hugetlb
  CHECK_FALSE((*manager)->Update(resources).ok());
  CHECK(*ReadFile(fake.path + "/box/pids.max") == "30");
}

TEST_CASE("what takes back a write") {
  CHECK(UndoValue("100\n", "200") == "100");
  CHECK(UndoValue("8:0 rbps=1 wbps=max\n8:16 rbps=2 wbps=max\n", "8:16 rbps=9") ==
        "8:16 rbps=2 wbps=max");
  CHECK(UndoValue("", "8:0 1000") == "8:0 0");
  CHECK(UndoValue("", "8:0 rbps=9") == "8:0 rbps=max wbps=max riops=max wiops=max");
}

TEST_CASE("the kernel's counters") {
  const auto keyed = ParseKeyed("cache 12\nrss 3\nbroken\n");
  CHECK(keyed.at("rss") == 3);
  CHECK(keyed.size() == 2);
  const auto pressure = ParsePressure(
      "some avg10=1.50 avg60=0.25 avg300=0.00 total=99\nfull avg10=0.00 avg60=0.00 avg300=0.00 "
      "total=7\n");
  REQUIRE(pressure.has_value());
  CHECK(pressure->some.avg10 == doctest::Approx(1.5));
  CHECK(pressure->full.total == 7);
  const auto io = ParseBlkio("8:0 Read 100\n8:0 Total 100\n8:16 5\nTotal 105\n");
  REQUIRE(io.size() == 3);
  CHECK(io[0].op == "Read");
  CHECK(io[2].minor == 16);
  CHECK(io[2].value == 5);
}

// Runs the program as the kernel would, for the instructions that the compiler emits.
bool Runs(const std::vector<bpf_insn>& program, uint32_t type, uint32_t access, uint32_t major,
          uint32_t minor) {
  uint64_t reg[11] = {};
  const uint32_t context[3] = {access << 16 | type, major, minor};
  for (size_t at = 0; at < program.size(); ++at) {
    const bpf_insn& i = program[at];
    switch (i.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        reg[i.dst_reg] = context[i.off / 4];
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        reg[i.dst_reg] &= static_cast<uint32_t>(i.imm);
        break;
      case BPF_ALU | BPF_RSH | BPF_K:
        reg[i.dst_reg] >>= i.imm;
        break;
      case BPF_ALU | BPF_MOV | BPF_X:
        reg[i.dst_reg] = reg[i.src_reg];
        break;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        reg[i.dst_reg] = static_cast<uint64_t>(i.imm);
        break;
      case BPF_JMP | BPF_JNE | BPF_K:
        if (reg[i.dst_reg] != static_cast<uint64_t>(i.imm)) at += static_cast<size_t>(i.off);
        break;
      case BPF_JMP | BPF_EXIT:
        return reg[0] != 0;
      default:
        FAIL("unexpected instruction");
        return false;
    }
  }
  FAIL("ran off the end");
  return false;
}

TEST_CASE("device rules as a program: the last that covers the access decides") {
  const std::vector<oci::DeviceRule> rules = {{false, 'a', {}, {}, "rwm"},
                                              {true, 'c', 10, 229, "rw"},
                                              {true, 'b', {}, {}, "m"},
                                              {false, 'c', 10, 229, "w"}};
  const auto program = CompileDeviceRules(rules);
  constexpr uint32_t kBlock = BPF_DEVCG_DEV_BLOCK, kChar = BPF_DEVCG_DEV_CHAR;
  CHECK(Runs(program, kChar, BPF_DEVCG_ACC_READ, 10, 229));
  CHECK_FALSE(Runs(program, kChar, BPF_DEVCG_ACC_WRITE, 10, 229));
  CHECK_FALSE(Runs(program, kChar, BPF_DEVCG_ACC_READ, 10, 228));
  CHECK(Runs(program, kBlock, BPF_DEVCG_ACC_MKNOD, 8, 0));
  CHECK_FALSE(Runs(program, kBlock, BPF_DEVCG_ACC_READ, 8, 0));
  CHECK(FormatRule(rules[1]) == "c 10:229 rw");
  CHECK(FormatRule(rules[2]) == "b *:* m");
}

}  // namespace
}  // namespace ocirun::cgroup
