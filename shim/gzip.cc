// SPDX-License-Identifier: Apache-2.0
#include "shim/gzip.h"

#include <unistd.h>
#include <zlib.h>

#include <array>
#include <string>

#include "base/sys/file.h"

namespace ocirun::shim {
namespace {

constexpr size_t kBuffer = 64 * 1024;
constexpr int kGzipWindow = 15 + 16;  // zlib.h: 16 more asks for gzip's frame

// What deflate has for us until it wants more input.
Status WriteOutput(z_stream* stream, int flush, const UniqueFd& to) {
  std::array<char, kBuffer> out;
  do {
    stream->next_out = reinterpret_cast<Bytef*>(out.data());
    stream->avail_out = out.size();
    if (::deflate(stream, flush) == Z_STREAM_ERROR) return Internal("deflate failed");
    RETURN_IF_ERROR(sys::WriteAll(to, {out.data(), out.size() - stream->avail_out}));
  } while (stream->avail_out == 0);
  return OkStatus();
}

}  // namespace

Status CompressFile(const UniqueFd& from, const UniqueFd& to, std::string_view extra) {
  z_stream stream{};
  // Lines that resemble each other: the fastest level takes most of what there is to take.
  if (::deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    return Error(StatusCode::kResourceExhausted, "deflate: no memory");
  Undo end([&] { ::deflateEnd(&stream); });
  std::string bytes(extra);
  gz_header header{};
  header.extra = reinterpret_cast<Bytef*>(bytes.data());
  header.extra_len = static_cast<uInt>(bytes.size());
  header.os = 255;  // unknown
  ::deflateSetHeader(&stream, &header);
  std::array<char, kBuffer> in;
  for (;;) {
    const ssize_t n = sys::RetryEintr([&] { return ::read(from.get(), in.data(), in.size()); });
    if (n < 0) return SysError(errno, "read");
    stream.next_in = reinterpret_cast<Bytef*>(in.data());
    stream.avail_in = static_cast<uInt>(n);
    RETURN_IF_ERROR(WriteOutput(&stream, n == 0 ? Z_FINISH : Z_NO_FLUSH, to));
    if (n == 0) return sys::Fsync(to);
  }
}

}  // namespace ocirun::shim
