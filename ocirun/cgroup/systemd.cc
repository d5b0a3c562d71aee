// SPDX-License-Identifier: Apache-2.0
//
// The systemd driver: the container's cgroup is that of a scope, which systemd makes, and in which
// this runtime then does everything as with a folder of its own. Delegate= gives it the right to
// (systemd.resource-control(5); https://systemd.io/CGROUP_DELEGATION).
//
//   ocirun                       ocirun-systemd                   systemd
//     |-- start, properties ------->|---- StartTransientUnit ------->|  PIDs=[ocirun-systemd]
//     |<-- its cgroup --------------|<--- JobRemoved ----------------|
//     |  limits; init is cloned into the cgroup
//     |-- end of stream ----------->|  ends
//
// systemd wants a process in a scope from its start to its end. The helper is the first one, so
// that cgroup and limits are there before init is, and init is born in them, as everywhere else.
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "base/sys/file.h"
#include "base/sys/process.h"
#include "base/sys/socket.h"
#include "ocirun/cgroup/manager_impl.h"
#include "ocirun/cgroup/systemd_unit.h"
#include "ocirun/linux/program.h"
#include "ocirun/log/log.h"

namespace ocirun::cgroup {
namespace {

constexpr size_t kMaxMessage = 1u << 20;

// A running ocirun-systemd (systemd/property.h).
class Helper {
 public:
  static StatusOr<std::unique_ptr<Helper>> Start() {
    ASSIGN_OR_RETURN(const std::string path,
                     linux_::FindHelper("ocirun-systemd", "use --systemd-cgroup"));
    ASSIGN_OR_RETURN(auto sockets, sys::SocketPair());
    // Its standard error is ours, for what the dynamic linker may have to say.
    auto pid = linux_::Spawn(
        {.path = path, .args = {"ocirun-systemd"}, .fds = {&sockets.second}, .share_stdio = true});
    if (!pid.ok()) return Annotate(pid.status(), "ocirun-systemd");
    return std::unique_ptr<Helper>(new Helper(std::move(sockets.first), *pid));
  }
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  ~Helper() {
    // Children of the runtime may still have a copy of the socket.
    ::shutdown(socket_.get(), SHUT_RDWR);
    IgnoreError(sys::WaitPid(pid_).status(), "it has ended");
  }

  StatusOr<Json> Ask(const Json& request) {
    RETURN_IF_ERROR(
        sys::Send(socket_, request.dump(-1, ' ', false, Json::error_handler_t::replace)));
    ASSIGN_OR_RETURN(const std::string message, sys::Receive(socket_, kMaxMessage));
    if (message.empty()) return Internal("ocirun-systemd ended without an answer");
    ASSIGN_OR_RETURN(Json answer, ParseJson(message));
    if (const std::string error = answer.value("error", ""); !error.empty())
      return FailedPrecondition("systemd: {}", error);
    for (const Json& name : answer.value("left_out", Json::array()))
      Debug("systemd does not know {}: only the kernel is told", name.dump());
    return answer;
  }

 private:
  Helper(UniqueFd socket, pid_t pid) : socket_(std::move(socket)), pid_(pid) {}

  UniqueFd socket_;
  pid_t pid_;
};

Json NewRequest(const char* call, const SystemdUnit& unit) {
  return {{"call", call}, {"bus", unit.bus}, {"unit", unit.name}};
}

void AddProperties(const UnitProperties& properties, Json* request) {
  Json list = Json::array(), optional = Json::array();
  for (const UnitProperty& property : properties) {
    list.push_back({property.name, property.value});
    if (property.optional) optional.push_back(property.name);
  }
  (*request)["properties"] = std::move(list);
  (*request)["optional"] = std::move(optional);
}

// For one request that needs no more of the helper.
StatusOr<Json> AskOnce(const Json& request) {
  ASSIGN_OR_RETURN(const auto helper, Helper::Start());
  return helper->Ask(request);
}

// The limits as both sides are to have them.
oci::Resources Rounded(oci::Resources resources) {
  RoundCpuQuota(&resources.cpu);
  return resources;
}

class SystemdManager : public Manager {
 public:
  // `folders` is null before Create().
  SystemdManager(SystemdUnit unit, std::string cgroup, UnitProperties properties,
                 std::vector<Hierarchy> hierarchies, std::unique_ptr<Manager> folders)
      : unit_(std::move(unit)),
        cgroup_(std::move(cgroup)),
        properties_(std::move(properties)),
        hierarchies_(std::move(hierarchies)),
        folders_(std::move(folders)) {}

