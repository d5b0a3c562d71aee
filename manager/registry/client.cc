// SPDX-License-Identifier: Apache-2.0
#include "manager/registry/client.h"

#include <thread>

#include "base/json.h"
#include "manager/content/digest.h"

namespace ocirun::registry {
namespace {

constexpr int kAttempts = 4;
constexpr size_t kMaxManifest = 4u << 20;
constexpr const char* kBasic = "Basic";
constexpr const char* kAccept =
    "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json, */*";

// The first error of a registry's error body ("code: message"), or "".
std::string ErrorTextOf(const std::string& body) {
  const StatusOr<Json> json = ParseJson(body, 1u << 16);
  if (!json.ok() || !json->is_object() || !json->contains("errors")) return "";
  const Json& errors = (*json)["errors"];
  if (!errors.is_array() || errors.empty() || !errors[0].is_object()) return "";
  const auto text = [&](const char* key) {
    return errors[0].contains(key) && errors[0][key].is_string() ? errors[0][key].get<std::string>()
                                                                 : std::string();
  };
  std::string code = text("code");
  for (char& c : code) c = c == '_' ? ' ' : static_cast<char>(std::tolower(c));
  return code + ": " + text("message").substr(0, 500);
}

bool IsRetriable(int status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
         status == 504;
}

void Pause(const std::stop_token& stop, std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!stop.stop_requested() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

std::string MediaTypeOf(const HttpResponse& response) {
  std::string type = response.Header("content-type");
  return type.substr(0, type.find(';'));
}

}  // namespace

std::string TokenCache::Get(const std::string& base_url) {
  const std::lock_guard lock(mutex_);
  const auto found = tokens_.find(base_url);
  return found == tokens_.end() ? "" : found->second;
}

void TokenCache::Put(const std::string& base_url, std::string token) {
  const std::lock_guard lock(mutex_);
  tokens_[base_url] = std::move(token);
}

bool IsLoopback(const std::string& domain) {
  if (domain.starts_with("[::1]")) return true;
  const std::string host = domain.substr(0, domain.rfind(':'));
  if (host == "localhost") return true;
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos;
}

RegistryClient::RegistryClient(const image::Reference& reference, const HostOptions& options,
                               Credentials credentials, std::shared_ptr<TokenCache> tokens,
                               const std::stop_token& stop)
    : reference_(reference),
      options_(options),
      credentials_(std::move(credentials)),
      tokens_(std::move(tokens)),
      stop_(stop),
      http_(stop) {
  if (credentials_.username.empty() && credentials_.identity_token.empty()) {
    credentials_ = options_.credentials;
  }
  for (const std::string& mirror : options_.mirrors) {
    endpoints_.push_back({.base_url = mirror + "/v2", .insecure = mirror.starts_with("http://")});
  }
  const bool hub = reference_.domain == "docker.io";
  const std::string host = hub ? "registry-1.docker.io" : reference_.domain;
  const bool lenient = options_.insecure || IsLoopback(host);
  endpoints_.push_back({.base_url = "https://" + host + "/v2", .insecure = lenient});
  // HTTP first where it is the rule: a registry on loopback.
  if (lenient) {
    const Endpoint plain{.base_url = "http://" + host + "/v2", .insecure = true};
    if (IsLoopback(host)) {
      endpoints_.insert(endpoints_.end() - 1, plain);
    } else {
      endpoints_.push_back(plain);
    }
  }
}

// The first endpoint that answers at all decides; the error of the registry itself is told.
template <typename F>
Status RegistryClient::TryEndpoints(const F& attempt) {
  Status first;
  for (const Endpoint& endpoint : endpoints_) {
    Status status = attempt(endpoint);
    if (status.ok()) return status;
    const bool last = &endpoint == &endpoints_.back();
    const bool mirror =
        &endpoint - endpoints_.data() < static_cast<std::ptrdiff_t>(options_.mirrors.size());
    const bool unreached = status.code() == StatusCode::kUnavailable;
    if (first.ok() || (!mirror && !unreached)) first = status;
    if (last || (!mirror && !unreached) || status.code() == StatusCode::kCancelled) return first;
  }
  return first;
}

StatusOr<HttpResponse> RegistryClient::Request(HttpRequest request, const Endpoint& endpoint,
                                               const std::string& path) {
  request.url = endpoint.base_url + "/" + reference_.path + path;
  request.insecure = endpoint.insecure;
  request.ca_file = options_.ca_file;
  bool authenticated = false;
  for (int attempt = 1;; ++attempt) {
    const std::string token = tokens_->Get(endpoint.base_url);
    request.user.clear();
    request.authorization.clear();
    if (token == kBasic) {
      request.user = credentials_.username;
      request.password = credentials_.password;
    } else {
      request.authorization = token;
    }
    ASSIGN_OR_RETURN(HttpResponse response, http_.Perform(request));
    if (response.status == 401 && !authenticated) {
      const auto challenge = ChooseChallenge(response.Headers("www-authenticate"));
      if (!challenge) return response;
      RETURN_IF_ERROR(Authenticate(*challenge, endpoint));
      authenticated = true;
      continue;
    }
    if (!IsRetriable(response.status) || attempt >= kAttempts || stop_.stop_requested()) {
      return response;
    }
    Pause(stop_, std::chrono::milliseconds(100 * attempt * attempt));
  }
}

Status RegistryClient::Authenticate(const Challenge& challenge, const Endpoint& endpoint) {
  if (challenge.scheme == "basic") {
    if (credentials_.username.empty()) {
      return Error(StatusCode::kUnauthenticated, "no basic auth credentials");
    }
    tokens_->Put(endpoint.base_url, kBasic);
    return OkStatus();
  }
  ASSIGN_OR_RETURN(std::string token, FetchToken(challenge, endpoint));
  tokens_->Put(endpoint.base_url, std::move(token));
  return OkStatus();
}

StatusOr<std::string> RegistryClient::FetchToken(const Challenge& challenge,
                                                 const Endpoint& endpoint) {
  const auto parameter = [&](const char* name) {
    const auto found = challenge.parameters.find(name);
    return found == challenge.parameters.end() ? std::string() : found->second;
  };
  const std::string realm = parameter("realm");
  if (!realm.starts_with("https://") && !(endpoint.insecure && realm.starts_with("http://"))) {
    return Error(StatusCode::kUnauthenticated, "the registry names a token server without TLS: {}",
                 realm);
  }
  std::string scope = parameter("scope");
  if (scope.empty()) scope = "repository:" + reference_.path + ":pull";
  HttpRequest request{.insecure = endpoint.insecure, .ca_file = options_.ca_file};
  if (!credentials_.identity_token.empty()) {
    request.method = "POST";
    request.url = realm;
    request.form = fmt::format(
        "grant_type=refresh_token&service={}&client_id=ocid&scope={}&refresh_token={}",
        UrlEncode(parameter("service")), UrlEncode(scope), UrlEncode(credentials_.identity_token));
  } else {
    request.url = fmt::format("{}{}service={}&scope={}", realm,
                              realm.find('?') == std::string::npos ? "?" : "&",
                              UrlEncode(parameter("service")), UrlEncode(scope));
    request.user = credentials_.username;
    request.password = credentials_.password;
  }
  ASSIGN_OR_RETURN(const HttpResponse response, http_.Perform(request));
  if (response.status != 200) {
    if (response.status == 401 || response.status == 403) {
      return Error(StatusCode::kUnauthenticated, "unauthorized: incorrect username or password");
    }
    return ErrorOf(response, "token of " + realm);
  }
  ASSIGN_OR_RETURN(const Json json, ParseJson(response.body));
  for (const char* key : {"token", "access_token"}) {
    if (json.is_object() && json.contains(key) && json[key].is_string() && !json[key].empty()) {
      return json[key].get<std::string>();
    }
  }
  return Error(StatusCode::kUnauthenticated, "the token server {} gave no token", realm);
}

Status RegistryClient::ErrorOf(const HttpResponse& response, const std::string& what) const {
  std::string text = ErrorTextOf(response.body);
  const std::string familiar = reference_.FamiliarRepository();
  if (response.status == 401 || response.status == 403) {
    return Error(
        response.status == 401 ? StatusCode::kUnauthenticated : StatusCode::kPermissionDenied,
        "pull access denied for {}, repository does not exist or may require 'docker login': {}",
        familiar, text.empty() ? "denied" : text);
  }
  if (response.status == 404) {
    return NotFound("{} not found: {}", what, text.empty() ? "404 Not Found" : text);
  }
  // Not Unavailable: it was reached, and asked often enough.
  const StatusCode code =
      response.status == 429 ? StatusCode::kResourceExhausted : StatusCode::kInternal;
  return Error(code, "{}: the registry answered {}{}{}", what, response.status,
               text.empty() ? "" : " ", text);
}

StatusOr<FetchedManifest> RegistryClient::FetchManifest(const std::string& target) {
  FetchedManifest manifest;
  const bool by_digest = image::IsSha256Digest(target);
  const Status status = TryEndpoints([&](const Endpoint& endpoint) -> Status {
    HttpRequest request{.headers = {kAccept}, .body_limit = kMaxManifest};
    ASSIGN_OR_RETURN(HttpResponse response,
                     Request(std::move(request), endpoint, "/manifests/" + target));
    if (response.status != 200) {
      return ErrorOf(response, "manifest for " + reference_.Familiar());
    }
    manifest = {.media_type = MediaTypeOf(response),
                .digest = content::DigestOf(response.body),
                .body = std::move(response.body)};
    if (by_digest && manifest.digest != target) {
      return Error(StatusCode::kDataLoss, "manifest verification failed for digest {}", target);
    }
    return OkStatus();
  });
  RETURN_IF_ERROR(status);
  return manifest;
}

Status RegistryClient::FetchBlob(const std::string& digest, uint64_t offset,
                                 const std::function<Status()>& restart,
                                 const std::function<Status(std::string_view)>& sink) {
  return TryEndpoints([&](const Endpoint& endpoint) -> Status {
    bool first = true;
    HttpRequest request;
    if (offset > 0) request.headers.push_back(fmt::format("Range: bytes={}-", offset));
    request.sink = [&](int status, std::string_view data) -> Status {
      if (first && offset > 0 && status != 206) RETURN_IF_ERROR(restart());
      first = false;
      return sink(data);
    };
    StatusOr<HttpResponse> answer = Request(std::move(request), endpoint, "/blobs/" + digest);
    // Some bytes came: another endpoint must not send them again. The caller goes on from there.
    if (!answer.ok() && !first && answer.status().code() == StatusCode::kUnavailable) {
      return Error(StatusCode::kAborted, "{}", MessageOf(answer.status()));
    }
    ASSIGN_OR_RETURN(const HttpResponse response, std::move(answer));
    if (response.status / 100 != 2) return ErrorOf(response, "blob " + digest);
    return OkStatus();
  });
}

}  // namespace ocirun::registry
