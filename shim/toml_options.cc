// SPDX-License-Identifier: Apache-2.0
#include "shim/toml_options.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"

namespace ocirun::shim {
namespace {

constexpr struct {
  std::string_view name;
  void (RuncOptions::*set)(bool);
} kSwitches[] = {{"NoPivotRoot", &RuncOptions::set_no_pivot_root},
                 {"NoNewKeyring", &RuncOptions::set_no_new_keyring},
                 {"SystemdCgroup", &RuncOptions::set_systemd_cgroup}};

constexpr struct {
  std::string_view name;
  void (RuncOptions::*set)(uint32_t);
} kNumbers[] = {{"IoUid", &RuncOptions::set_io_uid}, {"IoGid", &RuncOptions::set_io_gid}};

constexpr struct {
  std::string_view name;
  std::string* (RuncOptions::*text)();
} kTexts[] = {{"ShimCgroup", &RuncOptions::mutable_shim_cgroup},
              {"BinaryName", &RuncOptions::mutable_binary_name},
              {"Root", &RuncOptions::mutable_root},
              {"CriuImagePath", &RuncOptions::mutable_criu_image_path},
              {"CriuWorkPath", &RuncOptions::mutable_criu_work_path}};

// Go's decoders do not mind the case of a key.
template <typename Table>
auto Find(const Table& table, std::string_view name) {
  const auto* it = std::find_if(std::begin(table), std::end(table), [&](const auto& entry) {
    return EqualsIgnoringCase(entry.name, name);
  });
  return it == std::end(table) ? nullptr : it;
}

Status Set(std::string_view name, const JsonView& value, RuncOptions* options) {
  if (const auto* flag = Find(kSwitches, name)) {
    ASSIGN_OR_RETURN(const bool on, value.Bool());
    (options->*flag->set)(on);
  } else if (const auto* number = Find(kNumbers, name)) {
    ASSIGN_OR_RETURN(const uint32_t id, value.UInt32());
    (options->*number->set)(id);
  } else if (const auto* text = Find(kTexts, name)) {
    ASSIGN_OR_RETURN(*(options->*text->text)(), value.String());
  } else if (!EqualsIgnoringCase(name, "TypeUrl")) {  // containerd hands it on with the others
    return Unsupported("{:?}: no such option", name);
  }
  return OkStatus();
}

// Where the string that begins `text` ends: behind its closing quote; 0 when it has none.
size_t EndOfString(std::string_view text) {
  for (size_t at = 1; at < text.size(); ++at) {
    if (text[at] == text[0]) return at + 1;
    if (text[0] == '"' && text[at] == '\\') ++at;
  }
  return 0;
}

// The value that `text` begins with; behind it there is nothing but a comment. A string in double
// quotes, a number and a truth value are as in JSON.
StatusOr<Json> ParseValue(std::string_view text) {
  if (text.starts_with("'''") || text.starts_with("\"\"\""))
    return Unsupported("a string of more than a line: not supported");
  const bool quoted = text.starts_with('\'') || text.starts_with('"');
  const size_t end = quoted ? EndOfString(text) : std::min(text.find_first_of(" \t#"), text.size());
  const std::string_view rest = Trim(text.substr(end));
  if (end == 0 || !(rest.empty() || rest[0] == '#')) return InvalidArgument("no value");
  if (text[0] == '\'') return Json(std::string(text.substr(1, end - 2)));
  return ParseJson(text.substr(0, end));
}

Status ParseLine(std::string_view line, RuncOptions* options) {
  if (line.empty() || line[0] == '#') return OkStatus();
  if (line[0] == '[') return Unsupported("tables: not supported");
  const size_t equals = line.find('=');
  if (equals == std::string_view::npos) return InvalidArgument("must be KEY = VALUE");
  std::string_view name = Trim(line.substr(0, equals));
  if (name.size() > 1 && (name[0] == '"' || name[0] == '\'') && name.back() == name[0])
    name = name.substr(1, name.size() - 2);
  auto value = ParseValue(Trim(line.substr(equals + 1)));
  if (!value.ok()) return Annotate(value.status(), name);
  const Json pair = {{std::string(name), *std::move(value)}};
  ASSIGN_OR_RETURN(const JsonView view, JsonView(pair).Get(name));
  return Set(name, view, options);
}

}  // namespace

StatusOr<RuncOptions> ParseTomlOptions(std::string_view text) {
  RuncOptions options;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    RETURN_IF_ERROR(Annotate(ParseLine(Trim(line), &options), fmt::format("line {}", number)));
  }
  return options;
}

}  // namespace ocirun::shim
