// SPDX-License-Identifier: Apache-2.0
//
// The one regime for errors. Everything that can fail returns Status or StatusOr<T>. The code is
// coarse (it is gRPC's); the errno of a failed system call travels beside it, so that decisions are
// made on ErrnoOf() and never on message text. Each layer adds what it knows with Annotate(), once;
// a message is lower case, without a full stop, and says in one line what to change.
//
// The interface is abseil's. The classes are ours because abseil's carry ropes, mutexes, time zones
// and the standard streams into every program: a fifth of the runtime.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ocirun {

// gRPC's codes, by their numbers (grpc/status.h).
enum class StatusCode {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// Success, at the cost of a pointer, or an error. Copies share it.
class [[nodiscard]] Status {
 public:
  Status() = default;
  // `err`: the errno that it comes from; 0: none. A code of kOk makes no error.
  Status(StatusCode code, std::string message, int err = 0);

  [[nodiscard]] bool ok() const { return failure_ == nullptr; }
  [[nodiscard]] StatusCode code() const { return ok() ? StatusCode::kOk : failure_->code; }
  [[nodiscard]] std::string_view message() const {
    return ok() ? std::string_view() : failure_->message;
  }
  [[nodiscard]] int error_number() const { return ok() ? 0 : failure_->err; }

  // Keeps the first error of several.
  void Update(const Status& other) {
    if (ok()) failure_ = other.failure_;
  }

 private:
  struct Failure {
    StatusCode code;
    int err;
    std::string message;
  };
  std::shared_ptr<const Failure> failure_;
};

inline Status OkStatus() { return {}; }

namespace status_internal {
// A program that takes a value that is not there ends, with the error that it passed over.
[[noreturn]] void DieOfError(const Status& status);
}  // namespace status_internal

// A value, or why there is none.
template <typename T>
class [[nodiscard]] StatusOr {
 public:
  // The error must be one: success without a value ends the program.
  StatusOr(Status error) : status_(std::move(error)) {
    if (status_.ok()) status_internal::DieOfError(status_);
  }
  // In place: a T that is optional itself may be made from nullopt, and that is a value.
  template <typename U = T>
    requires(std::constructible_from<T, U &&> && !std::same_as<std::remove_cvref_t<U>, Status> &&
             !std::same_as<std::remove_cvref_t<U>, StatusOr>)
  StatusOr(U&& value) : value_(std::in_place, std::forward<U>(value)) {}

  [[nodiscard]] bool ok() const { return value_.has_value(); }
  [[nodiscard]] const Status& status() const& { return status_; }
  [[nodiscard]] Status status() && { return std::move(status_); }

  const T& value() const& { return Checked(*this); }
  T& value() & { return Checked(*this); }
  T&& value() && { return std::move(Checked(*this)); }
  const T& operator*() const& { return Checked(*this); }
  T& operator*() & { return Checked(*this); }
  T&& operator*() && { return std::move(Checked(*this)); }
  const T* operator->() const { return &Checked(*this); }
  T* operator->() { return &Checked(*this); }
  template <typename U>
  [[nodiscard]] T value_or(U&& otherwise) const& {
    return ok() ? *value_ : static_cast<T>(std::forward<U>(otherwise));
  }
  template <typename U>
  [[nodiscard]] T value_or(U&& otherwise) && {
    return ok() ? std::move(*value_) : static_cast<T>(std::forward<U>(otherwise));
  }

 private:
  template <typename Self>
  static auto& Checked(Self& self) {
    if (!self.ok()) status_internal::DieOfError(self.status_);
    return *self.value_;
  }

  Status status_;
  std::optional<T> value_;
};

inline bool IsNotFound(const Status& status) { return status.code() == StatusCode::kNotFound; }

// A Status with a formatted message: Error(StatusCode::kNotFound, "no such container: {}", id).
template <typename... Args>
Status Error(StatusCode code, fmt::format_string<Args...> format, Args&&... args) {
  return Status(code, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
Status InvalidArgument(fmt::format_string<Args...> format, Args&&... args) {
  return Status(StatusCode::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
Status NotFound(fmt::format_string<Args...> format, Args&&... args) {
  return Status(StatusCode::kNotFound, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
Status FailedPrecondition(fmt::format_string<Args...> format, Args&&... args) {
  return Status(StatusCode::kFailedPrecondition, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
Status Internal(fmt::format_string<Args...> format, Args&&... args) {
  return Status(StatusCode::kInternal, fmt::format(format, std::forward<Args>(args)...));
}
// For what a specification knows and we do not do yet: refused by name, never ignored.
template <typename... Args>
Status Unsupported(fmt::format_string<Args...> format, Args&&... args) {
  return Status(StatusCode::kUnimplemented, fmt::format(format, std::forward<Args>(args)...));
}

// strerror(3)'s text as it stands in the middle of a line, "no such file or directory": the words
// of Go's programs, which callers of the peers match.
std::string ErrnoText(int err);
// "<op> <target>: <ErrnoText>", with its errno: SysError(errno, "mount", "proc on /proc").
// Pass errno as the first thing: building the arguments may change it.
Status SysError(int err, std::string_view op, std::string_view target = {});

// The errno that a failed system call left in `status`; 0 when there is none.
inline int ErrnoOf(const Status& status) { return status.error_number(); }

// Prefixes "<context>: ", keeping code and errno. OK stays OK.
Status Annotate(const Status& status, std::string_view context);

inline std::string MessageOf(const Status& status) { return std::string(status.message()); }

// Drops an error on purpose; `why` is the sentence that a reader needs.
inline void IgnoreError(const Status&, std::string_view /*why*/) {}

// Runs its function at the end of the scope unless released: the owner of a half-made thing.
template <typename F>
class [[nodiscard]] Undo {
 public:
  explicit Undo(F undo) : undo_(std::move(undo)) {}
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  ~Undo() {
    if (armed_) undo_();
  }
  void Release() { armed_ = false; }

 private:
  F undo_;
  bool armed_ = true;
};

}  // namespace ocirun

#define OCIRUN_CONCAT_(a, b) a##b
#define OCIRUN_CONCAT(a, b) OCIRUN_CONCAT_(a, b)

#define RETURN_IF_ERROR(expr)                                \
  do {                                                       \
    ::ocirun::Status status_macro_value = (expr);            \
    if (!status_macro_value.ok()) return status_macro_value; \
  } while (false)

// ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(path));  ASSIGN_OR_RETURN(auto x, Annotate...) is not
// possible on a StatusOr: annotate inside the callee, or check by hand.
#define ASSIGN_OR_RETURN(lhs, expr) \
  OCIRUN_ASSIGN_OR_RETURN_(OCIRUN_CONCAT(status_or_, __LINE__), lhs, expr)
#define OCIRUN_ASSIGN_OR_RETURN_(tmp, lhs, expr) \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp).status(); \
  lhs = std::move(tmp).value()
