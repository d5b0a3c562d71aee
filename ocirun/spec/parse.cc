// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>

#include "ocirun/spec/fields.h"

namespace ocirun::oci {
namespace {

StatusOr<Mount> ParseMount(const JsonView& view, const std::string& bundle) {
  Mount mount;
  RETURN_IF_ERROR(ReadList(view, "uidMappings", &mount.uid_mappings, ParseIdMapping));
  RETURN_IF_ERROR(ReadList(view, "gidMappings", &mount.gid_mappings, ParseIdMapping));
  if (mount.uid_mappings.empty() != mount.gid_mappings.empty())
    return view.Bad("uidMappings and gidMappings go together");
  ASSIGN_OR_RETURN(const JsonView destination, view.Get("destination"));
  ASSIGN_OR_RETURN(mount.destination, destination.String());
  if (mount.destination.empty()) return destination.Bad("must not be empty");
  // Relative ones are deprecated: taken from the root, as the specification asks.
  if (mount.destination[0] != '/') mount.destination.insert(0, "/");
  ASSIGN_OR_RETURN(mount.type, StringOr(view, "type", ""));
  ASSIGN_OR_RETURN(mount.source, StringOr(view, "source", ""));
  ASSIGN_OR_RETURN(mount.options, StringsOf(view, "options"));
  // config.md#mounts: the source of a bind mount may be relative to the bundle.
  const auto is_bind = [](const std::string& option) {
    return option == "bind" || option == "rbind";
  };
  if (mount.type == "bind" || std::any_of(mount.options.begin(), mount.options.end(), is_bind))
    if (!mount.source.empty() && mount.source[0] != '/') mount.source = bundle + "/" + mount.source;
  return mount;
}

StatusOr<Hook> ParseHook(const JsonView& view) {
  Hook hook;
  ASSIGN_OR_RETURN(const JsonView path, view.Get("path"));
  ASSIGN_OR_RETURN(hook.path, path.String());
  if (hook.path.empty() || hook.path[0] != '/') return path.Bad("must be an absolute path");
  ASSIGN_OR_RETURN(hook.args, StringsOf(view, "args"));
  ASSIGN_OR_RETURN(hook.env, StringsOf(view, "env"));
  ASSIGN_OR_RETURN(hook.timeout_seconds, OptionalInt64(view, "timeout"));
  if (hook.timeout_seconds.value_or(1) <= 0) return view.Get("timeout")->Bad("must be above 0");
  return hook;
}

StatusOr<Hooks> ParseHooks(const JsonView& view) {
  Hooks hooks;
  const std::pair<std::string_view, std::vector<Hook>*> lists[] = {
      {"prestart", &hooks.prestart},
      {"createRuntime", &hooks.create_runtime},
      {"createContainer", &hooks.create_container},
      {"startContainer", &hooks.start_container},
      {"poststart", &hooks.poststart},
      {"poststop", &hooks.poststop}};
  for (const auto& [key, list] : lists) RETURN_IF_ERROR(ReadList(view, key, list, ParseHook));
  return hooks;
}

Status CheckVersion(const JsonView& root) {
  ASSIGN_OR_RETURN(const JsonView field, root.Get("ociVersion"));
  ASSIGN_OR_RETURN(const std::string version, field.String());
  int major = 0;
  const auto [end, error] = std::from_chars(version.data(), version.data() + version.size(), major);
  if (error != std::errc() || end == version.data() + version.size() || *end != '.')
    return field.Bad(fmt::format("{:?} is not a version", version));
  if (major != 1) return field.Bad(fmt::format("{} is not supported, only 1.x is", version));
  return OkStatus();
}

StatusOr<Root> ParseRoot(const JsonView& view, const std::string& bundle) {
  Root root;
  ASSIGN_OR_RETURN(const JsonView path, view.Get("path"));
  ASSIGN_OR_RETURN(root.path, path.String());
  if (root.path.empty()) return path.Bad("must not be empty");
  if (root.path[0] != '/') root.path = bundle + "/" + root.path;
  ASSIGN_OR_RETURN(root.readonly, BoolOr(view, "readonly", false));
  return root;
}

// A destination that names its place on the host, below the root, is taken as that place (as runc).
void StripRoot(const std::string& root, std::string* destination) {
  if (root != "/" && destination->rfind(root + "/", 0) == 0) destination->erase(0, root.size());
}

constexpr uint32_t kSchedDeadline = 6;  // SCHED_DEADLINE, linux/sched.h

Status CheckAcross(const JsonView& root, const Spec& spec) {
  if (!spec.hostname.empty() && spec.linux.Find(NamespaceType::kUts) == nullptr)
    return root.Get("hostname")->Bad("needs a uts namespace, or it would rename the host");
  if (!spec.domainname.empty() && spec.linux.Find(NamespaceType::kUts) == nullptr)
    return root.Get("domainname")->Bad("needs a uts namespace, or it would rename the host");
  // The kernel lets a deadline task run on all CPUs or none.
  if (spec.process.has_value() && spec.process->scheduler.has_value() &&
      spec.process->scheduler->policy == kSchedDeadline && !spec.linux.resources.cpu.cpus.empty())
    return root.Get("process")->Bad("process scheduler can't be used together with AllowedCPUs");
  if (spec.linux.Find(NamespaceType::kMount) == nullptr &&
      !(spec.linux.masked_paths.empty() && spec.linux.readonly_paths.empty()))
    return root.Get("linux")->Bad(
        "unable to restrict sys entries without a private MNT namespace: maskedPaths and "
        "readonlyPaths would hold for the host");
  return OkStatus();
}

}  // namespace

StatusOr<Spec> Parse(std::string_view text, const std::string& bundle) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  const JsonView view(json);
  if (!json.is_object()) return view.Bad("must be an object");
  RETURN_IF_ERROR(CheckNoNul(json));
  Spec spec;
  RETURN_IF_ERROR(CheckVersion(view));
  ASSIGN_OR_RETURN(spec.version, StringOr(view, "ociVersion", ""));
  RETURN_IF_ERROR(RefuseUnsupported(view, {"solaris", "windows", "vm", "zos", "freebsd"}));
  ASSIGN_OR_RETURN(const JsonView root, view.Get("root"));
  ASSIGN_OR_RETURN(spec.root, ParseRoot(root, bundle));
  ASSIGN_OR_RETURN(spec.hostname, StringOr(view, "hostname", ""));
  ASSIGN_OR_RETURN(spec.domainname, StringOr(view, "domainname", ""));
  RETURN_IF_ERROR(ReadInto(view, "process", &spec.process,
                           [&](const JsonView& v) { return ParseProcessView(v, &spec.warnings); }));
  RETURN_IF_ERROR(ReadList(view, "mounts", &spec.mounts,
                           [&](const JsonView& v) { return ParseMount(v, bundle); }));
  RETURN_IF_ERROR(ReadInto(view, "hooks", &spec.hooks, ParseHooks));
  RETURN_IF_ERROR(ReadStringMap(view, "annotations", &spec.annotations));
  RETURN_IF_ERROR(ReadInto(view, "linux", &spec.linux, ParseLinux));
  for (Mount& mount : spec.mounts) StripRoot(spec.root.path, &mount.destination);
  RETURN_IF_ERROR(CheckAcross(view, spec));
  return spec;
}

StatusOr<std::vector<Mount>> ParseMounts(std::string_view text, const std::string& folder) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  RETURN_IF_ERROR(CheckNoNul(json));
  if (!json.is_array()) return JsonView(json).Bad("must be a list of mounts");
  // In config.json the list has a name, which the readers of lists and the errors go by.
  const Json named = {{"mounts", json}};
  std::vector<Mount> mounts;
  RETURN_IF_ERROR(ReadList(JsonView(named), "mounts", &mounts,
                           [&](const JsonView& v) { return ParseMount(v, folder); }));
  return mounts;
}

StatusOr<Process> ParseProcess(std::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  RETURN_IF_ERROR(CheckNoNul(json));
  std::vector<std::string> warnings;
  return ParseProcessView(JsonView(json), &warnings);
}

}  // namespace ocirun::oci
