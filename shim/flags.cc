// SPDX-License-Identifier: Apache-2.0
#include "shim/flags.h"

#include <algorithm>
#include <optional>

namespace ocirun::shim {
namespace {

// The words that Go's flags take for a truth value.
std::optional<bool> ParseBool(std::string_view text) {
  for (const std::string_view word : {"1", "t", "T", "true", "TRUE", "True"})
    if (text == word) return true;
  for (const std::string_view word : {"0", "f", "F", "false", "FALSE", "False"})
    if (text == word) return false;
  return std::nullopt;
}

}  // namespace

StatusOr<Flags> ParseFlags(const std::vector<std::string>& args) {
  Flags flags;
  const struct {
    std::string_view name;
    std::string* value;
  } values[] = {{"namespace", &flags.name_space},
                {"address", &flags.address},
                {"publish-binary", &flags.publish_binary},
                {"id", &flags.id},
                {"bundle", &flags.bundle},
                {"socket", &flags.socket}};
  const struct {
    std::string_view name;
    bool* value;
  } switches[] = {{"debug", &flags.debug},
                  {"v", &flags.version},
                  {"version", &flags.version},
                  {"info", &flags.info}};
  size_t at = 0;
  for (; at < args.size() && args[at].size() > 1 && args[at][0] == '-'; ++at) {
    std::string name = args[at].substr(args[at][1] == '-' ? 2 : 1), value;
    if (name.empty()) {  // "--" ends the flags
      ++at;
      break;
    }
    const size_t equals = name.find('=');
    const bool has_value = equals != std::string::npos;
    if (has_value) {
      value = name.substr(equals + 1);
      name.resize(equals);
    }
    const auto named = [&](const auto& entry) { return entry.name == name; };
    if (const auto* it = std::find_if(std::begin(switches), std::end(switches), named);
        it != std::end(switches)) {
      const std::optional<bool> on = has_value ? ParseBool(value) : true;
      if (!on.has_value())
        return InvalidArgument("invalid boolean value {:?} for -{}", value, name);
      *it->value = *on;
      continue;
    }
    const auto* target = std::find_if(std::begin(values), std::end(values), named);
    if (target == std::end(values)) return InvalidArgument("unknown flag: -{}", name);
    if (!has_value) {
      if (++at == args.size()) return InvalidArgument("flag -{} needs a value", name);
      value = args[at];
    }
    *target->value = std::move(value);
  }
  if (at < args.size()) flags.action = args[at++];
  if (at < args.size() ||
      (!flags.action.empty() && flags.action != "start" && flags.action != "delete"))
    return InvalidArgument("unknown action {:?}: must be start or delete", args.back());
  return flags;
}

}  // namespace ocirun::shim
