// SPDX-License-Identifier: Apache-2.0
#include "manager/image/reference.h"

#include <algorithm>

namespace ocirun::image {
namespace {

constexpr std::string_view kDefaultDomain = "docker.io";
constexpr std::string_view kDefaultNamespace = "library/";
constexpr size_t kMaxPath = 255, kMaxTag = 128;

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlnum(char c) { return IsLower(c) || IsUpper(c) || IsDigit(c); }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f'); }

template <typename Predicate>
bool All(std::string_view text, Predicate predicate) {
  return !text.empty() && std::all_of(text.begin(), text.end(), predicate);
}

Status BadFormat() { return InvalidArgument("invalid reference format"); }

// [a-z0-9]+ joined by one of '.', '_', '__' or any number of '-'.
bool IsPathComponent(std::string_view text) {
  size_t i = 0;
  const auto word = [&] {
    const size_t begin = i;
    while (i < text.size() && (IsLower(text[i]) || IsDigit(text[i]))) ++i;
    return i > begin;
  };
  if (!word()) return false;
  while (i < text.size()) {
    if (text[i] == '.') {
      ++i;
    } else if (text[i] == '_') {
      i += text.substr(i, 2) == "__" ? 2 : 1;
    } else if (text[i] == '-') {
      while (i < text.size() && text[i] == '-') ++i;
    } else {
      return false;
    }
    if (!word()) return false;
  }
  return true;
}

bool IsPath(std::string_view path) {
  for (;;) {
    const size_t slash = path.find('/');
    if (!IsPathComponent(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool IsDomainLabel(std::string_view label) {
  return All(label, [](char c) { return IsAlnum(c) || c == '-'; }) && label.front() != '-' &&
         label.back() != '-';
}

bool IsDomain(std::string_view domain) {
  std::string_view host = domain;
  const size_t bracket = domain.rfind(']');
  const size_t colon = domain.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon != std::string_view::npos) {
    if (!All(domain.substr(colon + 1), IsDigit)) return false;
    host = domain.substr(0, colon);
  }
  if (!host.empty() && host.front() == '[')
    return host.back() == ']' && All(host.substr(1, host.size() - 2), [](char c) {
             return IsHex(c) || (c >= 'A' && c <= 'F') || c == ':';
           });
  for (;;) {
    const size_t dot = host.find('.');
    if (!IsDomainLabel(host.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    host.remove_prefix(dot + 1);
  }
}

bool IsTag(std::string_view tag) {
  return tag.size() <= kMaxTag &&
         All(tag, [](char c) { return IsAlnum(c) || c == '_' || c == '.' || c == '-'; }) &&
         tag.front() != '.' && tag.front() != '-';
}

Status CheckDigest(std::string_view digest) {
  const size_t colon = digest.find(':');
  if (colon == std::string_view::npos || colon == 0) return BadFormat();
  const std::string_view algorithm = digest.substr(0, colon), hex = digest.substr(colon + 1);
  constexpr size_t kShortest = 32;
  if (hex.size() < kShortest) return BadFormat();
  if (algorithm != "sha256") return InvalidArgument("unsupported digest algorithm");
  if (hex.size() != 64) return InvalidArgument("invalid checksum digest length");
  if (!All(hex, IsHex)) return InvalidArgument("invalid checksum digest format");
  return OkStatus();
}

// Splits "domain/rest" as Docker's clients do: what stands before the first slash is a domain only
// if it looks like one.
void SplitDomain(std::string_view text, std::string* domain, std::string_view* rest) {
  const size_t slash = text.find('/');
  const std::string_view first = text.substr(0, slash);
  const bool is_domain =
      slash != std::string_view::npos &&
      (first == "localhost" || first.find_first_of(".:") != std::string_view::npos ||
       std::any_of(first.begin(), first.end(), IsUpper));
  *domain = is_domain ? first : kDefaultDomain;
  *rest = is_domain ? text.substr(slash + 1) : text;
  if (*domain == "index.docker.io") *domain = kDefaultDomain;
}

}  // namespace

bool IsSha256Digest(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  return text.substr(0, kPrefix.size()) == kPrefix && text.size() == kPrefix.size() + 64 &&
         All(text.substr(kPrefix.size()), IsHex);
}

std::string Reference::Canonical() const {
  return Repository() + (digest.empty() ? ":" + tag : "@" + digest);
}

std::string Reference::FamiliarRepository() const {
  if (domain != kDefaultDomain) return Repository();
  const bool official = path.rfind(kDefaultNamespace, 0) == 0 &&
                        path.find('/', kDefaultNamespace.size()) == std::string::npos;
  if (official) return path.substr(kDefaultNamespace.size());
  // docker.io/example.com/x: without its domain it would be read as another registry's.
  std::string domain_when_read;
  std::string_view rest;
  SplitDomain(path, &domain_when_read, &rest);
  return rest == path ? path : Repository();
}

std::string Reference::Familiar() const {
  return FamiliarRepository() + (digest.empty() ? ":" + tag : "@" + digest);
}

StatusOr<Reference> ParseReference(std::string_view text) {
  if (text.size() == 64 && All(text, IsHex))
    return InvalidArgument(
        "invalid repository name ({}), cannot specify 64-byte hexadecimal strings", text);
  Reference reference;
  std::string_view rest;
  SplitDomain(text, &reference.domain, &rest);
  const size_t at = rest.find('@');
  if (at != std::string_view::npos) {
    reference.digest = rest.substr(at + 1);
    rest = rest.substr(0, at);
  }
  const size_t colon = rest.find(':');
  if (colon != std::string_view::npos) {
    reference.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!IsTag(reference.tag)) return BadFormat();
  }
  reference.path = rest;
  if (std::any_of(rest.begin(), rest.end(), IsUpper))
    return InvalidArgument("invalid reference format: repository name ({}) must be lowercase",
                           rest);
  if (!IsDomain(reference.domain) || !IsPath(reference.path)) return BadFormat();
  if (at != std::string_view::npos) RETURN_IF_ERROR(CheckDigest(reference.digest));
  if (reference.domain == kDefaultDomain && reference.path.find('/') == std::string::npos)
    reference.path.insert(0, kDefaultNamespace);
  if (reference.path.size() > kMaxPath)
    return InvalidArgument("repository name must not be more than 255 characters");
  if (!reference.digest.empty()) {
    reference.tag.clear();
  } else if (reference.tag.empty()) {
    reference.tag = "latest";
  }
  return reference;
}

}  // namespace ocirun::image
