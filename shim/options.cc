// SPDX-License-Identifier: Apache-2.0
#include "shim/options.h"

#include "base/file.h"
#include "base/json.h"
#include "containerd/runc_old_options.pb.h"
#include "containerd/runtime_options.pb.h"
#include "ocirun/linux/self_exe.h"
#include "shim/toml_options.h"

namespace ocirun::shim {
namespace {

constexpr char kDefaultRuntimeRoot[] = "/run/containerd/ocirun";
constexpr char kRuncType[] = "containerd.runc.v1.Options";
constexpr char kTomlType[] = "runtimeoptions.v1.Options";
constexpr char kOldType[] = "containerd.linux.runc.CreateOptions";
constexpr char kCheckpointType[] = "containerd.runc.v1.CheckpointOptions";
constexpr char kOldCheckpointType[] = "containerd.linux.runc.CheckpointOptions";
constexpr size_t kMaxFile = 1u << 20;

std::string OptionsFile(const std::string& bundle) { return bundle + "/options.json"; }
std::string RuntimeFile(const std::string& bundle) { return bundle + "/runtime"; }

std::string_view BehindLastSlash(std::string_view url) {
  return url.substr(url.rfind('/') + 1);  // npos + 1: all of it
}

// Without text and file: empty options, as containerd 1.6 sends where its configuration has some.
StatusOr<RuncOptions> UnpackToml(const std::string& bytes) {
  runtimeoptions::v1::Options wrapped;
  if (!wrapped.ParseFromString(bytes)) return InvalidArgument("unreadable options");
  if (!wrapped.type_url().empty() && BehindLastSlash(wrapped.type_url()) != kRuncType)
    return Unsupported("options of type {:?}: only {} is supported", wrapped.type_url(), kRuncType);
  const std::string& path = wrapped.config_path();
  std::string text = wrapped.config_body();
  if (!path.empty()) {
    ASSIGN_OR_RETURN(text, ReadFile(path, kMaxFile));
  }
  auto options = ParseTomlOptions(text);
  if (!options.ok()) return Annotate(options.status(), path.empty() ? "options" : path);
  return options;
}

StatusOr<RuncOptions> UnpackOld(const std::string& bytes) {
  containerd::runc::old::CreateOptions old;
  if (!old.ParseFromString(bytes)) return InvalidArgument("unreadable options");
  RuncOptions out;
  out.set_no_pivot_root(old.no_pivot_root());
  out.set_no_new_keyring(old.no_new_keyring());
  out.set_shim_cgroup(old.shim_cgroup());
  out.set_io_uid(old.io_uid());
  out.set_io_gid(old.io_gid());
  out.set_criu_work_path(old.criu_work_path());
  out.set_criu_image_path(old.criu_image_path());
  return out;
}

}  // namespace

std::string_view TypeName(const wire::Any& any) { return BehindLastSlash(any.type_url()); }

bool HasOptions(const wire::Any& any) {
  const std::string_view name = TypeName(any);
  return name == kRuncType || name == kTomlType || name == kOldType;
}

StatusOr<RuncOptions> UnpackOptions(const wire::Any& any) {
  if (TypeName(any) == kTomlType) return UnpackToml(any.value());
  if (TypeName(any) == kOldType) return UnpackOld(any.value());
  RuncOptions options;
  // Older clients of ours send the value alone.
  if (!any.type_url().empty() && TypeName(any) != kRuncType) {
    return Unsupported("options of type {:?}: only {} and {} are supported", any.type_url(),
                       kRuncType, kTomlType);
  }
  if (!options.ParseFromString(any.value())) return InvalidArgument("unreadable options");
  return options;
}

StatusOr<CheckpointOptions> UnpackCheckpointOptions(const wire::Any& any) {
  const std::string_view name = TypeName(any);
  if (!name.empty() && name != kCheckpointType && name != kOldCheckpointType)
    return Unsupported("checkpoint options of type {:?}", any.type_url());
  CheckpointOptions options;
  if (!options.ParseFromString(any.value()))
    return InvalidArgument("unreadable checkpoint options");
  // The older message is the same but for the numbers of these.
  if (name == kOldCheckpointType) options.mutable_work_path()->swap(*options.mutable_image_path());
  return options;
}

Status SaveOptions(const std::string& bundle, const RuncOptions& options) {
  OrderedJson json = OrderedJson::object();
  const auto add = [&](const char* name, const auto& value) {
    if (value != std::decay_t<decltype(value)>()) json[name] = value;
  };
  add("no_pivot_root", options.no_pivot_root());
  add("no_new_keyring", options.no_new_keyring());
  add("shim_cgroup", options.shim_cgroup());
  add("io_uid", options.io_uid());
  add("io_gid", options.io_gid());
  add("binary_name", options.binary_name());
  add("root", options.root());
  add("systemd_cgroup", options.systemd_cgroup());
  add("criu_image_path", options.criu_image_path());
  add("criu_work_path", options.criu_work_path());
  add("task_api_address", options.task_api_address());
  add("task_api_version", options.task_api_version());
  const std::string text = json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  RETURN_IF_ERROR(WriteFileAtomic(OptionsFile(bundle), text, 0600));
  return WriteFileAtomic(RuntimeFile(bundle), options.binary_name(), 0600);
}

StatusOr<RuncOptions> LoadOptions(const std::string& bundle) {
  RuncOptions options;
  const auto text = ReadFile(OptionsFile(bundle), kMaxFile);
  if (text.ok()) {
    ASSIGN_OR_RETURN(const Json json, ParseJson(*text));
    ASSIGN_OR_RETURN(*options.mutable_root(), StringOr(JsonView(json), "root", ""));
  } else if (ErrnoOf(text.status()) != ENOENT) {
    return text.status();
  }
  auto runtime = ReadFile(RuntimeFile(bundle), kMaxFile);
  if (runtime.ok()) {
    options.set_binary_name(*std::move(runtime));
  } else if (ErrnoOf(runtime.status()) != ENOENT) {
    return runtime.status();
  }
  return options;
}

std::string RuntimeRoot(const RuncOptions& options, const std::string& name_space) {
  return fmt::format("{}/{}", options.root().empty() ? kDefaultRuntimeRoot : options.root(),
                     name_space);
}

std::string RuntimeProgram(const RuncOptions& options) {
  if (!options.binary_name().empty()) return options.binary_name();
  const auto beside = linux_::PathBesideSelf("ocirun");
  return beside.ok() && PathExists(*beside) ? *beside : "ocirun";
}

}  // namespace ocirun::shim
