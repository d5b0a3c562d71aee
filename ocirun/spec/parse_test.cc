// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "ocirun/spec/spec.h"

namespace ocirun::oci {
namespace {

// A minimal valid document with `extra` members spliced into the place named by the key.
std::string Document(const std::string& process = "", const std::string& linux_part = "",
                     const std::string& top = "") {
  return R"({"ociVersion":"1.2.0","root":{"path":"rootfs"},"process":{"cwd":"/","args":["sh"])" +
         process + R"(},"linux":{"namespaces":[{"type":"mount"},{"type":"pid"}])" + linux_part +
         "}" + top + "}";
}

TEST_CASE("a minimal document") {
  const auto spec = Parse(Document(), "/bundle");
  REQUIRE_MESSAGE(spec.ok(), MessageOf(spec.status()));
  CHECK(spec->root.path == "/bundle/rootfs");
  CHECK(spec->linux.Makes(NamespaceType::kPid));
  CHECK(spec->process->args[0] == "sh");
}

TEST_CASE("what is wrong is named by its path") {
  const struct {
    std::string document, message;
  } cases[] = {
      {"[]", "document: must be an object"},
      {R"({"ociVersion":"2.0.0"})", "ociVersion: 2.0.0 is not supported, only 1.x is"},
      {Document(R"(,"capabilities":{"bounding":["CAP_CHOWN",1]})"),
       "process.capabilities.bounding[1]: must be a string, not number"},
      {Document(R"(,"capabilities":{"effective":["CAP_CHOWN"],"inheritable":["CAP_CHOWN"]})"),
       "process.capabilities.effective: CAP_CHOWN must be in \"permitted\", too"},
      {Document(R"(,"terminal":1)"), "process.terminal: must be true or false, not number"},
      {Document(R"(,"rlimits":[{"type":"RLIMIT_NOFILE","soft":2,"hard":1}])"),
       "process.rlimits[0].soft: must not be above the hard limit"},
      {Document(R"(,"oomScoreAdj":5000)"), "process.oomScoreAdj: must be from -1000 to 1000"},
      {Document(R"(,"user":{"uid":4294967295})"),
       "process.user.uid: is the number that stands for no id"},
      {Document(R"(,"user":{"additionalGids":[5,4294967295]})"),
       "process.user.additionalGids[1]: is the number that stands for no id"},
      {Document("", R"(,"uidMappings":[{"containerID":0,"hostID":0,"size":1}])"),
       "linux: uidMappings and gidMappings need a new user namespace"},
      {Document("", R"(,"maskedPaths":["proc"])"),
       "linux.maskedPaths: \"proc\" is not an absolute path"},
      {Document("", R"(,"resources":{"pids":{"limit":"7"}})"),
       "linux.resources.pids.limit: must be an integer, not string"},
      {Document("", R"(,"resources":{"unified":{"../x":"1"}})"),
       "linux.resources.unified: \"../x\" is not a file of a cgroup"},
      {Document("", "", R"(,"hostname":"h")"),
       "hostname: needs a uts namespace, or it would rename the host"},
      {Document("", "", R"(,"hooks":{"poststop":[{"path":"x"}]})"),
       "hooks.poststop[0].path: must be an absolute path"},
      {Document("", "", R"(,"mounts":[{"source":"x"}])"),
       "mounts[0].destination: is missing, must be a string"},
  };
  for (const auto& c : cases) {
    const auto spec = Parse(c.document, "/b");
    CAPTURE(c.document);
    REQUIRE_FALSE(spec.ok());
    CHECK(MessageOf(spec.status()) == c.message);
  }
}

TEST_CASE("what is not supported is refused by name, and zero values ask for nothing") {
  const auto refused = Parse(Document("", "", R"(,"vm":{"kernel":{"path":"/k"}})"), "/b");
  CHECK(refused.status().code() == StatusCode::kUnimplemented);
  CHECK(MessageOf(refused.status()) == "vm: not supported");
  CHECK(
      Parse(Document(R"(,"apparmorProfile":"","selinuxLabel":"")", "", R"(,"vm":{})"), "/b").ok());
}

TEST_CASE("an unknown capability is left out with a warning") {
  const auto spec = Parse(Document(R"(,"capabilities":{"bounding":["CAP_CHOWN","CAP_X"]})"), "/b");
  REQUIRE(spec.ok());
  CHECK(spec->process->capabilities->bounding == std::vector<std::string>{"CAP_CHOWN"});
  REQUIRE(spec->warnings.size() == 1);
  CHECK(spec->warnings[0] ==
        "process.capabilities.bounding[1]: unknown capability \"CAP_X\" is not granted");
}

TEST_CASE("what the specification's newer versions brought") {
  const auto spec = Parse(
      Document(
          R"(,"scheduler":{"policy":"SCHED_DEADLINE","runtime":1,"deadline":2,"period":3},
                   "ioPriority":{"class":"IOPRIO_CLASS_IDLE","priority":7},
                   "execCPUAffinity":{"initial":"0-2,5","final":"1"})",
          R"(,"memoryPolicy":{"mode":"MPOL_BIND","nodes":"0,2-3","flags":["MPOL_F_STATIC_NODES"]},
                  "personality":{"domain":"LINUX32"},
                  "intelRdt":{"closID":"/","schemata":["L3:0=f"],"enableMonitoring":true})"),
      "/b");
  REQUIRE_MESSAGE(spec.ok(), MessageOf(spec.status()));
  CHECK(spec->process->scheduler->policy == 6);
  CHECK(spec->process->scheduler->period == 3);
  CHECK(spec->process->io_priority->io_class == 3);
  CHECK(spec->process->exec_cpu_affinity->initial == std::vector<unsigned>{0, 1, 2, 5});
  CHECK(spec->linux.memory_policy->mode == 2);
  CHECK(spec->linux.memory_policy->flags == 1u << 15);
  CHECK(spec->linux.memory_policy->nodes == std::vector<unsigned>{0, 2, 3});
  CHECK(spec->linux.personality == 8ul);
  CHECK(spec->linux.intel_rdt->clos_id == "/");
}

TEST_CASE("their mistakes are named") {
  const struct {
    std::string process, linux_part, message;
  } cases[] = {
      {R"(,"scheduler":{"policy":"SCHED_X"})", "",
       "process.scheduler.policy: unknown scheduling policy \"SCHED_X\""},
      {R"(,"scheduler":{"policy":"SCHED_OTHER","period":1})", "",
       "process.scheduler.period: scheduler runtime/deadline/period can only be specified for "
       "SchedDeadline policy"},
      {R"(,"execCPUAffinity":{"initial":"3-1"})", "",
       "process.execCPUAffinity.initial: \"3-1\" is not a list like 0-3,7"},
      {"", R"(,"timeOffsets":{"boottime":{"secs":1}})",
       "linux.timeOffsets: needs a new time namespace"},
      {"", R"(,"netDevices":{"eth0":{}})",
       "linux.netDevices: unable to move network devices without a private NET namespace"},
      {"", R"(,"intelRdt":{"closID":"../x"})",
       "linux.intelRdt.closID: is not the name of a class of service"},
      {"", R"(,"personality":{"domain":"BSD"})",
       "linux.personality.domain: unknown personality \"BSD\""},
  };
  for (const auto& c : cases) {
    const auto spec = Parse(Document(c.process, c.linux_part), "/b");
    CAPTURE(c.message);
    REQUIRE_FALSE(spec.ok());
    CHECK(MessageOf(spec.status()) == c.message);
  }
}

TEST_CASE("lists of numbers") {
  CHECK(*ParseNumberList("0-3,7\n") == std::vector<unsigned>{0, 1, 2, 3, 7});
  CHECK(*ParseNumberList("7, 0") == std::vector<unsigned>{0, 7});
  CHECK(ParseNumberList("")->empty());
  for (const char* bad : {"1,", "a", "1-", "-1", "1 2", "0-99999999"})
    CHECK_FALSE(ParseNumberList(bad).ok());
}

TEST_CASE("names and numbers of capabilities and limits") {
  CHECK(CapabilityBit("CAP_CHECKPOINT_RESTORE") == 40);
  CHECK(CapabilityName(0) == "CAP_CHOWN");
  CHECK(CapabilityName(41).empty());
  CHECK(RlimitResource("RLIMIT_NOFILE") == 7);
  CHECK(RlimitResource("NOFILE") == -1);
}

}  // namespace
}  // namespace ocirun::oci
