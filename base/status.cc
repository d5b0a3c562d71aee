// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ocirun {
namespace {

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

Status::Status(StatusCode code, std::string message, int err) {
  if (code == StatusCode::kOk) return;
  failure_ = std::make_shared<const Failure>(
      Failure{.code = code, .err = err, .message = std::move(message)});
}

void status_internal::DieOfError(const Status& status) {
  const std::string message = MessageOf(status);
  std::fprintf(stderr, "a value was taken that is not there: %s\n", message.c_str());
  std::abort();
}

std::string ErrnoText(int err) {
  char buffer[128];
  std::string text = ::strerror_r(err, buffer, sizeof buffer);
  // "RFC …", a name, stays as it is.
  const auto is = [](char c, char from, char to) { return c >= from && c <= to; };
  if (text.size() > 1 && is(text[0], 'A', 'Z') && is(text[1], 'a', 'z'))
    text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

Status SysError(int err, std::string_view op, std::string_view target) {
  const std::string reason = ErrnoText(err);
  return {CodeOf(err),
          target.empty() ? fmt::format("{}: {}", op, reason)
                         : fmt::format("{} {}: {}", op, target, reason),
          err};
}

Status Annotate(const Status& status, std::string_view context) {
  if (status.ok()) return status;
  return {status.code(), fmt::format("{}: {}", context, status.message()), status.error_number()};
}

}  // namespace ocirun
