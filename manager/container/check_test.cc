// SPDX-License-Identifier: Apache-2.0
#include "manager/container/check.h"

#include <doctest/doctest.h>

#include <functional>

namespace ocirun::container {

using ocid::v1::CreateContainerRequest;

TEST_CASE("lists of numbers") {
  CHECK(*ParseNumberList("0-2,7") == std::set<unsigned>{0, 1, 2, 7});
  CHECK(*ParseNumberList("3") == std::set<unsigned>{3});
  for (const char* bad : {"", "a", "1-", "-1", "2-1", "1,", "1 2", "99999999999", "0-99999999"}) {
    CAPTURE(bad);
    CHECK_FALSE(ParseNumberList(bad).ok());
  }
}

TEST_CASE("what cgroup v2 can't do is discarded with a warning") {
  ocid::v1::HostConfig host;
  host.set_memory_swappiness(60);
  host.set_oom_kill_disable(true);
  ocid::v1::HostConfig on_v1 = host;
  CHECK(AdaptToHost({{0}, {0}, false}, &on_v1).empty());
  CHECK(on_v1.memory_swappiness() == 60);
  CHECK(on_v1.cgroupns_mode() == "host");
  CHECK(AdaptToHost({{0}, {0}, true}, &host).size() == 2);
  CHECK_FALSE(host.has_memory_swappiness());
  CHECK_FALSE(host.oom_kill_disable());
  CHECK(host.cgroupns_mode() == "private");
  host.set_cgroupns_mode("host");
  CHECK(AdaptToHost({{0}, {0}, true}, &host).empty());
  CHECK(host.cgroupns_mode() == "host");
}

TEST_CASE("what contradicts itself or asks for more than there is is refused in Docker's words") {
  struct Case {
    const char* message;  // "": it is fine
    std::function<void(CreateContainerRequest*)> set;
  };
  using Request = CreateContainerRequest;
  const Case cases[] = {
      {"", [](Request*) {}},
      {"value: a NUL is no character of a text",
       [](Request* r) { (*r->mutable_config()->mutable_labels())["a"] = std::string("b\0c", 3); }},
      {"env: a NUL is no character of a text",
       [](Request* r) { r->mutable_config()->add_env(std::string("A=\0", 3)); }},
      {"invalid hostname format: a\n1.2.3.4 b",
       [](Request* r) { r->mutable_config()->set_hostname("a\n1.2.3.4 b"); }},
      {"invalid hostname format: ../x",
       [](Request* r) { r->mutable_config()->set_domainname("../x"); }},
      {"", [](Request* r) { r->mutable_config()->set_hostname(std::string(64, 'h')); }},
      {"invalid environment variable: =x", [](Request* r) { r->mutable_config()->add_env("=x"); }},
      {"invalid label: empty name",
       [](Request* r) { (*r->mutable_config()->mutable_labels())[""] = "x"; }},
      {"the working directory 'x' is invalid, it needs to be an absolute path",
       [](Request* r) { r->mutable_config()->set_working_dir("x"); }},
      {"invalid port specification: \"99999/tcp\"",
       [](Request* r) { r->mutable_config()->add_exposed_ports("99999/tcp"); }},
      {"conflicting options: cannot specify both --restart and --rm",
       [](Request* r) {
         r->mutable_host_config()->set_auto_remove(true);
         r->mutable_host_config()->mutable_restart_policy()->set_name("always");
       }},
      {"",
       [](Request* r) {
         r->mutable_host_config()->set_auto_remove(true);
         r->mutable_host_config()->mutable_restart_policy()->set_name("no");
       }},
      {"maximum retry count cannot be used with restart policy 'always'",
       [](Request* r) {
         r->mutable_host_config()->mutable_restart_policy()->set_name("always");
         r->mutable_host_config()->mutable_restart_policy()->set_maximum_retry_count(3);
       }},
      {"invalid restart policy 'on-failure:x'",
       [](Request* r) {
         r->mutable_host_config()->mutable_restart_policy()->set_name("on-failure:x");
       }},
      {"Minimum memory limit allowed is 6MB",
       [](Request* r) { r->mutable_host_config()->set_memory((6 << 20) - 1); }},
      {"", [](Request* r) { r->mutable_host_config()->set_memory(6 << 20); }},
      {"Minimum memoryswap limit should be larger than memory limit, see usage",
       [](Request* r) {
         r->mutable_host_config()->set_memory(64 << 20);
         r->mutable_host_config()->set_memory_swap(32 << 20);
       }},
      {"You should always set the Memory limit when using Memoryswap limit, see usage",
       [](Request* r) { r->mutable_host_config()->set_memory_swap(32 << 20); }},
      {"range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
       [](Request* r) { r->mutable_host_config()->set_nano_cpus(2'000'000'001); }},
      {"", [](Request* r) { r->mutable_host_config()->set_nano_cpus(2'000'000'000); }},
      {"Conflicting options: Nano CPUs and CPU Quota cannot both be set",
       [](Request* r) {
         r->mutable_host_config()->set_nano_cpus(1'000'000'000);
         r->mutable_host_config()->set_cpu_quota(50000);
       }},
      {"the minimum allowed cpu-shares is 2",
       [](Request* r) { r->mutable_host_config()->set_cpu_shares(1); }},
      {"Requested CPUs are not available - requested 99, available: 0-1",
       [](Request* r) { r->mutable_host_config()->set_cpuset_cpus("99"); }},
      {"Invalid value x for cpuset cpus",
       [](Request* r) { r->mutable_host_config()->set_cpuset_cpus("x"); }},
      {"Requested memory nodes are not available - requested 1, available: 0",
       [](Request* r) { r->mutable_host_config()->set_cpuset_mems("1"); }},
      {"Duplicate mount point: /x",
       [](Request* r) {
         r->mutable_host_config()->add_mounts()->set_target("/x");
         r->mutable_host_config()->add_mounts()->set_target("/x/");
       }},
      {"Invalid signal: SIGNOPE",
       [](Request* r) { r->mutable_config()->set_stop_signal("SIGNOPE"); }},
  };
  const HostFacts facts{.cpus = {0, 1}, .memory_nodes = {0}};
  for (const Case& test : cases) {
    CreateContainerRequest request;
    test.set(&request);
    const Status status = CheckRequest(request, facts);
    CHECK(MessageOf(status) == test.message);
    CHECK((status.ok() || status.code() == StatusCode::kInvalidArgument));
  }
}

TEST_CASE("an image of another platform is refused") {
  ocid::v1::Image image;
  image.set_os("linux");
  image.set_architecture("amd64");
  CHECK(CheckPlatform("", image, "busybox").ok());
  CHECK(CheckPlatform("linux/amd64", image, "busybox").ok());
  CHECK(MessageOf(CheckPlatform("linux/arm64", image, "busybox")) ==
        "image with reference busybox was found but does not match the specified platform: wanted "
        "linux/arm64, actual: linux/amd64");
}

}  // namespace ocirun::container
