// SPDX-License-Identifier: Apache-2.0
#include "manager/container/log_options.h"

#include <doctest/doctest.h>

#include <map>

namespace ocirun::container {
namespace {

StatusOr<LogOptions> Parse(const std::string& type,
                           const std::map<std::string, std::string>& options) {
  ocid::v1::LogConfig config;
  config.set_type(type);
  config.mutable_options()->insert(options.begin(), options.end());
  return ParseLogConfig(config);
}

TEST_CASE("sizes of logs are in units of 1000") {
  const std::map<std::string, uint64_t> kSizes = {{"10", 10},          {"10k", 10'000},
                                                  {"1.5M", 1'500'000}, {"2g", 2'000'000'000},
                                                  {"3kb", 3'000},      {"3 KiB", 3'000}};
  for (const auto& [text, bytes] : kSizes)
    CHECK(Parse("", {{"max-size", text}})->max_size == bytes);
  for (const char* bad : {"", "-1", "0", "x", "10x", "10mm", "1e3", "k", "99999p", "10m5"})
    CHECK(Parse("", {{"max-size", bad}}).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("drivers and options of logs: what is not known is refused by name") {
  const auto all =
      Parse("json-file", {{"max-size", "1m"}, {"max-file", "3"}, {"compress", "true"}});
  REQUIRE(all.ok());
  CHECK(all->kept);
  CHECK(all->max_file == 3);
  CHECK(all->compress);
  CHECK(Parse("", {})->max_file == 1);
  CHECK_FALSE(Parse("none", {})->kept);
  CHECK(MessageOf(Parse("syslog", {}).status()) == "--log-driver syslog is not supported yet");
  CHECK(MessageOf(Parse("", {{"labels", "x"}}).status()) ==
        "unknown log opt 'labels' for json-file log driver");
  CHECK(MessageOf(Parse("none", {{"max-size", "1m"}}).status()) ==
        "unknown log opt 'max-size' for none log driver");
  for (const char* bad : {"0", "-1", "", "x", "1x"})
    CHECK_FALSE(Parse("", {{"max-file", bad}}).ok());
  CHECK_FALSE(Parse("", {{"compress", "true"}}).ok());
  CHECK_FALSE(Parse("", {{"compress", "true"}, {"max-size", "1m"}}).ok());
  CHECK_FALSE(Parse("", {{"compress", "1"}, {"max-size", "1m"}, {"max-file", "2"}}).ok());
}

}  // namespace
}  // namespace ocirun::container
