// SPDX-License-Identifier: Apache-2.0
#include "ocirun/criu/translate.h"

#include <array>

#include "base/json.h"
#include "criu/rpc.pb.h"

namespace ocirun::criu_rpc {
namespace {

constexpr struct {
  const char* name;
  void (criu::Options::*set)(bool);
} kFlags[] = {{"leave_running", &criu::Options::set_leave_running},
              {"ext_unix_sk", &criu::Options::set_ext_unix_sk},
              {"tcp_established", &criu::Options::set_tcp_established},
              {"evasive_devices", &criu::Options::set_evasive_devices},
              {"shell_job", &criu::Options::set_shell_job},
              {"file_locks", &criu::Options::set_file_locks},
              {"notify_scripts", &criu::Options::set_notify_scripts},
              {"track_mem", &criu::Options::set_track_mem},
              {"auto_dedup", &criu::Options::set_auto_dedup},
              {"link_remap", &criu::Options::set_link_remap},
              {"manage_cgroups", &criu::Options::set_manage_cgroups},
              {"rst_sibling", &criu::Options::set_rst_sibling},
              {"tcp_skip_in_flight", &criu::Options::set_tcp_skip_in_flight},
              {"lazy_pages", &criu::Options::set_lazy_pages},
              {"orphan_pts_master", &criu::Options::set_orphan_pts_master},
              {"tcp_close", &criu::Options::set_tcp_close}};

constexpr struct {
  const char* name;
  void (criu::Options::*set)(int32_t);
} kNumbers[] = {{"images_dir_fd", &criu::Options::set_images_dir_fd},
                {"pid", &criu::Options::set_pid},
                {"log_level", &criu::Options::set_log_level},
                {"work_dir_fd", &criu::Options::set_work_dir_fd},
                {"status_fd", &criu::Options::set_status_fd}};

constexpr struct {
  const char* name;
  std::string* (criu::Options::*field)();
} kTexts[] = {{"log_file", &criu::Options::mutable_log_file},
              {"root", &criu::Options::mutable_root},
              {"parent_img", &criu::Options::mutable_parent_img},
              {"freeze_cgroup", &criu::Options::mutable_freeze_cgroup},
              {"config_file", &criu::Options::mutable_config_file},
              {"lsm_profile", &criu::Options::mutable_lsm_profile},
              {"lsm_mount_context", &criu::Options::mutable_lsm_mount_context}};

template <typename Table>
auto Find(const Table& table, const std::string& name) {
  auto it = std::begin(table);
  while (it != std::end(table) && it->name != name) ++it;
  return it;
}

StatusOr<int32_t> Number(const JsonView& value) {
  ASSIGN_OR_RETURN(const int64_t number, value.Int64());
  if (number < INT32_MIN || number > INT32_MAX) return value.Bad("is out of range");
  return static_cast<int32_t>(number);
}

// {"key": ..., "val": ...}: the two texts of an element that is a pair.
StatusOr<std::array<std::string, 2>> Pair(const JsonView& element, const char* first,
                                          const char* second) {
  std::array<std::string, 2> out;
  ASSIGN_OR_RETURN(const JsonView one, element.Get(first));
  ASSIGN_OR_RETURN(out[0], one.String());
  ASSIGN_OR_RETURN(const JsonView two, element.Get(second));
  ASSIGN_OR_RETURN(out[1], two.String());
  return out;
}

Status SetExternalMounts(const JsonView& value, criu::Options* options) {
  ASSIGN_OR_RETURN(const auto elements, value.Elements());
  for (const JsonView& element : elements) {
    ASSIGN_OR_RETURN(const auto pair, Pair(element, "key", "val"));
    criu::ExternalMount* mount = options->add_ext_mnt();
    mount->set_key(pair[0]);
    mount->set_val(pair[1]);
  }
  return OkStatus();
}

Status SetCgroupRoots(const JsonView& value, criu::Options* options) {
  ASSIGN_OR_RETURN(const auto elements, value.Elements());
  for (const JsonView& element : elements) {
    ASSIGN_OR_RETURN(const auto pair, Pair(element, "ctrl", "path"));
    criu::CgroupRoot* root = options->add_cg_root();
    root->set_ctrl(pair[0]);
    root->set_path(pair[1]);
  }
  return OkStatus();
}

Status SetJoinedNamespaces(const JsonView& value, criu::Options* options) {
  ASSIGN_OR_RETURN(const auto elements, value.Elements());
  for (const JsonView& element : elements) {
    ASSIGN_OR_RETURN(const auto pair, Pair(element, "ns", "ns_file"));
    criu::JoinNamespace* joined = options->add_join_ns();
    joined->set_ns(pair[0]);
    joined->set_ns_file(pair[1]);
  }
  return OkStatus();
}

Status SetInheritedFds(const JsonView& value, criu::Options* options) {
  ASSIGN_OR_RETURN(const auto elements, value.Elements());
  for (const JsonView& element : elements) {
    ASSIGN_OR_RETURN(const JsonView key, element.Get("key"));
    ASSIGN_OR_RETURN(std::string text, key.String());
    ASSIGN_OR_RETURN(const JsonView fd, element.Get("fd"));
    ASSIGN_OR_RETURN(const int32_t number, Number(fd));
    criu::InheritedFd* inherited = options->add_inherit_fd();
    inherited->set_key(std::move(text));
    inherited->set_fd(number);
  }
  return OkStatus();
}

Status SetPageServer(const JsonView& value, criu::Options* options) {
  ASSIGN_OR_RETURN(std::string address, StringOr(value, "address", ""));
  ASSIGN_OR_RETURN(const JsonView port, value.Get("port"));
  ASSIGN_OR_RETURN(const int32_t number, Number(port));
  options->mutable_ps()->set_address(std::move(address));
  options->mutable_ps()->set_port(number);
  return OkStatus();
}

Status SetExternal(const JsonView& value, criu::Options* options) {
  ASSIGN_OR_RETURN(const auto names, value.Strings());
  for (const std::string& name : names) options->add_external(name);
  return OkStatus();
}

Status SetCgroupMode(const JsonView& value, criu::Options* options) {
  ASSIGN_OR_RETURN(const std::string name, value.String());
  criu::CgroupMode mode{};
  if (!criu::CgroupMode_Parse(name, &mode)) return value.Bad("is no mode");
  options->set_manage_cgroups_mode(mode);
  return OkStatus();
}

Status SetEmptyNamespaces(const JsonView& value, criu::Options* options) {
  ASSIGN_OR_RETURN(const uint32_t flags, value.UInt32());
  options->set_empty_ns(flags);
  return OkStatus();
}

constexpr struct {
  const char* name;
  Status (*set)(const JsonView&, criu::Options*);
} kOthers[] = {{"ps", SetPageServer},
               {"ext_mnt", SetExternalMounts},
               {"cg_root", SetCgroupRoots},
               {"inherit_fd", SetInheritedFds},
               {"manage_cgroups_mode", SetCgroupMode},
               {"external", SetExternal},
               {"empty_ns", SetEmptyNamespaces},
               {"join_ns", SetJoinedNamespaces}};

Status SetOption(const std::string& name, const JsonView& value, criu::Options* options) {
  if (const auto it = Find(kFlags, name); it != std::end(kFlags)) {
    ASSIGN_OR_RETURN(const bool flag, value.Bool());
    (options->*it->set)(flag);
    return OkStatus();
  }
  if (const auto it = Find(kNumbers, name); it != std::end(kNumbers)) {
    ASSIGN_OR_RETURN(const int32_t number, Number(value));
    (options->*it->set)(number);
    return OkStatus();
  }
  if (const auto it = Find(kTexts, name); it != std::end(kTexts)) {
    ASSIGN_OR_RETURN(*(options->*it->field)(), value.String());
    return OkStatus();
  }
  if (const auto it = Find(kOthers, name); it != std::end(kOthers)) return it->set(value, options);
  return value.Bad("is no option of criu that is known here");
}

}  // namespace

StatusOr<std::string> RequestFromJson(const std::string& text) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  const JsonView view(json);
  criu::Request request;
  ASSIGN_OR_RETURN(const std::string type_name, StringOr(view, "type", ""));
  criu::RequestType type{};
  if (!criu::RequestType_Parse(type_name, &type))
    return InvalidArgument("type: {:?} is no request", type_name);
  request.set_type(type);
  ASSIGN_OR_RETURN(const JsonView opts, view.Get("opts"));
  ASSIGN_OR_RETURN(const auto members, opts.Members());
  for (const auto& [name, value] : members)
    RETURN_IF_ERROR(SetOption(name, value, request.mutable_opts()));
  ASSIGN_OR_RETURN(const bool keep_open, BoolOr(view, "keep_open", false));
  if (keep_open) request.set_keep_open(true);
  ASSIGN_OR_RETURN(const JsonView success, view.Get("notify_success"));
  if (success.present()) {
    ASSIGN_OR_RETURN(const bool value, success.Bool());
    request.set_notify_success(value);
  }
  ASSIGN_OR_RETURN(const JsonView features, view.Get("features"));
  ASSIGN_OR_RETURN(const bool mem_track, BoolOr(features, "mem_track", false));
  ASSIGN_OR_RETURN(const bool lazy_pages, BoolOr(features, "lazy_pages", false));
  if (mem_track) request.mutable_features()->set_mem_track(true);
  if (lazy_pages) request.mutable_features()->set_lazy_pages(true);
  return request.SerializeAsString();
}

StatusOr<std::string> ResponseToJson(const std::string& packet) {
  criu::Response response;
  if (!response.ParseFromString(packet)) return InvalidArgument("unreadable answer from criu");
  Json json = {{"type", criu::RequestType_Name(response.type())}, {"success", response.success()}};
  if (response.has_cr_errno()) json["errno"] = response.cr_errno();
  if (response.has_cr_errmsg()) json["error"] = response.cr_errmsg();
  if (response.has_restore()) json["restore"] = {{"pid", response.restore().pid()}};
  if (response.has_notify())
    json["notify"] = {{"script", response.notify().script()}, {"pid", response.notify().pid()}};
  if (response.has_features())
    json["features"] = {{"mem_track", response.features().mem_track()},
                        {"lazy_pages", response.features().lazy_pages()}};
  if (const criu::Version& version = response.version(); response.has_version())
    json["version"] =
        version.major_number() * 10000 + version.minor_number() * 100 + version.sublevel();
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace ocirun::criu_rpc
