// SPDX-License-Identifier: Apache-2.0
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <sstream>

#include "base/file.h"
#include "base/time.h"
#include "base/version.h"
#include "manager/api/filters.h"
#include "manager/api/services.h"

namespace ocirun::api {
namespace {

std::string OperatingSystem() {
  const StatusOr<std::string> text = ReadFile("/etc/os-release", 1u << 16);
  std::istringstream lines(text.ok() ? *text : "");
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("PRETTY_NAME=")) continue;
    std::string name = line.substr(12);
    std::erase(name, '"');
    return name;
  }
  return "Linux";
}

struct utsname Uname() {
  struct utsname name{};
  uname(&name);
  return name;
}

std::string GoArchitecture() { return image::HostPlatform().architecture; }

}  // namespace

grpc::Status SystemService::GetVersion(grpc::ServerContext*, const ocid::v1::GetVersionRequest*,
                                       ocid::v1::GetVersionResponse* response) {
  response->set_version(kVersion);
  response->set_api_version("v1");
  response->set_commit(kCommit);
  response->set_os("linux");
  response->set_arch(GoArchitecture());
  response->set_kernel_version(Uname().release);
  for (const char* name : {"ocirun", "ocishim"}) {
    auto* component = response->add_components();
    component->set_name(name);
    component->set_version(kVersion);
    component->set_commit(kCommit);
  }
  return grpc::Status::OK;
}

grpc::Status SystemService::GetInfo(grpc::ServerContext*, const ocid::v1::GetInfoRequest*,
                                    ocid::v1::GetInfoResponse* response) {
  using State = ocid::v1::ContainerState;
  for (const auto& record : manager_->ListAll(false)) {
    response->set_containers(response->containers() + 1);
    const auto status = record.state().status();
    if (status == State::STATUS_RUNNING) {
      response->set_containers_running(response->containers_running() + 1);
    } else if (status == State::STATUS_PAUSED) {
      response->set_containers_paused(response->containers_paused() + 1);
    } else {
      response->set_containers_stopped(response->containers_stopped() + 1);
    }
  }
  response->set_images(images_->Count().value_or(0));
  const struct utsname name = Uname();
  struct sysinfo memory{};
  sysinfo(&memory);
  response->set_id(facts_.id);
  response->set_name(name.nodename);
  response->set_server_version(kVersion);
  response->set_storage_driver("overlay2");
  response->set_logging_driver("json-file");
  response->set_cgroup_driver("cgroupfs");
  const bool cgroup_v2 = PathExists("/sys/fs/cgroup/cgroup.controllers");
  response->set_cgroup_version(cgroup_v2 ? "2" : "1");
  for (const char* driver : {"bridge", "host", "none"}) response->add_network_plugins(driver);
  response->add_log_plugins("json-file");
  response->add_runtimes("ocirun");
  response->set_default_runtime("ocirun");
  response->add_security_options("name=seccomp,profile=builtin");
  if (cgroup_v2) response->add_security_options("name=cgroupns");
  response->set_kernel_version(name.release);
  response->set_operating_system(OperatingSystem());
  response->set_os_type("linux");
  response->set_architecture(name.machine);
  response->set_cpus(static_cast<uint32_t>(sysconf(_SC_NPROCESSORS_ONLN)));
  response->set_memory(static_cast<uint64_t>(memory.totalram) * memory.mem_unit);
  response->set_root_dir(facts_.root);
  response->set_live_restore(true);
  response->add_insecure_registries("127.0.0.0/8");
  for (const std::string& host : facts_.insecure_registries) {
    response->add_insecure_registries(host);
  }
  return grpc::Status::OK;
}

grpc::Status SystemService::WatchEvents(grpc::ServerContext* context,
                                        const ocid::v1::WatchEventsRequest* request,
                                        grpc::ServerWriter<ocid::v1::Event>* writer) {
  uint64_t sequence = request->since() == 0 ? events_->Next() : 0;
  ocid::v1::Event event;
  // An unknown filter is refused before the first event.
  const StatusOr<bool> known = EventMatches(request->filters(), event);
  if (!known.ok()) return ToGrpc(known.status());
  while (!context->IsCancelled()) {
    const bool taken = events_->Take(&sequence, std::chrono::milliseconds(100), &event);
    if (!taken && request->until() != 0 && NowUnixNanos() > request->until()) break;
    if (!taken) continue;
    if (event.time() < request->since()) continue;
    if (request->until() != 0 && event.time() > request->until()) break;
    if (EventMatches(request->filters(), event).value_or(false) && !writer->Write(event)) break;
  }
  return grpc::Status::OK;
}

}  // namespace ocirun::api
