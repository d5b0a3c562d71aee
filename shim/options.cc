// SPDX-License-Identifier: Apache-2.0
#include "shim/options.h"

#include "base/file.h"
#include "base/json.h"
#include "ocirun/linux/self_exe.h"

namespace ocirun::shim {
namespace {

constexpr char kDefaultRuntimeRoot[] = "/run/containerd/ocirun";
constexpr size_t kMaxFile = 1u << 20;

std::string OptionsFile(const std::string& bundle) { return bundle + "/options.json"; }
std::string RuntimeFile(const std::string& bundle) { return bundle + "/runtime"; }

}  // namespace

std::string_view TypeName(const wire::Any& any) {
  const std::string_view url = any.type_url();
  return url.substr(url.rfind('/') + 1);  // npos + 1: all of it
}

StatusOr<RuncOptions> UnpackOptions(const wire::Any& any) {
  RuncOptions options;
  // Older clients of ours send the value alone.
  if (!any.type_url().empty() && TypeName(any) != "containerd.runc.v1.Options") {
    return Unsupported("options of type {:?}: only containerd.runc.v1.Options is supported",
                       any.type_url());
  }
  if (!options.ParseFromString(any.value())) return InvalidArgument("unreadable options");
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
