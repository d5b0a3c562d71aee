// SPDX-License-Identifier: Apache-2.0
#include "shim/flags.h"

namespace ocirun::shim {

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
                {"socket", &flags.socket},
                {"runtime-root", &flags.runtime_root}};
  size_t at = 0;
  for (; at < args.size() && args[at].size() > 1 && args[at][0] == '-'; ++at) {
    std::string name = args[at].substr(args[at][1] == '-' ? 2 : 1), value;
    const size_t equals = name.find('=');
    const bool has_value = equals != std::string::npos;
    if (has_value) {
      value = name.substr(equals + 1);
      name.resize(equals);
    }
    if (name == "debug" || name == "v" || name == "version") {
      (name == "debug" ? flags.debug : flags.version) = !has_value || value == "true";
      continue;
    }
    std::string* target = nullptr;
    for (const auto& entry : values)
      if (entry.name == name) target = entry.value;
    if (target == nullptr) return InvalidArgument("unknown flag: -{}", name);
    if (!has_value) {
      if (++at == args.size()) return InvalidArgument("flag -{} needs a value", name);
      value = args[at];
    }
    *target = std::move(value);
  }
  if (at < args.size()) flags.action = args[at++];
  if (at < args.size() ||
      (!flags.action.empty() && flags.action != "start" && flags.action != "delete"))
    return InvalidArgument("unknown action {:?}: must be start or delete", args.back());
  return flags;
}

}  // namespace ocirun::shim
