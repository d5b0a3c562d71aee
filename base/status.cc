// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <absl/strings/cord.h>

#include <charconv>
#include <cstring>
#include <optional>

namespace ocirun {
namespace {

constexpr char kErrnoUrl[] = "ocirun/errno";

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

StatusCode CodeOf(int err) {
  switch (err) {
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
      return StatusCode::kInvalidArgument;
    case ENOENT:
    case ESRCH:
    case ENODEV:
    case ENXIO:
      return StatusCode::kNotFound;
    case EEXIST:
    case EADDRINUSE:
      return StatusCode::kAlreadyExists;
    case EPERM:
    case EACCES:
    case EROFS:
      return StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return StatusCode::kResourceExhausted;
    case EBUSY:
    case ENOTEMPTY:
    case ETXTBSY:
      return StatusCode::kFailedPrecondition;
    case ENOSYS:
    case EOPNOTSUPP:
      return StatusCode::kUnimplemented;
    case ETIMEDOUT:
      return StatusCode::kDeadlineExceeded;
    case EAGAIN:
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
      return StatusCode::kUnavailable;
    default:
      return StatusCode::kInternal;
  }
}

}  // namespace

Status ErrorText(StatusCode code, std::string message) { return Status(code, View(message)); }

Status SysError(int err, std::string_view op, std::string_view target) {
  char buffer[128];
  const char* reason = ::strerror_r(err, buffer, sizeof buffer);
  Status status = target.empty() ? Error(CodeOf(err), "{}: {}", op, reason)
                                 : Error(CodeOf(err), "{} {}: {}", op, target, reason);
  status.SetPayload(kErrnoUrl, absl::Cord(absl::string_view(std::to_string(err))));
  return status;
}

int ErrnoOf(const Status& status) {
  const auto payload = status.GetPayload(kErrnoUrl);
  if (!payload.has_value()) return 0;
  const std::string text(*payload);
  int err = 0;
  std::from_chars(text.data(), text.data() + text.size(), err);
  return err;
}

Status Annotate(const Status& status, std::string_view context) {
  if (status.ok()) return status;
  Status annotated = ErrorText(status.code(), fmt::format("{}: {}", context, MessageOf(status)));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

std::string MessageOf(const Status& status) {
  return std::string(status.message().data(), status.message().size());
}

}  // namespace ocirun
