// SPDX-License-Identifier: Apache-2.0
#include "manager/api/filters.h"

#include <fnmatch.h>

#include <algorithm>
#include <functional>

#include "manager/image/reference.h"

namespace ocirun::api {
namespace {

using ocid::v1::Container;
using ocid::v1::ContainerState;
using ocid::v1::Image;

template <typename Map>
bool HasLabel(const Map& labels, const std::string& wanted) {
  const size_t equals = wanted.find('=');
  const auto found = labels.find(wanted.substr(0, equals));
  return found != labels.end() &&
         (equals == std::string::npos || found->second == wanted.substr(equals + 1));
}

bool AnyOf(const ocid::v1::Filter& filter, const std::function<bool(const std::string&)>& matches) {
  return std::any_of(filter.values().begin(), filter.values().end(), matches);
}

template <typename T, typename F>
void Keep(std::vector<T>* list, F wanted) {
  std::erase_if(*list, [&](const T& item) { return !wanted(item); });
}

// Only what was made before or since the one that is named.
template <typename T, typename Match>
Status KeepByAge(std::vector<T>* list, const std::string& key, const std::string& name,
                 Match is_named) {
  const auto named = std::find_if(list->begin(), list->end(), is_named);
  if (named == list->end()) return NotFound("No such {}: {}", "object", name);
  const int64_t time = named->created();
  Keep(list, [&](const T& item) {
    return key == "before" ? item.created() < time : item.created() > time;
  });
  return OkStatus();
}

StatusOr<std::function<bool(const Container&, const std::string&)>> ContainerMatcher(
    const std::string& key) {
  using Matcher = std::function<bool(const Container&, const std::string&)>;
  if (key == "id") {
    return Matcher([](const Container& c, const std::string& v) { return c.id().starts_with(v); });
  }
  if (key == "name") {
    return Matcher([](const Container& c, const std::string& v) {
      std::string want = v;
      const bool begin = want.starts_with('^');
      if (begin) want.erase(0, want.starts_with("^/") ? 2 : 1);
      const bool end = want.ends_with('$');
      if (end) want.pop_back();
      if (begin && end) return c.name() == want;
      if (begin) return c.name().starts_with(want);
      if (end) return c.name().ends_with(want);
      return c.name().find(want) != std::string::npos;
    });
  }
  if (key == "label") {
    return Matcher(
        [](const Container& c, const std::string& v) { return HasLabel(c.config().labels(), v); });
  }
  if (key == "status") {
    return Matcher([](const Container& c, const std::string& v) {
      return StatusWord(c.state().status()) == v;
    });
  }
  if (key == "exited") {
    return Matcher([](const Container& c, const std::string& v) {
      return c.state().status() == ContainerState::STATUS_EXITED &&
             std::to_string(c.state().exit_code()) == v;
    });
  }
  if (key == "ancestor") {
    return Matcher([](const Container& c, const std::string& v) {
      const auto have = image::ParseReference(c.image());
      const auto want = image::ParseReference(v);
      if (have.ok() && want.ok() && have->Canonical() == want->Canonical()) return true;
      return c.image_id() == v || c.image_id().substr(7).starts_with(v);
    });
  }
  if (key == "network") {
    return Matcher([](const Container& c, const std::string& v) {
      return std::any_of(c.networks().begin(), c.networks().end(),
                         [&](const auto& endpoint) { return endpoint.network() == v; });
    });
  }
  if (key == "volume") {
    return Matcher([](const Container& c, const std::string& v) {
      return std::any_of(c.mounts().begin(), c.mounts().end(), [&](const auto& mount) {
        return mount.destination() == v || mount.name() == v || mount.source() == v;
      });
    });
  }
  if (key == "publish") {
    return Matcher([](const Container& c, const std::string& v) {
      return std::any_of(c.ports().begin(), c.ports().end(), [&](const auto& port) {
        return port.host_port() == v || port.container_port() == v ||
               port.container_port().substr(0, port.container_port().find('/')) == v;
      });
    });
  }
  return InvalidArgument("invalid filter '{}'", key);
}

}  // namespace

std::string StatusWord(ContainerState::Status status) {
  switch (status) {
    case ContainerState::STATUS_RUNNING:
      return "running";
    case ContainerState::STATUS_PAUSED:
      return "paused";
    case ContainerState::STATUS_RESTARTING:
      return "restarting";
    case ContainerState::STATUS_REMOVING:
      return "removing";
    case ContainerState::STATUS_EXITED:
      return "exited";
    case ContainerState::STATUS_DEAD:
      return "dead";
    default:
      return "created";
  }
}

Status FilterContainers(const Filters& filters, std::vector<Container>* containers) {
  for (const auto& filter : filters) {
    if (filter.key() == "before" || filter.key() == "since") {
      for (const std::string& name : filter.values()) {
        RETURN_IF_ERROR(KeepByAge(containers, filter.key(), name, [&](const Container& c) {
          return c.name() == name || c.id().starts_with(name);
        }));
      }
      continue;
    }
    ASSIGN_OR_RETURN(const auto matcher, ContainerMatcher(filter.key()));
    // Labels add up; of the other keys one value is enough.
    if (filter.key() == "label") {
      for (const std::string& value : filter.values()) {
        Keep(containers, [&](const Container& c) { return matcher(c, value); });
      }
      continue;
    }
    Keep(containers, [&](const Container& c) {
      return AnyOf(filter, [&](const std::string& value) { return matcher(c, value); });
    });
  }
  return OkStatus();
}

Status FilterImages(const Filters& filters, std::vector<Image>* images) {
  for (const auto& filter : filters) {
    const std::string& key = filter.key();
    if (key == "dangling") {
      const bool want = AnyOf(filter, [](const std::string& v) { return v == "true" || v == "1"; });
      Keep(images, [&](const Image& i) { return (i.repo_tags_size() == 0) == want; });
    } else if (key == "label") {
      for (const std::string& value : filter.values()) {
        Keep(images, [&](const Image& i) { return HasLabel(i.config().labels(), value); });
      }
    } else if (key == "reference") {
      Keep(images, [&](const Image& i) {
        return AnyOf(filter, [&](const std::string& pattern) {
          return std::any_of(i.repo_tags().begin(), i.repo_tags().end(), [&](const std::string& t) {
            return fnmatch(pattern.c_str(), t.c_str(), FNM_PATHNAME) == 0 ||
                   fnmatch(pattern.c_str(), t.substr(0, t.rfind(':')).c_str(), FNM_PATHNAME) == 0;
          });
        });
      });
    } else if (key == "before" || key == "since") {
      for (const std::string& name : filter.values()) {
        const auto reference = image::ParseReference(name);
        RETURN_IF_ERROR(KeepByAge(images, key, name, [&](const Image& i) {
          return i.id().substr(7).starts_with(name) ||
                 (reference.ok() && std::find(i.repo_tags().begin(), i.repo_tags().end(),
                                              reference->Familiar()) != i.repo_tags().end());
        }));
      }
    } else {
      return InvalidArgument("invalid filter '{}'", key);
    }
  }
  return OkStatus();
}

StatusOr<bool> EventMatches(const Filters& filters, const ocid::v1::Event& event) {
  for (const auto& filter : filters) {
    const auto attribute = [&](const char* name) {
      const auto found = event.attributes().find(name);
      return found == event.attributes().end() ? std::string() : found->second;
    };
    std::function<bool(const std::string&)> matches;
    if (filter.key() == "event") {
      matches = [&](const std::string& v) {
        return event.action() == v || event.action().starts_with(v + ":");
      };
    } else if (filter.key() == "type") {
      matches = [&](const std::string& v) { return event.type() == v; };
    } else if (filter.key() == "container") {
      matches = [&](const std::string& v) {
        return event.type() == "container" &&
               (event.actor_id().starts_with(v) || attribute("name") == v);
      };
    } else if (filter.key() == "image") {
      matches = [&](const std::string& v) {
        return attribute("image") == v || attribute("name") == v;
      };
    } else if (filter.key() == "label") {
      matches = [&](const std::string& v) { return HasLabel(event.attributes(), v); };
    } else {
      return InvalidArgument("invalid filter '{}'", filter.key());
    }
    if (!AnyOf(filter, matches)) return false;
  }
  return true;
}

}  // namespace ocirun::api
