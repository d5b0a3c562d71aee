// SPDX-License-Identifier: Apache-2.0
#include "proto/ttrpc/frame.h"

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

StatusOr<std::optional<Frame>> Decoder::Next() {
  if (buffer_.size() < kHeaderSize) return std::optional<Frame>();
  const uint32_t length = GetBigEndian(buffer_);
  if (length > kMaxData)
    return Error(StatusCode::kResourceExhausted, "ttrpc frame of {} bytes, at most {} are taken",
                 length, kMaxData);
  if (buffer_.size() < kHeaderSize + length) return std::optional<Frame>();
  Frame frame;
  frame.stream = GetBigEndian(std::string_view(buffer_).substr(4));
  frame.type = static_cast<uint8_t>(buffer_[8]);
  frame.flags = static_cast<uint8_t>(buffer_[9]);
  frame.data = buffer_.substr(kHeaderSize, length);
  buffer_.erase(0, kHeaderSize + length);
  return std::optional<Frame>(std::move(frame));
}

}  // namespace ocirun::ttrpc
