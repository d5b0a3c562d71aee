// SPDX-License-Identifier: Apache-2.0
//
// One HTTP request at a time over libcurl, with kept connections: an object is used by one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ocirun::registry {

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::string user;                  // with `password`: basic authentication
  std::string password;
  std::string authorization;  // value of the header; never sent to another host
  std::string form;           // body of a POST, url-encoded
  bool insecure = false;      // certificates are not verified
  std::string ca_file;
  size_t body_limit = 4u << 20;  // bytes; not for `sink`
  // Takes the body of a 2xx answer as it comes, instead of `body`. The status tells it whether the
  // server began at the offset that was asked for (206) or at the start (200).
  std::function<Status(int status, std::string_view data)> sink;
};

struct HttpResponse {
  int status = 0;
  std::string body;
  std::multimap<std::string, std::string> headers;  // names in lower case

  [[nodiscard]] std::string Header(const std::string& name) const;  // "" when absent
  [[nodiscard]] std::vector<std::string> Headers(const std::string& name) const;
};

class HttpClient {
 public:
  explicit HttpClient(std::stop_token stop);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Unavailable when there was no answer, Cancelled when the token was stopped, or the sink's own
  // error. A stalled transfer (no byte for a minute) is Unavailable.
  StatusOr<HttpResponse> Perform(const HttpRequest& request);

 private:
  void* curl_;
  std::stop_token stop_;
};

std::string UrlEncode(std::string_view text);

}  // namespace ocirun::registry
