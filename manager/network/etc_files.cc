// SPDX-License-Identifier: Apache-2.0
#include "manager/network/etc_files.h"

#include <sstream>

namespace ocirun::network {
namespace {

void AddLine(const char* word, const std::vector<std::string>& values, std::string* text) {
  if (values.empty()) return;
  *text += word;
  for (const std::string& value : values) *text += " " + value;
  *text += "\n";
}

bool IsLoopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1";
}

}  // namespace

std::string BuildHosts(const HostsFile& file) {
  std::string text =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::\tip6-localnet\n"
      "ff00::\tip6-mcastprefix\n"
      "ff02::1\tip6-allnodes\n"
      "ff02::2\tip6-allrouters\n";
  for (const std::string& extra : file.extra_hosts) {
    const size_t colon = extra.find(':');
    if (colon == std::string::npos) continue;
    text += extra.substr(colon + 1) + "\t" + extra.substr(0, colon) + "\n";
  }
  if (file.ip.empty()) return text;
  const std::string full =
      file.domainname.empty() ? "" : file.hostname + "." + file.domainname + " ";
  return text + file.ip + "\t" + full + file.hostname + "\n";
}

std::string BuildResolvConf(const ResolvFile& file) {
  std::vector<std::string> servers = file.dns;
  std::vector<std::string> search = file.search;
  std::vector<std::string> options = file.options;
  std::istringstream lines(file.host_text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key;
    words >> key;
    for (std::string word; words >> word;) {
      if (key == "nameserver" && file.dns.empty() && !IsLoopback(word)) servers.push_back(word);
      if (key == "search" && file.search.empty()) search.push_back(word);
      if (key == "options" && file.options.empty()) options.push_back(word);
    }
  }
  if (servers.empty()) servers = {"8.8.8.8", "8.8.4.4"};
  std::string text;
  for (const std::string& server : servers) text += "nameserver " + server + "\n";
  if (search != std::vector<std::string>{"."}) AddLine("search", search, &text);
  AddLine("options", options, &text);
  return text;
}

}  // namespace ocirun::network
