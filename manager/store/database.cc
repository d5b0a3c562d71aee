// SPDX-License-Identifier: Apache-2.0
#include "manager/store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "base/sys/file.h"
#include "manager/store/migrations.h"

namespace ocirun::store {
namespace {

constexpr int kBusyMilliseconds = 10'000;

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { ::sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

int Bind(sqlite3_stmt* statement, int position, const Value& value) {
  if (const auto* number = std::get_if<int64_t>(&value))
    return ::sqlite3_bind_int64(statement, position, *number);
  if (const auto* text = std::get_if<std::string>(&value))
    return ::sqlite3_bind_text(statement, position, text->data(), static_cast<int>(text->size()),
                               SQLITE_TRANSIENT);
  return ::sqlite3_bind_null(statement, position);
}

Row ReadRow(sqlite3_stmt* statement) {
  std::vector<Value> values;
  const int columns = ::sqlite3_column_count(statement);
  for (int i = 0; i < columns; ++i) {
    switch (::sqlite3_column_type(statement, i)) {
      case SQLITE_INTEGER:
        values.emplace_back(int64_t{::sqlite3_column_int64(statement, i)});
        break;
      case SQLITE_NULL:
        values.emplace_back(nullptr);
        break;
      default: {
        const auto* text = reinterpret_cast<const char*>(::sqlite3_column_text(statement, i));
        values.emplace_back(
            std::string(text, static_cast<size_t>(::sqlite3_column_bytes(statement, i))));
      }
    }
  }
  return Row(std::move(values));
}

// Space beyond the end of the database or its log, so that on a full disk what frees space, the
// removal of a container or an image, can still be written.
void Reserve(const std::string& path) {
  constexpr off_t kReserved = 512 << 10;
  const StatusOr<UniqueFd> file = sys::Open(path, O_RDWR);
  struct stat now{};
  if (!file.ok() || ::fstat(file->get(), &now) != 0) return;
  // A file system that knows no reservation goes without.
  (void)::fallocate(file->get(), FALLOC_FL_KEEP_SIZE, now.st_size, kReserved);
}

}  // namespace

bool Row::IsNull(size_t column) const {
  return std::holds_alternative<std::nullptr_t>(values_[column]);
}
int64_t Row::Int(size_t column) const {
  const auto* number = std::get_if<int64_t>(&values_[column]);
  return number == nullptr ? 0 : *number;
}
std::string Row::Text(size_t column) const {
  const auto* text = std::get_if<std::string>(&values_[column]);
  return text == nullptr ? std::string() : *text;
}

StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  // Made by us first, so that its mode is never wider.
  RETURN_IF_ERROR(sys::Open(path, O_RDWR | O_CREAT, 0600).status());
  sqlite3* connection = nullptr;
  const int code = ::sqlite3_open_v2(path.c_str(), &connection,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, nullptr);
  std::unique_ptr<Database> database(new Database(connection));
  if (code != SQLITE_OK) return database->ErrorOf(code, path);
  ::sqlite3_busy_timeout(connection, kBusyMilliseconds);
  for (const char* pragma :
       {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON"})
    RETURN_IF_ERROR(database->Execute(pragma));
  RETURN_IF_ERROR(Annotate(database->Migrate(), path));
  for (const char* end : {"", "-wal"}) Reserve(path + end);
  return database;
}

Database::~Database() { ::sqlite3_close_v2(connection_); }

Status Database::ErrorOf(int code, std::string_view sql) const {
  const std::string text = ::sqlite3_errmsg(connection_);
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
      if (::sqlite3_extended_errcode(connection_) == SQLITE_CONSTRAINT_FOREIGNKEY)
        return FailedPrecondition("database: {}", text);
      return Error(StatusCode::kAlreadyExists, "database: {}", text);
    case SQLITE_FULL:
      return Error(StatusCode::kResourceExhausted, "database: {}", text);
    case SQLITE_IOERR:
      return Internal("database: {} (is the disk full or failing?)", text);
    default:
      return Internal("database: {} in {:?}", text, sql.substr(0, 60));
  }
}

StatusOr<std::vector<Row>> Database::Query(std::string_view sql, const std::vector<Value>& values) {
  const std::lock_guard lock(mutex_);
  return Run(sql, values);
}

Status Database::Execute(std::string_view sql, const std::vector<Value>& values) {
  return Query(sql, values).status();
}

StatusOr<std::vector<Row>> Database::Run(std::string_view sql, const std::vector<Value>& values) {
  StatusOr<std::vector<Row>> rows = RunOnce(sql, values);
  // The disk is full: the log is emptied into the database, and begins anew in the space it has.
  if (rows.status().code() == StatusCode::kResourceExhausted &&
      ::sqlite3_get_autocommit(connection_) != 0 &&
      ::sqlite3_wal_checkpoint_v2(connection_, nullptr, SQLITE_CHECKPOINT_RESTART, nullptr,
                                  nullptr) == SQLITE_OK) {
    return RunOnce(sql, values);
  }
  return rows;
}

StatusOr<std::vector<Row>> Database::RunOnce(std::string_view sql,
                                             const std::vector<Value>& values) {
  sqlite3_stmt* raw = nullptr;
  int code =
      ::sqlite3_prepare_v2(connection_, sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
  const Statement statement(raw);
  if (code != SQLITE_OK) return ErrorOf(code, sql);
  for (size_t i = 0; i < values.size(); ++i) {
    code = Bind(statement.get(), static_cast<int>(i) + 1, values[i]);
    if (code != SQLITE_OK) return ErrorOf(code, sql);
  }
  std::vector<Row> rows;
  while ((code = ::sqlite3_step(statement.get())) == SQLITE_ROW)
    rows.push_back(ReadRow(statement.get()));
  if (code != SQLITE_DONE) return ErrorOf(code, sql);
  return rows;
}

// PRAGMA user_version is the number of the last migration that ran.
Status Database::Migrate() {
  ASSIGN_OR_RETURN(const std::vector<Row> rows, Query("PRAGMA user_version"));
  const int64_t version = rows[0].Int(0);
  const std::vector<Migration>& migrations = Migrations();
  if (version > migrations.back().number)
    return FailedPrecondition("written by a newer version (schema {}, this one knows {})", version,
                              migrations.back().number);
  for (const Migration& migration : migrations) {
    if (migration.number <= version) continue;
    ASSIGN_OR_RETURN(const auto transaction, Transaction::Begin(this));
    for (const char* sql : migration.statements)
      RETURN_IF_ERROR(Annotate(Execute(sql), migration.name));
    RETURN_IF_ERROR(Execute(fmt::format("PRAGMA user_version={}", migration.number)));
    RETURN_IF_ERROR(transaction->Commit());
  }
  return OkStatus();
}

StatusOr<std::unique_ptr<Transaction>> Transaction::Begin(Database* database) {
  std::unique_ptr<Transaction> transaction(new Transaction(database));
  RETURN_IF_ERROR(database->Execute("BEGIN IMMEDIATE"));
  transaction->open_ = true;
  return transaction;
}

Transaction::~Transaction() {
  if (open_) IgnoreError(database_->Execute("ROLLBACK"), "a failed statement may have done it");
}

Status Transaction::Commit() {
  RETURN_IF_ERROR(database_->Execute("COMMIT"));
  open_ = false;
  return OkStatus();
}

}  // namespace ocirun::store
