// SPDX-License-Identifier: Apache-2.0
#include "ocirun/container/criu_request.h"

#include <doctest/doctest.h>
#include <sched.h>

namespace ocirun::container {
namespace {

oci::Spec SpecWith(std::vector<oci::Mount> mounts) {
  oci::Spec spec;
  spec.mounts = std::move(mounts);
  return spec;
}

}  // namespace

TEST_CASE("options are checked in runc's words") {
  const auto refusal = [](CriuOptions options) {
    return MessageOf(DumpOptions(options, {}).status());
  };
  constexpr char kUse[] = "Use --page-server ADDRESS:PORT to specify page server";
  CHECK(refusal({.page_server = "10.0.0.1"}) == kUse);
  CHECK(refusal({.page_server = ":27"}) == kUse);
  CHECK(refusal({.page_server = "host:"}) == kUse);
  CHECK(refusal({.page_server = "::1:27"}) == kUse);
  CHECK(refusal({.page_server = "host:27x"}) == "Invalid port number");
  CHECK(refusal({.page_server = "host:70000"}) == "Invalid port number");
  CHECK(refusal({.manage_cgroups_mode = "hard"}) == "invalid manage-cgroups-mode value");
  CHECK(refusal({.empty_ns = {"pid"}}) == "namespace \"pid\" is not supported");
}

TEST_CASE("a dump asks for what the options say") {
  const auto dump = DumpOptions({.parent_path = "../before",
                                 .leave_running = true,
                                 .tcp_skip_in_flight = true,
                                 .page_server = "[::1]:27",
                                 .manage_cgroups_mode = "ignore",
                                 .empty_ns = {"network"}},
                                {});
  REQUIRE(dump.ok());
  CHECK((*dump)["ps"] == Json{{"address", "::1"}, {"port", 27}});
  CHECK((*dump)["parent_img"] == "../before");
  CHECK((*dump)["track_mem"] == true);
  CHECK((*dump)["leave_running"] == true);
  CHECK((*dump)["tcp_skip_in_flight"] == true);
  CHECK((*dump)["manage_cgroups_mode"] == "IGNORE");
  CHECK((*dump)["empty_ns"] == CLONE_NEWNET);
  CHECK((*dump)["log_file"] == "dump.log");
}

TEST_CASE("the container's criu configuration file") {
  oci::Spec spec;
  CHECK((*DumpOptions({}, spec))["config_file"] == "/etc/criu/runc.conf");
  spec.annotations["org.criu.config"] = "/etc/criu/mine.conf";
  CHECK((*RestoreOptions({}, spec))["config_file"] == "/etc/criu/mine.conf");
  spec.annotations["org.criu.config"] = "";
  CHECK(!RestoreOptions({}, spec)->contains("config_file"));
}

TEST_CASE("namespaces that are not the container's own have a name") {
  CHECK(ExternalNamespaceKey(oci::NamespaceType::kNetwork) == "extRootNetNS");
  CHECK(ExternalNamespace(oci::NamespaceType::kPid, 7) == "pid[7]:extRootPidNS");
}

TEST_CASE("host mounts are the bind mounts, and cgroup v1") {
  const oci::Spec spec =
      SpecWith({{.destination = "/proc", .type = "proc", .source = "proc"},
                {.destination = "/data", .type = "", .source = "/srv", .options = {"rbind", "ro"}},
                {.destination = "/data", .source = "none", .options = {"bind", "remount", "ro"}},
                {.destination = "/sys/fs/cgroup", .type = "cgroup", .source = "cgroup"}});
  CHECK(FindHostMounts(spec, {{"", "/sys/fs/cgroup/box"}}) == HostMounts{{"/data", "/srv"}});
  const std::map<std::string, std::string> v1 = {{"memory", "/sys/fs/cgroup/memory/box"},
                                                 {"unified", "/sys/fs/cgroup/unified/box"}};
  CHECK(FindHostMounts(spec, v1) ==
        HostMounts{{"/data", "/srv"}, {"/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/box"}});
  oci::Spec own = spec;
  own.linux.namespaces.push_back({oci::NamespaceType::kCgroup, ""});
  CHECK(FindHostMounts(own, v1) == HostMounts{{"/data", "/srv"}});
}

TEST_CASE("pipes keep their numbers, other descriptors are not passed") {
  CHECK(InheritedPipes({"/dev/null", "pipe:[5]", "pipe:[6]"}) ==
        Json{{{"key", "pipe:[5]"}, {"fd", 1}}, {{"key", "pipe:[6]"}, {"fd", 2}}});
  CHECK(InheritedPipes({"socket:[1]"}).empty());
}

TEST_CASE("the reason is the first error of the log") {
  CHECK(FirstError("(00.01) Warn  (criu/x.c:1): odd\n"
                   "(00.02) Error (criu/mount.c:9): mnt: no (such): thing\n"
                   "(00.03) Error (criu/cr-dump.c:2093): Dumping FAILED.\n") ==
        "mnt: no (such): thing");
  CHECK(FirstError("Error (criu/vdso.c:381): vdso: bounds") == "vdso: bounds");
  CHECK(FirstError(
            "(00.03) Error (criu/tun.c:85): tun: Unable to create tun: Operation not permitted\n"
            "(00.04) Error (criu/vdso.c:381): vdso: bounds\n") == "vdso: bounds");
  CHECK(FirstError("(00.01) fine\n").empty());
}

}  // namespace ocirun::container
