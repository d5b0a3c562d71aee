// SPDX-License-Identifier: Apache-2.0
#include "ocirun/container/state.h"

#include <doctest/doctest.h>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/testing/temp_dir.h"

namespace ocirun::container {
namespace {

TEST_CASE("a container that is deleted after its record was read does not exist") {
  const testing::TempDir root;
  const Store store(root.path);
  REQUIRE(store.Add("box", "{").ok());
  Record record;
  record.id = "box";
  REQUIRE(store.Save(record).ok());
  REQUIRE(store.Load("box").ok());
  CHECK(store.LoadSpec(record).status().code() == StatusCode::kInvalidArgument);
  REQUIRE(store.Remove("box").ok());
  CHECK(MessageOf(store.LoadSpec(record).status()) == "container does not exist");
  // Its config.json alone is something else.
  REQUIRE(store.Add("box", "{").ok());
  REQUIRE(store.Save(record).ok());
  REQUIRE(sys::Unlink(store.Folder("box") + "/config.json").ok());
  CHECK(store.LoadSpec(record).status().code() == StatusCode::kNotFound);
  CHECK(MessageOf(store.LoadSpec(record).status()) != "container does not exist");
}

}  // namespace
}  // namespace ocirun::container
