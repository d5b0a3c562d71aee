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
      {Document(R"(,"capabilities":{"bounding":["CAP_CHOWN","CAP_X"]})"),
       "process.capabilities.bounding[1]: unknown capability \"CAP_X\""},
      {Document(R"(,"terminal":1)"), "process.terminal: must be true or false, not number"},
      {Document(R"(,"rlimits":[{"type":"RLIMIT_NOFILE","soft":2,"hard":1}])"),
       "process.rlimits[0].soft: must not be above the hard limit"},
      {Document(R"(,"oomScoreAdj":5000)"), "process.oomScoreAdj: must be from -1000 to 1000"},
      {Document("", R"(,"uidMappings":[{"containerID":0,"hostID":0,"size":1}])"),
       "linux: uidMappings and gidMappings need a new user namespace"},
      {Document("", R"(,"maskedPaths":["proc"])"),
       "linux.maskedPaths: \"proc\" is not an absolute path"},
      {Document("", R"(,"resources":{"pids":{"limit":"7"}})"),
       "linux.resources.pids.limit: must be an integer, not string"},
      {Document("", R"(,"resources":{"unified":{"../x":"1"}})"),
       "linux.resources.unified: \"../x\" is not a file name"},
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
  const auto refused = Parse(Document("", R"(,"intelRdt":{"closID":"a"})"), "/b");
  CHECK(refused.status().code() == StatusCode::kUnimplemented);
  CHECK(MessageOf(refused.status()) == "linux.intelRdt: not supported");
  CHECK(Parse(Document(R"(,"apparmorProfile":"","selinuxLabel":"")", R"(,"intelRdt":{})"), "/b")
            .ok());
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
