// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "shim/flags.h"
#include "shim/oom.h"
#include "shim/stdio_uri.h"

namespace ocirun::shim {
namespace {

TEST_CASE("where output goes") {
  const auto uri = ParseStdioUri(
      "json-file:///l/a%20b.log?attach=%2Frun%2Fs&max-size=10&max-file=3&compress=true");
  REQUIRE(uri.ok());
  CHECK(uri->log_format == &kJsonFormat);
  CHECK(uri->log.path == "/l/a b.log");
  CHECK(uri->attach_path == "/run/s");
  CHECK(uri->log.max_size == 10);
  CHECK(uri->log.max_file == 3);
  CHECK(uri->log.compress);
  CHECK(ParseStdioUri("cri:///l/0.log")->log_format == &kCriFormat);
  CHECK(ParseStdioUri("attach:///run/x")->attach_path == "/run/x");
  CHECK(ParseStdioUri("attach:///run/x")->log_format == nullptr);
  CHECK_FALSE(ParseStdioUri("attach:///run/x")->keep.has_value());
  CHECK(ParseStdioUri("attach:///run/x?keep=90")->keep == std::chrono::seconds(90));
  CHECK(ParseStdioUri("")->log_format == nullptr);
  for (const char* bad :
       {"json-file://rel", "attach:///x?y=1", "json-file:///x?max-file=0", "json-file:///x?z=1",
        "json-file:///%zz", "attach:///x?keep", "attach:///x?keep=-1", "json-file:///x?keep=1",
        "json-file:///x?max-size=1k", "json-file:///x?compress=true", "json-file:///x?compress=1",
        "json-file:///x?max-size=1&max-file=1&compress=true"})
    CHECK(ParseStdioUri(bad).status().code() == StatusCode::kInvalidArgument);
  CHECK(ParseStdioUri("npipe:///x").status().code() == StatusCode::kUnimplemented);
}

TEST_CASE("whom the kernel killed for memory, and what the cgroup held") {
  OomLog log("/sys/fs/cgroup/memory/pods/box");
  const auto read = [&](std::initializer_list<const char*> lines) {
    for (const char* line : lines) log.Read(line);
  };
  read({"kmem: usage 540kB, limit 9007199254740988kB, failcnt 0",
        "Memory cgroup stats for /outer/pods/box:", "cache 4096", "rss 33050624", "pgfault x",
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=box,mems_allowed=0,"
        "oom_memcg=/outer/pods,task_memcg=/outer/pods/box,task=a,b,pid=12,uid=0"});
  REQUIRE(log.last());
  CHECK(log.last()->cgroup == "/outer/pods");
  CHECK(log.last()->pid == 12);
  CHECK(log.last()->command == "a,b");
  CHECK(log.last()->memory == std::map<std::string, uint64_t>{
                                  {"kernel", 540 * 1024}, {"cache", 4096}, {"rss", 33050624}});
  // Another cgroup's, though its name ends alike, and a line that is cut off.
  read(
      {"oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/mybox,task_memcg=/"
       "mybox,task=c,pid=13,uid=0",
       "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/box", "oom-kill:"});
  CHECK(log.last()->pid == 12);
  // All numbers in one record, which ends in the middle of one.
  read({"Memory cgroup stats for /box:", "anon 1\\x0afile 20\\x0akernel 300\\x0apgfau",
        "oom-kill:oom_memcg=/box,task_memcg=/box,task=c\\x0ad,pid=13,uid=0"});
  CHECK(log.last()->pid == 13);
  CHECK(log.last()->memory ==
        std::map<std::string, uint64_t>{{"anon", 1}, {"file", 20}, {"kernel", 300}});
  // A kill because the machine's memory is full names no cgroup that had a limit.
  read({"Memory cgroup stats for /x:", "anon 7",
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),global_oom,task_memcg=/box,task=d,"
        "pid=14,uid=0"});
  CHECK(log.last()->pid == 14);
  CHECK(log.last()->cgroup.empty());
}

TEST_CASE("flags in Go's style") {
  const auto flags =
      ParseFlags({"-namespace", "ns", "--id=box", "-debug", "-address", "/a", "start"});
  REQUIRE(flags.ok());
  CHECK(flags->name_space == "ns");
  CHECK(flags->id == "box");
  CHECK(flags->debug);
  CHECK(flags->action == "start");
  CHECK_FALSE(ParseFlags({"-nope", "x"}).ok());
  CHECK_FALSE(ParseFlags({"-id"}).ok());
  CHECK_FALSE(ParseFlags({"frobnicate"}).ok());
}

}  // namespace
}  // namespace ocirun::shim
