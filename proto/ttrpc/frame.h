// SPDX-License-Identifier: Apache-2.0
//
// The ttrpc frame: ten bytes of header, then data.
//
//    0        4        8      9      10
//   | length | stream | type | flags | data ...      integers big-endian, length without the header
//
// A client's streams are odd and only rise. Unary calls are a request and a response on one stream.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace ocirun::ttrpc {

inline constexpr size_t kHeaderSize = 10;
inline constexpr uint32_t kMaxData = 4 << 20;

enum class FrameType : uint8_t { kRequest = 1, kResponse = 2, kData = 3 };

struct Frame {
  uint32_t length = 0;  // as announced
  uint32_t stream = 0;
  uint8_t type = 0;  // a FrameType, or one that is not known and is to be ignored
  uint8_t flags = 0;
  std::string data;  // empty when the frame is too long

  [[nodiscard]] bool IsTooLong() const { return length > kMaxData; }
};

// An error's message on the wire and back. containerd's own servers write the class of the error
// behind it, "...: not found" (containerd/errdefs); clients of containerd 1.x put it there if it is
// missing, those of 2.x show what they were sent.
std::string WireMessage(const Status& status);
Status FromWire(int code, std::string_view message);

// What the peer of a frame that is too long is told, on the frame's stream.
Status TooLong(size_t length);

std::string EncodeFrame(uint32_t stream, FrameType type, std::string_view data);

// Takes bytes as they come and gives whole frames. Bounded: never holds more than one frame and
// what was read with it. Of a frame that is too long the data is dropped as it comes, and what
// follows is read as ever: the connection is still in step.
class Decoder {
 public:
  void Append(std::string_view bytes) { buffer_.append(bytes); }
  // The next whole frame, also when it is too long; nothing when more bytes are needed.
  std::optional<Frame> Next();

 private:
  std::optional<Frame> Drop();
  void Forget(size_t count);

  std::string buffer_;
  std::optional<Frame> dropped_;  // the one whose data is being dropped
  size_t still_to_drop_ = 0;
};

}  // namespace ocirun::ttrpc
