// SPDX-License-Identifier: Apache-2.0
#include "manager/config.h"

#include <yaml-cpp/yaml.h>

#include <functional>
#include <map>

#include "base/file.h"

namespace ocirun {
namespace {

using Setters = std::map<std::string, std::function<Status(const YAML::Node&, const std::string&)>>;

Status ReadMap(const YAML::Node& node, const std::string& path, const Setters& setters) {
  if (!node.IsDefined() || node.IsNull()) return OkStatus();
  if (!node.IsMap()) return InvalidArgument("{}: must be a map", path.empty() ? "the file" : path);
  for (const auto& entry : node) {
    const auto key = entry.first.as<std::string>("");
    const std::string here = path.empty() ? key : path + "." + key;
    const auto setter = setters.find(key);
    if (setter == setters.end()) return InvalidArgument("{}: unknown key", here);
    RETURN_IF_ERROR(setter->second(entry.second, here));
  }
  return OkStatus();
}

template <typename T>
auto Set(T* value) {
  return [value](const YAML::Node& node, const std::string& path) -> Status {
    try {
      *value = node.as<T>();
    } catch (const YAML::Exception&) {
      return InvalidArgument("{}: has a wrong type", path);
    }
    return OkStatus();
  };
}

Status ReadRegistry(const YAML::Node& node, const std::string& path,
                    registry::HostOptions* options) {
  return ReadMap(node, path,
                 {{"mirrors", Set(&options->mirrors)},
                  {"insecure", Set(&options->insecure)},
                  {"ca_file", Set(&options->ca_file)},
                  {"auth", [&](const YAML::Node& auth, const std::string& here) {
                     return ReadMap(
                         auth, here,
                         {{"username", Set(&options->credentials.username)},
                          {"password", Set(&options->credentials.password)},
                          {"identity_token", Set(&options->credentials.identity_token)}});
                   }}});
}

}  // namespace

StatusOr<Config> LoadConfig(const std::string& path) {
  Config config;
  if (!PathExists(path)) return config;
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 1u << 20));
  YAML::Node root;
  try {
    root = YAML::Load(text);
  } catch (const YAML::Exception& e) {
    return InvalidArgument("{}: {}", path, e.what());
  }
  const Status status = ReadMap(
      root, "",
      {{"instance", Set(&config.instance)},
       {"network",
        [&](const YAML::Node& node, const std::string& here) {
          return ReadMap(node, here,
                         {{"bridge", Set(&config.bridge)}, {"subnet", Set(&config.subnet)}});
        }},
       {"registries", [&](const YAML::Node& node, const std::string& here) -> Status {
          if (!node.IsMap()) return InvalidArgument("{}: must be a map", here);
          for (const auto& entry : node) {
            const auto host = entry.first.as<std::string>("");
            RETURN_IF_ERROR(
                ReadRegistry(entry.second, here + "." + host, &config.registries[host]));
          }
          return OkStatus();
        }}});
  RETURN_IF_ERROR(Annotate(status, path));
  return config;
}

}  // namespace ocirun
