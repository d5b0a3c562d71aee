// SPDX-License-Identifier: Apache-2.0
#include "ocirun/criu/translate.h"

#include <doctest/doctest.h>

#include "base/json.h"
#include "criu/rpc.pb.h"

namespace ocirun::criu_rpc {

TEST_CASE("a request becomes the message with the same names") {
  const auto packet = RequestFromJson(R"({
      "type": "RESTORE", "keep_open": true,
      "opts": {"images_dir_fd": 5, "root": "/r", "shell_job": true, "empty_ns": 1073741824,
               "manage_cgroups_mode": "SOFT", "external": ["net[4]:extRootNetNS"],
               "ext_mnt": [{"key": "/data", "val": "/srv"}],
               "inherit_fd": [{"key": "pipe:[9]", "fd": 1}],
               "cg_root": [{"ctrl": "", "path": "/box"}],
               "join_ns": [{"ns": "ipc", "ns_file": "/proc/1/ns/ipc"}],
               "ps": {"address": "10.0.0.1", "port": 27}}})");
  REQUIRE(packet.ok());
  criu::Request request;
  REQUIRE(request.ParseFromString(*packet));
  CHECK(request.type() == criu::RESTORE);
  CHECK(request.keep_open());
  CHECK(request.opts().images_dir_fd() == 5);
  CHECK(request.opts().root() == "/r");
  CHECK(request.opts().shell_job());
  CHECK(!request.opts().has_leave_running());
  CHECK(request.opts().empty_ns() == 0x40000000);
  CHECK(request.opts().manage_cgroups_mode() == criu::SOFT);
  CHECK(request.opts().external(0) == "net[4]:extRootNetNS");
  CHECK(request.opts().ext_mnt(0).val() == "/srv");
  CHECK(request.opts().inherit_fd(0).fd() == 1);
  CHECK(request.opts().cg_root(0).path() == "/box");
  CHECK(request.opts().join_ns(0).ns_file() == "/proc/1/ns/ipc");
  CHECK(request.opts().ps().port() == 27);
}

TEST_CASE("what the messages have no field for is refused by name") {
  for (const char* json : {R"({"type":"NONSENSE"})", R"({"type":"DUMP","opts":{"colour":true}})",
                           R"({"type":"DUMP","opts":{"manage_cgroups_mode":"SOFTLY"}})",
                           R"({"type":"DUMP","opts":{"pid":4294967296}})",
                           R"({"type":"DUMP","opts":{"ext_mnt":[{"key":"/x"}]}})"}) {
    CAPTURE(json);
    CHECK(RequestFromJson(json).status().code() == StatusCode::kInvalidArgument);
  }
  CHECK(MessageOf(RequestFromJson(R"({"type":"DUMP","opts":{"colour":true}})").status())
            .find("opts.colour") != std::string::npos);
}

TEST_CASE("an answer tells what it holds") {
  criu::Response response;
  response.set_type(criu::NOTIFY);
  response.set_success(true);
  response.mutable_notify()->set_script("post-restore");
  response.mutable_notify()->set_pid(7);
  const auto text = ResponseToJson(response.SerializeAsString());
  REQUIRE(text.ok());
  CHECK(*ParseJson(*text) == Json{{"type", "NOTIFY"},
                                  {"success", true},
                                  {"notify", {{"script", "post-restore"}, {"pid", 7}}}});
  response.Clear();
  response.set_type(criu::VERSION);
  response.set_success(true);
  response.mutable_version()->set_major_number(3);
  response.mutable_version()->set_minor_number(17);
  response.mutable_version()->set_sublevel(1);
  CHECK((*ParseJson(*ResponseToJson(response.SerializeAsString())))["version"] == 31701);
  CHECK(!ResponseToJson("\xff\xff").ok());
}

}  // namespace ocirun::criu_rpc
