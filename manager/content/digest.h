// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace ocirun::content {

// SHA-256 over bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(std::string_view data);
  // "sha256:<64 hex digits>" of everything so far; the object may be used no more.
  std::string Finish();

 private:
  evp_md_ctx_st* context_;
};

// "sha256:..." of `data`.
std::string DigestOf(std::string_view data);

// The hexadecimal part of "sha256:<hex>"; the digest must be a valid one.
std::string HexOf(std::string_view digest);

}  // namespace ocirun::content
