// SPDX-License-Identifier: Apache-2.0
//
// The one regime for errors. Everything that can fail returns absl::Status or absl::StatusOr<T>.
// The code is coarse (it maps to gRPC codes); the errno of a failed system call travels beside it
// as a payload, so that decisions are made on ErrnoOf() and never on message text. Each layer adds
// what it knows with Annotate(), once; a message is lower case, without a full stop, and says in
// one line what to change.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace ocirun {

using absl::Status;
using absl::StatusCode;
template <typename T>
using StatusOr = absl::StatusOr<T>;

// A Status with a formatted message: Error(StatusCode::kNotFound, "no such container: {}", id).
Status ErrorText(StatusCode code, std::string message);
template <typename... Args>
Status Error(StatusCode code, fmt::format_string<Args...> format, Args&&... args) {
  return ErrorText(code, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
Status InvalidArgument(fmt::format_string<Args...> format, Args&&... args) {
  return ErrorText(StatusCode::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
Status NotFound(fmt::format_string<Args...> format, Args&&... args) {
  return ErrorText(StatusCode::kNotFound, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
Status FailedPrecondition(fmt::format_string<Args...> format, Args&&... args) {
  return ErrorText(StatusCode::kFailedPrecondition,
                   fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
Status Internal(fmt::format_string<Args...> format, Args&&... args) {
  return ErrorText(StatusCode::kInternal, fmt::format(format, std::forward<Args>(args)...));
}
// For what a specification knows and we do not do yet: refused by name, never ignored.
template <typename... Args>
Status Unsupported(fmt::format_string<Args...> format, Args&&... args) {
  return ErrorText(StatusCode::kUnimplemented, fmt::format(format, std::forward<Args>(args)...));
}

// "<op> <target>: <strerror>", with errno as payload: SysError(errno, "mount", "proc on /proc").
// Pass errno as the first thing: building the arguments may change it.
Status SysError(int err, std::string_view op, std::string_view target = {});

// The errno that a failed system call left in `status`; 0 when there is none.
int ErrnoOf(const Status& status);

// Prefixes "<context>: ", keeping code and payloads. OK stays OK.
Status Annotate(const Status& status, std::string_view context);

// The message as std::string (absl's string_view does not convert to the standard one).
std::string MessageOf(const Status& status);

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
    ::absl::Status status_macro_value = (expr);              \
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
