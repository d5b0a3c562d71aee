// SPDX-License-Identifier: Apache-2.0
#include "manager/image/manifest.h"

#include <sys/utsname.h>

#include "base/time.h"
#include "manager/content/digest.h"
#include "manager/image/reference.h"

namespace ocirun::image {
namespace {

constexpr size_t kMaxLayers = 500;
constexpr uint64_t kMaxBlob = 1ull << 40;

StatusOr<Descriptor> ParseDescriptor(const JsonView& view) {
  Descriptor descriptor;
  ASSIGN_OR_RETURN(descriptor.media_type, StringOr(view, "mediaType", ""));
  ASSIGN_OR_RETURN(const JsonView digest, view.Get("digest"));
  ASSIGN_OR_RETURN(descriptor.digest, digest.String());
  if (!IsSha256Digest(descriptor.digest)) return digest.Bad("must be a sha256 digest");
  ASSIGN_OR_RETURN(const JsonView size, view.Get("size"));
  ASSIGN_OR_RETURN(descriptor.size, size.UInt64());
  if (descriptor.size > kMaxBlob) return size.Bad("is too large");
  return descriptor;
}

std::string NormalArchitecture(const std::string& name) {
  if (name == "x86_64" || name == "x86-64") return "amd64";
  if (name == "aarch64") return "arm64";
  if (name == "i386" || name == "i686") return "386";
  return name;
}

bool Matches(const Platform& have, const Platform& want) {
  if (have.os != want.os || NormalArchitecture(have.architecture) != want.architecture)
    return false;
  if (want.variant.empty() || have.variant.empty() || have.variant == want.variant) return true;
  return want.architecture == "arm" && have.variant < want.variant;  // v6 runs on v7
}

StatusOr<Platform> PlatformOf(const JsonView& view) {
  Platform platform;
  ASSIGN_OR_RETURN(platform.os, StringOr(view, "os", ""));
  ASSIGN_OR_RETURN(platform.architecture, StringOr(view, "architecture", ""));
  ASSIGN_OR_RETURN(platform.variant, StringOr(view, "variant", ""));
  return platform;
}

StatusOr<int64_t> TimeOf(const JsonView& view, const char* key) {
  ASSIGN_OR_RETURN(const std::string text, StringOr(view, key, ""));
  if (text.empty()) return 0;
  const StatusOr<UnixNanos> time = ParseRfc3339(text);
  return time.ok() ? *time : 0;  // an image with an odd date is still an image
}

StatusOr<std::vector<std::string>> KeysOf(const JsonView& view, const char* key) {
  ASSIGN_OR_RETURN(const JsonView object, view.Get(key));
  ASSIGN_OR_RETURN(const auto members, object.Members());
  std::vector<std::string> keys;
  for (const auto& [name, value] : members) keys.push_back(name);
  return keys;
}

Status ParseHealth(const JsonView& view, ocid::v1::HealthConfig* health) {
  ASSIGN_OR_RETURN(const auto test, StringsOf(view, "Test"));
  health->mutable_test()->Add(test.begin(), test.end());
  ASSIGN_OR_RETURN(const auto interval, OptionalInt64(view, "Interval"));
  health->set_interval_nanos(interval.value_or(0));
  ASSIGN_OR_RETURN(const auto timeout, OptionalInt64(view, "Timeout"));
  health->set_timeout_nanos(timeout.value_or(0));
  ASSIGN_OR_RETURN(const auto start, OptionalInt64(view, "StartPeriod"));
  health->set_start_period_nanos(start.value_or(0));
  ASSIGN_OR_RETURN(const auto retries, OptionalUInt32(view, "Retries"));
  health->set_retries(retries.value_or(0));
  return OkStatus();
}

Status ParseRunConfig(const JsonView& view, ocid::v1::ImageConfig* config) {
  ASSIGN_OR_RETURN(*config->mutable_user(), StringOr(view, "User", ""));
  ASSIGN_OR_RETURN(*config->mutable_working_dir(), StringOr(view, "WorkingDir", ""));
  ASSIGN_OR_RETURN(*config->mutable_stop_signal(), StringOr(view, "StopSignal", ""));
  const auto fill = [&view](const char* key, auto* field) -> Status {
    ASSIGN_OR_RETURN(const auto words, StringsOf(view, key));
    field->Add(words.begin(), words.end());
    return OkStatus();
  };
  RETURN_IF_ERROR(fill("Env", config->mutable_env()));
  RETURN_IF_ERROR(fill("Entrypoint", config->mutable_entrypoint()));
  RETURN_IF_ERROR(fill("Cmd", config->mutable_cmd()));
  RETURN_IF_ERROR(fill("OnBuild", config->mutable_on_build()));
  RETURN_IF_ERROR(fill("Shell", config->mutable_shell()));
  ASSIGN_OR_RETURN(const auto ports, KeysOf(view, "ExposedPorts"));
  for (const std::string& port : ports) {
    config->add_exposed_ports(port.find('/') == std::string::npos ? port + "/tcp" : port);
  }
  ASSIGN_OR_RETURN(const auto volumes, KeysOf(view, "Volumes"));
  config->mutable_volumes()->Add(volumes.begin(), volumes.end());
  ASSIGN_OR_RETURN(const JsonView labels, view.Get("Labels"));
  ASSIGN_OR_RETURN(const auto members, labels.Members());
  for (const auto& [name, value] : members) {
    ASSIGN_OR_RETURN((*config->mutable_labels())[name], value.String());
  }
  ASSIGN_OR_RETURN(const JsonView health, view.Get("Healthcheck"));
  return health.present() ? ParseHealth(health, config->mutable_healthcheck()) : OkStatus();
}

Status ParseHistory(const JsonView& view, const std::vector<uint64_t>& layer_sizes,
                    ocid::v1::Image* image) {
  ASSIGN_OR_RETURN(const JsonView list, view.Get("history"));
  ASSIGN_OR_RETURN(const auto elements, list.Elements());
  size_t layer = 0;
  for (const JsonView& element : elements) {
    auto* entry = image->add_history();
    ASSIGN_OR_RETURN(const int64_t created, TimeOf(element, "created"));
    entry->set_created(created);
    ASSIGN_OR_RETURN(*entry->mutable_created_by(), StringOr(element, "created_by", ""));
    ASSIGN_OR_RETURN(*entry->mutable_comment(), StringOr(element, "comment", ""));
    ASSIGN_OR_RETURN(*entry->mutable_author(), StringOr(element, "author", ""));
    ASSIGN_OR_RETURN(const bool empty, BoolOr(element, "empty_layer", false));
    entry->set_empty_layer(empty);
    if (!empty && layer < layer_sizes.size()) entry->set_size(layer_sizes[layer++]);
  }
  return OkStatus();
}

}  // namespace

Platform HostPlatform() {
  struct utsname name{};
  uname(&name);
  return {.os = "linux", .architecture = NormalArchitecture(name.machine)};
}

StatusOr<Platform> ParsePlatform(std::string_view text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('/', begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  if (parts.size() == 1 && parts[0] != "linux") parts.insert(parts.begin(), "linux");
  if (parts.size() == 1) return HostPlatform();
  if (parts.size() > 3 || parts[0].empty() || parts[1].empty()) {
    return InvalidArgument("\"{}\": unknown operating system or architecture", text);
  }
  return Platform{.os = parts[0],
                  .architecture = NormalArchitecture(parts[1]),
                  .variant = parts.size() == 3 ? parts[2] : ""};
}

std::string PlatformText(const Platform& platform) {
  std::string text = platform.os + "/" + platform.architecture;
  if (!platform.variant.empty()) text += "/" + platform.variant;
  return text;
}

StatusOr<bool> IsIndex(const Json& document, const std::string& media_type) {
  if (!document.is_object()) return InvalidArgument("the manifest is not a JSON object");
  ASSIGN_OR_RETURN(std::string type, StringOr(JsonView(document), "mediaType", media_type));
  if (type.find("v1+prettyjws") != std::string::npos ||
      type.find("manifest.v1+json") != std::string::npos) {
    if (type.find("docker") != std::string::npos) {
      return Unsupported("the image has a manifest of schema version 1, which is obsolete");
    }
  }
  // One document must not be an index to one client and an image to another (CVE-2021-41190).
  const bool lists = document.contains("manifests");
  if (lists && (document.contains("layers") || document.contains("config")))
    return InvalidArgument("the manifest is an index and an image at once");
  const auto is_index = [](const std::string& name) {
    return name.ends_with("index.v1+json") || name.ends_with("manifest.list.v2+json");
  };
  const auto is_image = [](const std::string& name) {
    return name.ends_with("image.manifest.v1+json") || name.ends_with("manifest.v2+json");
  };
  if ((is_index(type) && is_image(media_type)) || (is_image(type) && is_index(media_type)))
    return InvalidArgument("the manifest says that it is {:?} and came as {:?}", type, media_type);
  if (is_index(type) ? document.contains("layers") || document.contains("config")
                     : is_image(type) && lists)
    return InvalidArgument("the manifest is not what it says: {:?}", type);
  return is_index(type) || lists;
}

StatusOr<Descriptor> ChooseManifest(const Json& index, const Platform& platform) {
  ASSIGN_OR_RETURN(const JsonView list, JsonView(index).Get("manifests"));
  ASSIGN_OR_RETURN(const auto elements, list.Elements());
  for (const JsonView& element : elements) {
    ASSIGN_OR_RETURN(const JsonView view, element.Get("platform"));
    ASSIGN_OR_RETURN(const Platform have, PlatformOf(view));
    if (Matches(have, platform) || (!view.present() && elements.size() == 1)) {
      return ParseDescriptor(element);
    }
  }
  return NotFound("no matching manifest for {} in the manifest list entries",
                  PlatformText(platform));
}

StatusOr<Manifest> ParseManifest(const Json& document) {
  const JsonView view(document);
  Manifest manifest;
  ASSIGN_OR_RETURN(const JsonView config, view.Get("config"));
  if (!config.present()) return InvalidArgument("the manifest has no config");
  ASSIGN_OR_RETURN(manifest.config, ParseDescriptor(config));
  ASSIGN_OR_RETURN(const JsonView layers, view.Get("layers"));
  ASSIGN_OR_RETURN(const auto elements, layers.Elements());
  if (elements.size() > kMaxLayers) {
    return InvalidArgument("the manifest has {} layers, more than {}", elements.size(), kMaxLayers);
  }
  for (const JsonView& element : elements) {
    ASSIGN_OR_RETURN(Descriptor layer, ParseDescriptor(element));
    if (layer.media_type.find("encrypted") != std::string::npos) {
      return Unsupported("encrypted layers are not supported");
    }
    manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

StatusOr<ocid::v1::Image> ParseImageConfig(const std::string& text,
                                           const std::vector<uint64_t>& layer_sizes) {
  ASSIGN_OR_RETURN(const Json document, ParseJson(text));
  const JsonView view(document);
  ocid::v1::Image image;
  image.set_id(content::DigestOf(text));
  ASSIGN_OR_RETURN(*image.mutable_architecture(), StringOr(view, "architecture", ""));
  ASSIGN_OR_RETURN(*image.mutable_variant(), StringOr(view, "variant", ""));
  ASSIGN_OR_RETURN(*image.mutable_os(), StringOr(view, "os", ""));
  ASSIGN_OR_RETURN(*image.mutable_author(), StringOr(view, "author", ""));
  ASSIGN_OR_RETURN(*image.mutable_comment(), StringOr(view, "comment", ""));
  ASSIGN_OR_RETURN(*image.mutable_docker_version(), StringOr(view, "docker_version", ""));
  ASSIGN_OR_RETURN(const int64_t created, TimeOf(view, "created"));
  image.set_created(created);
  ASSIGN_OR_RETURN(const JsonView run, view.Get("config"));
  RETURN_IF_ERROR(ParseRunConfig(run, image.mutable_config()));
  ASSIGN_OR_RETURN(const JsonView rootfs, view.Get("rootfs"));
  ASSIGN_OR_RETURN(const std::string type, StringOr(rootfs, "type", "layers"));
  if (type != "layers") return InvalidArgument("rootfs.type: unknown type \"{}\"", type);
  ASSIGN_OR_RETURN(const auto diff_ids, StringsOf(rootfs, "diff_ids"));
  for (const std::string& diff_id : diff_ids) {
    if (!IsSha256Digest(diff_id)) {
      return InvalidArgument("rootfs.diff_ids: \"{}\" is not a sha256 digest", diff_id);
    }
    image.add_diff_ids(diff_id);
  }
  RETURN_IF_ERROR(ParseHistory(view, layer_sizes, &image));
  uint64_t size = 0;
  for (const uint64_t layer_size : layer_sizes) size += layer_size;
  image.set_size(size);
  return image;
}

std::vector<std::string> ChainIds(const std::vector<std::string>& diff_ids) {
  std::vector<std::string> chain;
  for (const std::string& diff_id : diff_ids) {
    chain.push_back(chain.empty() ? diff_id : content::DigestOf(chain.back() + " " + diff_id));
  }
  return chain;
}

}  // namespace ocirun::image
