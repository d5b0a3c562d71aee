// SPDX-License-Identifier: Apache-2.0
#include "manager/content/content_store.h"

#include <doctest/doctest.h>

#include "base/file.h"

namespace ocirun::content {
namespace {

std::unique_ptr<ContentStore> OpenStore(const std::string& folder) {
  auto store = ContentStore::Open(folder);
  REQUIRE(store.ok());
  return *std::move(store);
}

struct TemporaryFolder {
  TemporaryFolder() {
    char text[] = "/tmp/content-test-XXXXXX";
    path = mkdtemp(text);
  }
  ~TemporaryFolder() { IgnoreError(RemoveTree(path), "a test's own folder"); }
  std::string path;
};

TEST_CASE("a blob is whole or not there") {
  const TemporaryFolder folder;
  const auto store = OpenStore(folder.path);
  const std::string digest = DigestOf("hello");
  CHECK(digest == "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  {
    const auto writer = store->StartWrite(digest, 5, {});
    REQUIRE(writer.ok());
    CHECK((*writer)->Write("he").ok());
  }
  CHECK_FALSE(store->Has(digest));

  const auto writer = store->StartWrite(digest, 5, {});  // goes on where it stopped
  REQUIRE(writer.ok());
  CHECK((*writer)->offset() == 2);
  CHECK((*writer)->Write("llo").ok());
  CHECK((*writer)->Commit().ok());
  CHECK(store->Has(digest));
  CHECK(*store->Read(digest, 100) == "hello");
  CHECK(*store->StartWrite(DigestOf("other"), 5, {}) != nullptr);
}

TEST_CASE("wrong bytes never become a blob and are not resumed") {
  const TemporaryFolder folder;
  const auto store = OpenStore(folder.path);
  const std::string digest = DigestOf("hello");
  for (const std::string_view wrong : {"hellO", "hell"}) {
    const auto writer = store->StartWrite(digest, 5, {});
    REQUIRE(writer.ok());
    CHECK((*writer)->offset() == 0);
    CHECK((*writer)->Write(wrong).ok());
    CHECK((*writer)->Commit().code() == StatusCode::kDataLoss);
  }
  const auto writer = store->StartWrite(digest, 5, {});
  CHECK((*writer)->Write("hello and more").code() == StatusCode::kDataLoss);
  CHECK_FALSE(store->Has(digest));
}

TEST_CASE("a reader follows a writer") {
  BlobFeed feed;
  feed.Advance(10);
  CHECK(feed.WaitBeyond(3, {})->available == 10);
  feed.Finish(Error(StatusCode::kDataLoss, "torn"));
  CHECK(feed.WaitBeyond(10, {}).status().code() == StatusCode::kDataLoss);

  BlobFeed idle;
  std::stop_source stop;
  stop.request_stop();
  CHECK(idle.WaitBeyond(0, stop.get_token()).status().code() == StatusCode::kCancelled);
}

}  // namespace
}  // namespace ocirun::content
