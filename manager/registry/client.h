// SPDX-License-Identifier: Apache-2.0
//
// Reading from a registry (distribution-spec): manifests and blobs of one repository.
//
//   GET /v2/<name>/manifests/<tag>  ── 401 + WWW-Authenticate ──► GET/POST <realm> ──► token
//                                   ◄──────────── again, with Authorization ─────────────┘
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "manager/image/reference.h"
#include "manager/registry/challenge.h"
#include "manager/registry/http.h"

namespace ocirun::registry {

// Empty = anonymous. An identity token is a refresh token of the token server.
struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token;
};

// How one registry is reached (`registries:` in ocid.yaml).
struct HostOptions {
  std::vector<std::string> mirrors;  // base URLs, tried in order before the registry itself
  bool insecure = false;             // plain HTTP, or a certificate that nobody vouches for
  std::string ca_file;
  Credentials credentials;
};
using HostOptionsMap = std::map<std::string, HostOptions>;  // by domain as in references

// What connections of one pull share: the tokens. Any thread.
class TokenCache {
 public:
  std::string Get(const std::string& base_url);
  void Put(const std::string& base_url, std::string token);

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> tokens_;  // value: "Basic" marks basic authentication
};

struct FetchedManifest {
  std::string media_type;
  std::string digest;
  std::string body;
};

// One connection. Used by one thread.
class RegistryClient {
 public:
  RegistryClient(const image::Reference& reference, const HostOptions& options,
                 Credentials credentials, std::shared_ptr<TokenCache> tokens,
                 const std::stop_token& stop);

  // `target` is a tag or a digest. The body is verified against a digest that was asked for.
  // NotFound, Unauthenticated, PermissionDenied, Internal (with the registry's own words; asked a
  // few times), Unavailable (not reached), DataLoss.
  StatusOr<FetchedManifest> FetchManifest(const std::string& target);

  // Streams a blob from `offset`. `restart` is called before the first byte when the server
  // begins at the start although an offset was asked for. Aborted: the connection was lost after
  // some bytes; call again with the new offset.
  Status FetchBlob(const std::string& digest, uint64_t offset,
                   const std::function<Status()>& restart,
                   const std::function<Status(std::string_view)>& sink);

 private:
  struct Endpoint {
    std::string base_url;  // https://host/v2
    bool insecure = false;
  };
  StatusOr<HttpResponse> Request(HttpRequest request, const Endpoint& endpoint,
                                 const std::string& path);
  Status Authenticate(const Challenge& challenge, const Endpoint& endpoint);
  StatusOr<std::string> FetchToken(const Challenge& challenge, const Endpoint& endpoint);
  template <typename F>
  Status TryEndpoints(const F& attempt);
  [[nodiscard]] Status ErrorOf(const HttpResponse& response, const std::string& what) const;

  image::Reference reference_;
  HostOptions options_;
  Credentials credentials_;
  std::shared_ptr<TokenCache> tokens_;
  std::stop_token stop_;
  HttpClient http_;
  std::vector<Endpoint> endpoints_;
};

// Whether `domain` (with or without port) is localhost or in 127.0.0.0/8 or ::1: reached by plain
// HTTP without configuration.
bool IsLoopback(const std::string& domain);

}  // namespace ocirun::registry
