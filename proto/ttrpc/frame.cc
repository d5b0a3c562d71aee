// SPDX-License-Identifier: Apache-2.0
#include "proto/ttrpc/frame.h"

#include <algorithm>
#include <utility>

namespace ocirun::ttrpc {
namespace {

void PutBigEndian(uint32_t value, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) *out += static_cast<char>(value >> shift & 0xff);
}

uint32_t GetBigEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes.substr(0, 4)) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

// What containerd's servers end a message of the class with; those of an unknown one with nothing.
std::string ClassSuffix(StatusCode code) {
  switch (code) {
    case StatusCode::kInvalidArgument:
      return ": invalid argument";
    case StatusCode::kNotFound:
      return ": not found";
    case StatusCode::kAlreadyExists:
      return ": already exists";
    case StatusCode::kFailedPrecondition:
      return ": failed precondition";
    case StatusCode::kUnimplemented:
      return ": not implemented";
    case StatusCode::kUnavailable:
      return ": unavailable";
    default:
      return "";
  }
}

}  // namespace

std::string EncodeFrame(uint32_t stream, FrameType type, std::string_view data) {
  std::string out;
  out.reserve(kHeaderSize + data.size());
  PutBigEndian(static_cast<uint32_t>(data.size()), &out);
  PutBigEndian(stream, &out);
  out += static_cast<char>(type);
  out += '\0';
  out += data;
  return out;
}

std::string WireMessage(const Status& status) {
  const std::string message = MessageOf(status), suffix = ClassSuffix(status.code());
  return message.ends_with(suffix) ? message : message + suffix;
}

Status FromWire(int code, std::string_view message) {
  const auto status_code = static_cast<StatusCode>(code);
  const std::string suffix = ClassSuffix(status_code);
  if (message.ends_with(suffix)) message.remove_suffix(suffix.size());
  return Status(status_code, std::string(message));
}

Status TooLong(size_t length) {
  return Error(StatusCode::kResourceExhausted, "message of {} bytes: at most {} are taken", length,
               kMaxData);
}

std::optional<Frame> Decoder::Next() {
  if (dropped_.has_value()) return Drop();
  if (buffer_.size() < kHeaderSize) return std::nullopt;
  const std::string_view header = buffer_;
  Frame frame;
  frame.length = GetBigEndian(header);
  frame.stream = GetBigEndian(header.substr(4));
  frame.type = static_cast<uint8_t>(header[8]);
  frame.flags = static_cast<uint8_t>(header[9]);
  if (frame.IsTooLong()) {
    still_to_drop_ = kHeaderSize + frame.length;
    dropped_ = std::move(frame);
    return Drop();
  }
  if (buffer_.size() < kHeaderSize + frame.length) return std::nullopt;
  frame.data = buffer_.substr(kHeaderSize, frame.length);
  Forget(kHeaderSize + frame.length);
  return frame;
}

std::optional<Frame> Decoder::Drop() {
  const size_t count = std::min(still_to_drop_, buffer_.size());
  Forget(count);
  still_to_drop_ -= count;
  return still_to_drop_ == 0 ? std::exchange(dropped_, std::nullopt) : std::nullopt;
}

// One long frame does not leave its memory with the connection.
void Decoder::Forget(size_t count) {
  constexpr size_t kKept = 64 << 10;
  buffer_.erase(0, count);
  if (buffer_.capacity() > kKept && buffer_.size() < kKept) buffer_.shrink_to_fit();
}

}  // namespace ocirun::ttrpc
