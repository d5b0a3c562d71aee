// SPDX-License-Identifier: Apache-2.0
//
// The metadata database: SQLite with WAL, synchronous=FULL and foreign keys. What is in it is true
// on disk; what is on disk and not in it is garbage.
//
// One connection, guarded by a mutex: statements are short, and a writer is never starved. Any
// thread may use it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace ocirun::store {

using Value = std::variant<std::nullptr_t, int64_t, std::string>;

// One row of a result, its columns by position.
class Row {
 public:
  explicit Row(std::vector<Value> values) : values_(std::move(values)) {}
  [[nodiscard]] bool IsNull(size_t column) const;
  [[nodiscard]] int64_t Int(size_t column) const;       // 0 for null and text
  [[nodiscard]] std::string Text(size_t column) const;  // "" for null and numbers

 private:
  std::vector<Value> values_;
};

class Database {
 public:
  // Opens or makes the file (mode 0600) and brings its schema up to date (migrations.h).
  // FailedPrecondition when a newer program has written it.
  static StatusOr<std::unique_ptr<Database>> Open(const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Runs one statement with `?` bound in order. AlreadyExists for a unique key that is taken,
  // ResourceExhausted for a full disk, FailedPrecondition for a foreign key.
  StatusOr<std::vector<Row>> Query(std::string_view sql, const std::vector<Value>& values = {});
  Status Execute(std::string_view sql, const std::vector<Value>& values = {});

 private:
  friend class Transaction;
  explicit Database(sqlite3* connection) : connection_(connection) {}
  StatusOr<std::vector<Row>> Run(std::string_view sql, const std::vector<Value>& values);
  StatusOr<std::vector<Row>> RunOnce(std::string_view sql, const std::vector<Value>& values);
  Status Migrate();
  Status ErrorOf(int code, std::string_view sql) const;

  std::recursive_mutex mutex_;  // a transaction holds it over several statements
  sqlite3* connection_;
};

// Holds the database from its making; rolled back unless committed. Others wait: keep it short, and
// do no I/O but the database's inside.
class Transaction {
 public:
  static StatusOr<std::unique_ptr<Transaction>> Begin(Database* database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  Status Commit();

 private:
  explicit Transaction(Database* database) : database_(database), lock_(database->mutex_) {}
  Database* database_;
  std::unique_lock<std::recursive_mutex> lock_;
  bool open_ = false;
};

}  // namespace ocirun::store
