// SPDX-License-Identifier: Apache-2.0
#include "manager/content/digest.h"

#include <openssl/evp.h>

#include <array>

namespace ocirun::content {

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(context_, EVP_sha256(), nullptr);
}

Sha256::~Sha256() { EVP_MD_CTX_free(context_); }

void Sha256::Update(std::string_view data) { EVP_DigestUpdate(context_, data.data(), data.size()); }

std::string Sha256::Finish() {
  std::array<unsigned char, 32> hash{};
  EVP_DigestFinal_ex(context_, hash.data(), nullptr);
  std::string text = "sha256:";
  for (const unsigned char byte : hash) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::string DigestOf(std::string_view data) {
  Sha256 hash;
  hash.Update(data);
  return hash.Finish();
}

std::string HexOf(std::string_view digest) { return std::string(digest.substr(7)); }

}  // namespace ocirun::content
