// SPDX-License-Identifier: Apache-2.0
#include "manager/store/database.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <thread>

#include "base/file.h"

namespace ocirun::store {
namespace {

struct TempDir {
  std::string path = "/tmp/ocirun-test.XXXXXX";
  TempDir() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~TempDir() { IgnoreError(RemoveTree(path), "a test's folder"); }
};

TEST_CASE("rows, constraints and transactions") {
  TempDir dir;
  auto database = Database::Open(dir.path + "/meta.db");
  REQUIRE_MESSAGE(database.ok(), MessageOf(database.status()));
  Database& db = **database;
  CHECK(db.Execute("INSERT INTO images VALUES (?, ?, ?)", {"a", "m", int64_t{7}}).ok());
  CHECK(db.Execute("INSERT INTO images VALUES (?, ?, ?)", {"a", "m", int64_t{7}}).code() ==
        StatusCode::kAlreadyExists);
  CHECK(db.Execute("INSERT INTO image_references VALUES ('n', 'none', 't', 0)").code() ==
        StatusCode::kFailedPrecondition);
  {
    const auto transaction = Transaction::Begin(&db);
    REQUIRE(transaction.ok());
    CHECK(db.Execute("DELETE FROM images").ok());
  }  // rolled back
  const auto rows = db.Query("SELECT created, id, NULL FROM images");
  REQUIRE(rows.ok());
  REQUIRE(rows->size() == 1);
  CHECK(rows->at(0).Int(0) == 7);
  CHECK(rows->at(0).Text(1) == "a");
  CHECK(rows->at(0).IsNull(2));
  CHECK(db.Execute("nonsense").code() == StatusCode::kInternal);
}

TEST_CASE("it is there after a restart, and a newer schema is refused") {
  TempDir dir;
  const std::string path = dir.path + "/meta.db";
  CHECK(Database::Open(path).value()->Execute("INSERT INTO images VALUES ('a','m',1)").ok());
  auto database = Database::Open(path);
  REQUIRE(database.ok());
  CHECK((*database)->Query("SELECT * FROM images")->size() == 1);
  CHECK((*database)->Execute("PRAGMA user_version=99").ok());
  database->reset();
  CHECK(Database::Open(path).status().code() == StatusCode::kFailedPrecondition);
}

TEST_CASE("many threads at once") {
  TempDir dir;
  auto database = Database::Open(dir.path + "/meta.db");
  REQUIRE(database.ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i)
        IgnoreError((*database)->Execute("INSERT INTO images VALUES (?, 'm', 1)",
                                         {fmt::format("{}-{}", t, i)}),
                    "counted below");
    });
  for (auto& thread : threads) thread.join();
  CHECK((*database)->Query("SELECT * FROM images")->size() == 80);
}

}  // namespace
}  // namespace ocirun::store