  Status Create() override;
  Status Set(const oci::Resources& resources) override;
  Status Update(const oci::Resources& resources, const Tell& tell) override;
  Status Entered() override;
  Status Delegate(uid_t owner) override { return folders_->Delegate(owner); }
  [[nodiscard]] Statistics ReadStatistics() const override { return folders_->ReadStatistics(); }
  StatusOr<Entry> OpenEntry(const SubCgroups& below) const override;
  StatusOr<std::vector<pid_t>> Pids() const override { return folders_->Pids(); }
  Status SetFrozen(bool frozen) override { return folders_->SetFrozen(frozen); }
  [[nodiscard]] bool IsFrozen() const override { return folders_->IsFrozen(); }
  Status KillAll(int signal) override { return folders_->KillAll(signal); }
  Status Destroy() override;
  [[nodiscard]] std::map<std::string, std::string> View() const override {
    return folders_->View();
  }
  [[nodiscard]] SystemdUnit Unit() const override { return unit_; }

 private:
  StatusOr<std::unique_ptr<Manager>> Folders(const std::string& proc_cgroup) const;

  SystemdUnit unit_;
  std::string cgroup_;  // how the path of its cgroup ends, from the slice on
  UnitProperties properties_;
  std::vector<Hierarchy> hierarchies_;
  std::unique_ptr<Manager> folders_;
  std::shared_ptr<Helper> holder_;  // the first process, until there is another
  std::optional<int64_t> pids_limit_;
};

// All hierarchies have the same path as the one by which systemd knows its units.
StatusOr<std::unique_ptr<Manager>> SystemdManager::Folders(const std::string& proc_cgroup) const {
  const bool v1 = std::any_of(hierarchies_.begin(), hierarchies_.end(),
                              [](const Hierarchy& hierarchy) { return !hierarchy.v2; });
  const Hierarchy named{"", "/", {"name=systemd"}, !v1};
  const std::string path = OwnCgroup(proc_cgroup, named);
  // What is written below is written as root.
  if (!path.ends_with(cgroup_))
    return Internal("systemd made {} in {:?}, not in {:?}", unit_.name, path, cgroup_);
  std::vector<Place> places;
  for (const Hierarchy& hierarchy : hierarchies_)
    places.push_back({hierarchy.mount_point,
                      Join(hierarchy.mount_point, BelowMount(hierarchy, path)),
                      hierarchy.controllers, hierarchy.v2});
  return v1 ? NewV1Manager(std::move(places), Maker::kSystemd)
            : NewV2Manager(std::move(places.front()), Maker::kSystemd);
}

Status SystemdManager::Create() {
  ASSIGN_OR_RETURN(std::shared_ptr<Helper> holder, Helper::Start());
  Json request = NewRequest("start", unit_);
  AddProperties(properties_, &request);
  const auto answer = holder->Ask(request);
  if (!answer.ok()) return Annotate(answer.status(), "unable to start unit " + unit_.name);
  ASSIGN_OR_RETURN(auto folders, Folders(answer->value("cgroup", "")));
  RETURN_IF_ERROR(folders->Create());
  folders_ = std::move(folders);
  holder_ = std::move(holder);
  return OkStatus();
}

Status SystemdManager::Set(const oci::Resources& resources) {
  oci::Resources limits = Rounded(resources);
  pids_limit_ = limits.pids_limit;
  // The helper is one process more, for the time being.
  if (holder_ != nullptr && limits.pids_limit.value_or(-1) >= 0)
    limits.pids_limit = std::max<int64_t>(*limits.pids_limit, 1) + 1;
  return folders_->Set(limits);
}

Status SystemdManager::Entered() {
  holder_.reset();
  if (pids_limit_.value_or(-1) < 0) return OkStatus();
  oci::Resources limits;
  limits.pids_limit = pids_limit_;
  return folders_->Update(limits);
}

Status SystemdManager::Update(const oci::Resources& resources, const Tell&) {
  const bool v2 = folders_->View().contains("");
  ASSIGN_OR_RETURN(const UnitProperties limits,
                   LimitProperties(resources, v2 ? CgroupVersion::kV2 : CgroupVersion::kV1));
  return folders_->Update(Rounded(resources), [&]() -> Status {
    if (limits.empty()) return OkStatus();
    Json request = NewRequest("set", unit_);
    AddProperties(limits, &request);
    return Annotate(AskOnce(request).status(), "unable to set properties of unit " + unit_.name);
  });
}

// An ordinary user may move processes only between cgroups that are both below one of his own; his
// session is not below his systemd's.
StatusOr<Entry> SystemdManager::OpenEntry(const SubCgroups& below) const {
  ASSIGN_OR_RETURN(Entry entry, folders_->OpenEntry(below));
  if (unit_.bus.empty()) return entry;
  std::string sub = "/";
  if (const auto all = below.find(""); all != below.end()) {
    ASSIGN_OR_RETURN(sub, CheckSubCgroup(all->second));
    if (sub.empty()) sub = "/";
  }
  entry.attach = [unit = unit_, sub, holder = holder_](pid_t pid) {
    Json request = NewRequest("attach", unit);
    request["below"] = sub;
    request["pid"] = pid;
    return (holder != nullptr ? holder->Ask(request) : AskOnce(request)).status();
  };
  return entry;
}

Status SystemdManager::Destroy() {
  holder_.reset();
  const Status stopped = AskOnce(NewRequest("stop", unit_)).status();
  // A scope without a process ends on its own.
  if (!stopped.ok()) Warn("unable to stop unit {}: {}", unit_.name, MessageOf(stopped));
  return folders_->Destroy();
}

// As sd_bus_open_user(3) finds it.
StatusOr<std::string> UserBus() {
  if (const char* address = std::getenv("DBUS_SESSION_BUS_ADDRESS");
      address != nullptr && *address != '\0')
    return std::string(address);
  const char* folder = std::getenv("XDG_RUNTIME_DIR");
  const std::string path = folder != nullptr ? std::string(folder) + "/bus" : "";
  struct stat st{};
  if (path.empty() || ::stat(path.c_str(), &st) < 0 || st.st_uid != ::geteuid())
    return FailedPrecondition(
        "--systemd-cgroup: no bus of the user's: set DBUS_SESSION_BUS_ADDRESS or XDG_RUNTIME_DIR "
        "(Debian: apt install dbus-user-session, and log in again)");
  // Escaped as D-Bus addresses are.
  std::string escaped;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-_/.\\").find(c) != std::string_view::npos;
    escaped += plain ? std::string(1, c) : fmt::format("%{:02x}", static_cast<unsigned char>(c));
  }
  return "unix:path=" + escaped;
}

}  // namespace

