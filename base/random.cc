// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

namespace ocirun {

std::string RandomHex(size_t bytes) {
  std::string raw(bytes, '\0');
  for (size_t done = 0; done < bytes;) {
    const ssize_t n = ::getrandom(raw.data() + done, bytes - done, 0);
    if (n < 0 && errno != EINTR) std::abort();  // cannot happen: buffer valid, flags 0
    if (n > 0) done += static_cast<size_t>(n);
  }
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes * 2);
  for (const char c : raw) {
    out += kHex[static_cast<unsigned char>(c) >> 4];
    out += kHex[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

}  // namespace ocirun
