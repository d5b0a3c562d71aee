// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cgroup/systemd_unit.h"

#include <doctest/doctest.h>

namespace ocirun::cgroup {
namespace {

// "Name=value" of each, optional ones with a question mark.
std::vector<std::string> Lines(const UnitProperties& properties) {
  std::vector<std::string> out;
  for (const UnitProperty& property : properties)
    out.push_back(property.name + (property.optional ? "?=" : "=") + property.value);
  return out;
}

std::vector<std::string> LimitLines(const oci::Resources& resources, CgroupVersion version) {
  const auto properties = LimitProperties(resources, version);
  REQUIRE_MESSAGE(properties.ok(), MessageOf(properties.status()));
  return Lines(*properties);
}

using Texts = std::vector<std::string>;

TEST_CASE("slice:prefix:name") {
  const auto unit = [](const std::string& path) {
    const auto place = ParseUnitPath(path, "web", "system.slice");
    return place.ok() ? place->slice + " " + place->name : "";
  };
  CHECK(unit("") == "system.slice ocirun-web.scope");
  CHECK(unit("a-b.slice:cri-containerd:0123") == "a-b.slice cri-containerd-0123.scope");
  CHECK(unit(":docker:0123") == "system.slice docker-0123.scope");
  CHECK(unit("a.slice::") == "a.slice -web.scope");
  CHECK(unit("-.slice:p:n") == "-.slice p-n.scope");
  for (const char* wrong : {"/a/b", "a", "a.slice:b", "a.slice:b:c:d", "a:b:c", "a.slice:b:c.slice",
                            "../a.slice:b:c", "a--b.slice:c:d"})
    CHECK_FALSE_MESSAGE(ParseUnitPath(wrong, "web", "system.slice").ok(), wrong);
}

TEST_CASE("a slice's cgroup is below those that its name begins with") {
  CHECK(*ExpandSlice("system.slice") == "/system.slice");
  CHECK(*ExpandSlice("test-a-b.slice") == "/test.slice/test-a.slice/test-a-b.slice");
  CHECK(ExpandSlice("-.slice")->empty());
  for (const char* wrong :
       {"", ".slice", "a", "a.scope", "-a.slice", "a-.slice", "a--b.slice", "a/b.slice"})
    CHECK_FALSE_MESSAGE(ExpandSlice(wrong).ok(), wrong);
}

TEST_CASE("a list of CPUs as a mask, lowest byte first") {
  CHECK(*CpuMask("0") == std::vector<uint8_t>{0x01});
  CHECK(*CpuMask("1, 3-5,\n") == std::vector<uint8_t>{0x3a});
  CHECK(*CpuMask("8-9") == std::vector<uint8_t>{0x00, 0x03});
  for (const char* wrong : {"", ",", "a", "3-1", "1-", "-1", "1-2-3", "99999999"})
    CHECK_FALSE_MESSAGE(CpuMask(wrong).ok(), wrong);
}

TEST_CASE("limits on cgroup v2") {
  oci::Resources r;
  CHECK(LimitLines(r, CgroupVersion::kV2).empty());
  r.memory = {.limit = 64 << 20, .reservation = 32 << 20, .swap = 96 << 20};
  r.cpu = {.shares = 1024, .period = 100000, .quota = 50000, .cpus = "0-1", .mems = "0"};
  r.pids_limit = 0;
  r.block_io.weight = 10;
  CHECK(LimitLines(r, CgroupVersion::kV2) ==
        Texts{"MemoryMax=uint64 67108864", "MemoryLow=uint64 33554432",
              "MemorySwapMax=uint64 33554432", "CPUWeight=uint64 100", "IOWeight=uint64 1",
              "CPUQuotaPeriodUSec?=uint64 100000", "CPUQuotaPerSecUSec=uint64 500000",
              "TasksMax=uint64 1", "AllowedCPUs?=[byte 3]", "AllowedMemoryNodes?=[byte 1]"});
}

TEST_CASE("no limit is infinity") {
  oci::Resources r;
  r.memory.limit = -1;
  r.cpu.quota = -1;
  r.pids_limit = -1;
  constexpr char kInfinity[] = "=uint64 18446744073709551615";
  CHECK(LimitLines(r, CgroupVersion::kV2) ==
        Texts{std::string("MemoryMax") + kInfinity, std::string("MemorySwapMax") + kInfinity,
              std::string("CPUQuotaPerSecUSec") + kInfinity, std::string("TasksMax") + kInfinity});
}

TEST_CASE("what can't be is refused before systemd hears of it") {
  oci::Resources r;
  r.memory.swap = 1 << 20;
  CHECK_FALSE(LimitProperties(r, CgroupVersion::kV2).ok());
  r = {};
  r.cpu.cpus = "all";
  CHECK(MessageOf(LimitProperties(r, CgroupVersion::kV2).status())
            .rfind("linux.resources.cpu.cpus: ", 0) == 0);
}

TEST_CASE("an idle container has a weight of 0") {
  oci::Resources r;
  r.cpu.shares = 512;
  r.cpu.idle = 1;
  CHECK(LimitLines(r, CgroupVersion::kV2) == Texts{"CPUWeight?=uint64 0"});
  r.cpu.idle = 0;
  CHECK(LimitLines(r, CgroupVersion::kV2) == Texts{"CPUWeight=uint64 59"});
}

TEST_CASE("limits on cgroup v1") {
  oci::Resources r;
  r.memory = {.limit = 64 << 20, .swap = 96 << 20};
  r.cpu.shares = 512;
  r.block_io.weight = 100;
  CHECK(LimitLines(r, CgroupVersion::kV1) ==
        Texts{"MemoryLimit=uint64 67108864", "CPUShares=uint64 512", "BlockIOWeight=uint64 100"});
}

TEST_CASE("files of cgroup v2 that systemd knows") {
  oci::Resources r;
  r.unified = {{"cpu.max", "max 50000"}, {"cpu.weight", "20\n"},   {"cpuset.cpus", "1"},
               {"hugetlb.2MB.max", "0"}, {"memory.high", " max "}, {"pids.max", "0"}};
  CHECK(LimitLines(r, CgroupVersion::kV2) ==
        Texts{"CPUQuotaPeriodUSec?=uint64 50000", "CPUQuotaPerSecUSec=uint64 18446744073709551615",
              "CPUWeight=uint64 20", "AllowedCPUs?=[byte 2]",
              "MemoryHigh=uint64 18446744073709551615", "TasksMax=uint64 1"});
  r.unified = {{"memory.max", "many"}};
  CHECK_FALSE(LimitProperties(r, CgroupVersion::kV2).ok());
}

TEST_CASE("the quota is in whole percents, upwards") {
  const auto round = [](int64_t quota, std::optional<uint64_t> period) {
    oci::CpuResources cpu{.period = period, .quota = quota};
    RoundCpuQuota(&cpu);
    return *cpu.quota;
  };
  CHECK(round(50000, std::nullopt) == 50000);
  CHECK(round(50001, std::nullopt) == 51000);
  CHECK(round(1010, 1000) == 1010);
  CHECK(round(1, 1000000) == 10000);
  CHECK(round(-1, 100000) == -1);
}

TEST_CASE("devices that systemd has words for") {
  const oci::DeviceRule none{false, 'a', {}, {}, "rwm"};
  const auto properties =
      DeviceProperties({none, {true, 'c', 10, 229, "rw"}, {true, 'b', 8, {}, "r"}});
  REQUIRE(properties.size() == 2);
  CHECK(properties[1].value == "'strict'");
  for (const char* entry : {"('/dev/char/10:229', 'rw')", "('block-8', 'r')", "('char-*', 'm')",
                            "('/dev/char/1:3', 'rwm')", "('char-136', 'rwm')"})
    CHECK_MESSAGE(properties[0].value.find(entry) != std::string::npos, entry);
}

TEST_CASE("other rules for devices are left to the kernel") {
  const oci::DeviceRule all{true, 'a', {}, {}, "rwm"};
  const std::vector<std::vector<oci::DeviceRule>> others = {
      {all},
      {all, {false, 'c', 1, 3, "rwm"}},
      {{true, 'c', 1, {}, "rwm"}, {false, 'c', 1, 3, "rwm"}},
      {{true, 'c', {}, 3, "rwm"}},
      {{false, 'a', {}, {}, "m"}}};
  for (const auto& rules : others)
    CHECK(Lines(DeviceProperties(rules)) == Texts{"DeviceAllow=@a(ss) []", "DevicePolicy='auto'"});
}

TEST_CASE("annotations are properties") {
  const auto properties =
      AnnotatedProperties({{"org.systemd.property.TimeoutStopUSec", "uint64 123456789"},
                           {"org.systemd.property.CollectMode", "'inactive-or-failed'"},
                           {"org.systemd.other", "1"}});
  REQUIRE(properties.ok());
  CHECK(Lines(*properties) ==
        Texts{"CollectMode='inactive-or-failed'", "TimeoutStopUSec=uint64 123456789"});
  CHECK_FALSE(AnnotatedProperties({{"org.systemd.property.A", "1"}}).ok());
  CHECK_FALSE(AnnotatedProperties({{"org.systemd.property.a-b-c", "1"}}).ok());
}

TEST_CASE("a scope") {
  oci::Spec spec;
  spec.linux.resources.unified = {{"memory.oom.group", "1"}};
  spec.annotations = {{"org.systemd.property.CollectMode", "'inactive'"}};
  const auto properties = ScopeProperties({"a.slice", "b.scope"}, "it's", spec, CgroupVersion::kV2);
  REQUIRE(properties.ok());
  CHECK(Lines(*properties) == Texts{"Description='ocirun container it\\'s'", "Slice='a.slice'",
                                    "Delegate=true", "DefaultDependencies=false",
                                    "MemoryAccounting=true", "CPUAccounting=true",
                                    "IOAccounting=true", "TasksAccounting=true",
                                    "OOMPolicy?='kill'", "CollectMode='inactive'"});
}

}  // namespace
}  // namespace ocirun::cgroup
