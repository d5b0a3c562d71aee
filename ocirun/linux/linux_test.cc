// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/testing/temp_dir.h"
#include "ocirun/linux/mount_options.h"
#include "ocirun/linux/resctrl.h"
#include "ocirun/linux/resctrl_statistics.h"

namespace ocirun::linux_ {
namespace {

TEST_CASE("mount options are sorted by what they are") {
  const oci::Mount mount{.destination = "/m",
                         .type = "tmpfs",
                         .options = {"ro", "nosuid", "rw", "noatime", "rprivate", "rro", "size=64m",
                                     "sync", "defaults", "tmpcopyup"}};
  const auto options = ParseMountOptions(mount);
  REQUIRE(options.ok());
  // The last of two that contradict each other counts.
  CHECK(options->set == MOUNT_ATTR_NOSUID);
  CHECK(options->clear == MOUNT_ATTR_RDONLY);
  CHECK(options->access_time == uint64_t{MOUNT_ATTR_NOATIME});
  CHECK(options->recursive_set == MOUNT_ATTR_RDONLY);
  CHECK(options->propagation == std::vector<uint64_t>{MS_PRIVATE | MS_REC});
  CHECK(options->superblock == std::vector<std::string>{"size=64m", "sync"});
  CHECK(options->copy_up);
}

TEST_CASE("idmap options, with the mappings in place and without") {
  const auto parse = [](const std::string& option) {
    return ParseMountOptions({.destination = "/m", .type = "bind", .options = {option}});
  };
  const auto mapped = parse("ridmap=uids=0-1000-10#20-3000-1;gids=0-2000-5");
  REQUIRE(mapped.ok());
  CHECK(mapped->id_map == IdMapScope::kTree);
  REQUIRE(mapped->uid_mappings.size() == 2);
  CHECK(mapped->uid_mappings[1].host_id == 3000);
  CHECK(mapped->gid_mappings[0].size == 5);
  CHECK(parse("idmap")->id_map == IdMapScope::kMount);
  const auto relative = parse("idmap=uids=0-1000-10#@11-2-1;gids=@0-0-5");
  CHECK(relative->relative_uids == std::vector<size_t>{1});
  CHECK(relative->relative_gids == std::vector<size_t>{0});
  CHECK(relative->uid_mappings[1].host_id == 2);
  for (const char* bad : {"idmap=uids=0-1000-10", "idmap=uids=0-1;gids=0-0-1", "idmap=x=1"})
    CHECK_FALSE(parse(bad).ok());
  CHECK_FALSE(ParseMountOptions({.type = "tmpfs", .options = {"idmap"}}).ok());
}

// A folder that stands for the resctrl filesystem.
using FakeResctrl = testing::TempDir;

TEST_CASE("an RDT class of the container's own comes and goes with it") {
  const FakeResctrl fake;
  const oci::IntelRdt config{.schemata = {"MB:0=20"}, .l3_cache_schema = "L3:0=7f0"};
  const auto group = MakeRdtGroup(fake.path, config, "box");
  REQUIRE_MESSAGE(group.ok(), MessageOf(group.status()));
  CHECK(*ReadFile(fake.path + "/box/schemata") == "L3:0=7f0\nMB:0=20\n");
  REQUIRE(EnterRdtGroup(fake.path, config, "box", 42).ok());
  CHECK(*ReadFile(fake.path + "/box/tasks") == "42");
  // The kernel's files go with their folder; these do not.
  REQUIRE(::unlink((fake.path + "/box/schemata").c_str()) == 0);
  REQUIRE(::unlink((fake.path + "/box/tasks").c_str()) == 0);
  CHECK(RemoveRdtGroup(*group).ok());
  CHECK_FALSE(PathExists(fake.path + "/box"));
}

TEST_CASE("a named class must be there, or agree with what is asked for, and stays") {
  const FakeResctrl fake;
  const auto missing = MakeRdtGroup(fake.path, {.clos_id = "gold"}, "box");
  CHECK(MessageOf(missing.status()).find("clos dir not accessible") != std::string::npos);
  REQUIRE(::mkdir((fake.path + "/gold").c_str(), 0755) == 0);
  REQUIRE(WriteFile(fake.path + "/gold/schemata", "    L3:0=007F0;1=f\n    MB:0= 20\n").ok());
  const auto agrees = MakeRdtGroup(
      fake.path, {.clos_id = "gold", .schemata = {"MB:0=20"}, .l3_cache_schema = "L3:0=7f0"},
      "box");
  REQUIRE_MESSAGE(agrees.ok(), MessageOf(agrees.status()));
  CHECK(agrees->class_folder.empty());
  const auto differs = MakeRdtGroup(fake.path, {.clos_id = "gold", .schemata = {"L3:1=1"}}, "box");
  CHECK(MessageOf(differs.status()).find("has L3:1=f, not 1") != std::string::npos);
}

TEST_CASE("what resctrl counts: of the container's own group, by domain") {
  const FakeResctrl fake;
  const auto write = [&](const std::string& file, const char* text) {
    const std::string path = fake.path + "/" + file;
    REQUIRE(MakeDirs(path.substr(0, path.rfind('/')), 0755).ok());
    REQUIRE(WriteFileAtomic(path, text).ok());
  };
  write("info/L3/cbm_mask", "fffff\n");
  write("info/L3/num_closids", "16\n");
  write("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\n");
  write("schemata", "    L3:0=fffff\n");
  write("gold/schemata", "    L3:0=000f0\n");
  write("gold/mon_groups/box/mon_data/mon_L3_01/llc_occupancy", "7\n");
  write("gold/mon_groups/box/mon_data/mon_L3_00/llc_occupancy", "4096\n");
  write("gold/mon_groups/box/mon_data/mon_L3_00/mbm_total_bytes", "Unavailable\n");
  const auto read =
      ReadRdtStatistics(fake.path, {.clos_id = "gold", .enable_monitoring = true}, "box");
  REQUIRE_MESSAGE(read.ok(), MessageOf(read.status()));
  CHECK(read->cache->cbm_mask == "fffff");
  CHECK(read->cache->num_closids == 16);
  CHECK_FALSE(read->bandwidth.has_value());
  CHECK(read->schemata == std::vector<std::string>{"L3:0=000f0"});
  CHECK(*read->llc_occupancy == std::vector<uint64_t>{4096, 7});
  REQUIRE(read->traffic->size() == 2);
  CHECK(read->traffic->at(0).total_bytes == 0);
  CHECK_FALSE(ReadRdtStatistics(fake.path, {.clos_id = "none"}, "box").ok());
}

TEST_CASE("where resctrl is mounted") {
  CHECK(*FindResctrl("30 25 0:27 / /sys/fs/resctrl rw,relatime - resctrl resctrl rw\n") ==
        "/sys/fs/resctrl");
  CHECK_FALSE(FindResctrl("").ok());
}

}  // namespace
}  // namespace ocirun::linux_
