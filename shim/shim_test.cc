// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "shim/flags.h"
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
  CHECK(ParseStdioUri("")->log_format == nullptr);
  for (const char* bad :
       {"json-file://rel", "attach:///x?y=1", "json-file:///x?max-file=0", "json-file:///x?z=1",
        "json-file:///%zz", "json-file:///x?max-size=1k", "json-file:///x?compress=true",
        "json-file:///x?compress=1", "json-file:///x?max-size=1&max-file=1&compress=true"})
    CHECK(ParseStdioUri(bad).status().code() == StatusCode::kInvalidArgument);
  CHECK(ParseStdioUri("binary:///x").status().code() == StatusCode::kUnimplemented);
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