StatusOr<std::unique_ptr<Manager>> NewSystemdManager(const oci::Spec& spec, const std::string& id,
                                                     bool user) {
  struct stat booted{};
  if (::stat("/run/systemd/system", &booted) < 0)  // sd_booted(3)
    return FailedPrecondition("--systemd-cgroup: this host was not booted with systemd");
  SystemdUnit unit;
  // To one who is root in a user namespace only, the host's systemd belongs to somebody unknown.
  if (user || booted.st_uid != ::geteuid()) {
    ASSIGN_OR_RETURN(unit.bus, UserBus());
  }
  ASSIGN_OR_RETURN(std::vector<Hierarchy> hierarchies, HostHierarchies());
  if (hierarchies.empty()) return FailedPrecondition("this host has no cgroups mounted");
  const bool v2 = std::all_of(hierarchies.begin(), hierarchies.end(),
                              [](const Hierarchy& hierarchy) { return hierarchy.v2; });
  if (!v2 && !unit.bus.empty())
    return FailedPrecondition("--systemd-cgroup: an ordinary user needs cgroup v2");
  ASSIGN_OR_RETURN(
      const UnitPlace place,
      ParseUnitPath(spec.linux.cgroups_path, id, unit.bus.empty() ? "system.slice" : "user.slice"));
  unit.name = place.name;
  ASSIGN_OR_RETURN(UnitProperties properties,
                   ScopeProperties(place, id, spec, v2 ? CgroupVersion::kV2 : CgroupVersion::kV1));
  // A user's manager may not load the program that would be needed.
  if (unit.bus.empty()) {
    const UnitProperties devices = DeviceProperties(spec.linux.resources.devices);
    properties.insert(properties.begin(), devices.begin(), devices.end());
  }
  ASSIGN_OR_RETURN(const std::string slice, ExpandSlice(place.slice));
  return std::make_unique<SystemdManager>(std::move(unit), slice + "/" + place.name,
                                          std::move(properties), std::move(hierarchies), nullptr);
}

std::unique_ptr<Manager> ExistingSystemdManager(const SystemdUnit& unit,
                                                std::unique_ptr<Manager> folders) {
  return std::make_unique<SystemdManager>(unit, "", UnitProperties(), std::vector<Hierarchy>(),
                                          std::move(folders));
}

}  // namespace ocirun::cgroup
