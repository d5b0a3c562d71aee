// SPDX-License-Identifier: Apache-2.0
#include "ocirun/systemd/bus.h"

#include <systemd/sd-bus.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <functional>
#include <memory>

#include "base/file.h"

namespace ocirun::systemd {
namespace {

constexpr char kName[] = "org.freedesktop.systemd1";
constexpr char kPath[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";
constexpr std::chrono::seconds kJobTimeout{30};

struct Deleter {
  void operator()(sd_bus* bus) const { ::sd_bus_flush_close_unref(bus); }
  void operator()(sd_bus_message* message) const { ::sd_bus_message_unref(message); }
};
using Bus = std::unique_ptr<sd_bus, Deleter>;
using Message = std::unique_ptr<sd_bus_message, Deleter>;

// libsystemd returns a negative errno.
Status Check(int result, std::string_view what) {
  return result < 0 ? SysError(-result, what) : OkStatus();
}

// What a call was answered, when that was an error.
struct Refusal {
  sd_bus_error error = SD_BUS_ERROR_NULL;

  Refusal() = default;
  Refusal(const Refusal&) = delete;
  Refusal& operator=(const Refusal&) = delete;
  ~Refusal() { ::sd_bus_error_free(&error); }
  [[nodiscard]] bool Is(const char* name) const {
    return ::sd_bus_error_has_name(&error, name) != 0;
  }
  [[nodiscard]] std::string Text() const {
    if (error.message != nullptr) return error.message;
    return error.name != nullptr ? error.name : "no reason given";
  }
};

StatusOr<Bus> Connect(const std::string& address) {
  sd_bus* bus = nullptr;
  if (address.empty()) {
    RETURN_IF_ERROR(Check(::sd_bus_open_system(&bus), "connecting to the system bus"));
    return Bus(bus);
  }
  RETURN_IF_ERROR(Check(::sd_bus_new(&bus), "sd_bus_new"));
  Bus owner(bus);
  RETURN_IF_ERROR(Check(::sd_bus_set_address(bus, address.c_str()), "sd_bus_set_address"));
  RETURN_IF_ERROR(Check(::sd_bus_set_bus_client(bus, 1), "sd_bus_set_bus_client"));
  RETURN_IF_ERROR(Annotate(Check(::sd_bus_start(bus), "connecting to the user's bus"), address));
  return owner;
}

StatusOr<Message> NewCall(const Bus& bus, const char* method) {
  sd_bus_message* message = nullptr;
  RETURN_IF_ERROR(
      Check(::sd_bus_message_new_method_call(bus.get(), &message, kName, kPath, kManager, method),
            method));
  return Message(message);
}

template <typename Number>
int AppendNumber(sd_bus_message* message, const Variant& value) {
  Number number = 0;
  std::from_chars(value.text.data(), value.text.data() + value.text.size(), number);
  return ::sd_bus_message_append_basic(message, value.type[0], &number);
}

int AppendBasic(sd_bus_message* message, const Variant& value) {
  const int truth = value.text == "true" ? 1 : 0;
  switch (value.type[0]) {
    case 'b':
      return ::sd_bus_message_append_basic(message, 'b', &truth);
    case 'y':
      return AppendNumber<uint8_t>(message, value);
    case 'n':
      return AppendNumber<int16_t>(message, value);
    case 'q':
      return AppendNumber<uint16_t>(message, value);
    case 'i':
      return AppendNumber<int32_t>(message, value);
    case 'u':
      return AppendNumber<uint32_t>(message, value);
    case 'x':
      return AppendNumber<int64_t>(message, value);
    case 't':
      return AppendNumber<uint64_t>(message, value);
    case 'd':
      return AppendNumber<double>(message, value);
    case 's':
    case 'o':
    case 'g':
      return ::sd_bus_message_append_basic(message, value.type[0], value.text.c_str());
    default:
      return -EOPNOTSUPP;  // a descriptor's number
  }
}

int Append(sd_bus_message* message, const Variant& value) {
  const bool array = value.type[0] == 'a';
  if (!array && value.type[0] != '(') return AppendBasic(message, value);
  const std::string inside =
      array ? value.type.substr(1) : value.type.substr(1, value.type.size() - 2);
  int result = ::sd_bus_message_open_container(message, array ? 'a' : 'r', inside.c_str());
  for (const Variant& child : value.children)
    if (result >= 0) result = Append(message, child);
  return result < 0 ? result : ::sd_bus_message_close_container(message);
}

Status AppendProperties(sd_bus_message* message, const std::vector<Property>& properties) {
  RETURN_IF_ERROR(Check(::sd_bus_message_open_container(message, 'a', "(sv)"), "properties"));
  for (const Property& property : properties) {
    int result = ::sd_bus_message_open_container(message, 'r', "sv");
    if (result >= 0) result = ::sd_bus_message_append(message, "s", property.name.c_str());
    if (result >= 0)
      result = ::sd_bus_message_open_container(message, 'v', property.value.type.c_str());
    if (result >= 0) result = Append(message, property.value);
    if (result >= 0) result = ::sd_bus_message_close_container(message);
    if (result >= 0) result = ::sd_bus_message_close_container(message);
    RETURN_IF_ERROR(Check(result, property.name));
  }
  return Check(::sd_bus_message_close_container(message), "properties");
}

// Waits for the signal that says that a job of ours has ended. To be made before the job, whose end
// may be told before its beginning.
class JobWatch {
 public:
  static StatusOr<std::unique_ptr<JobWatch>> On(const Bus& bus) {
    std::unique_ptr<JobWatch> watch(new JobWatch(bus.get()));
    RETURN_IF_ERROR(Check(::sd_bus_match_signal_async(bus.get(), nullptr, kName, kPath, kManager,
                                                      "JobRemoved", Removed, nullptr, watch.get()),
                          "sd_bus_match_signal"));
    return watch;
  }

  // How the job of `reply` ended: "done", "failed", "timeout", ...
  StatusOr<std::string> Wait(const Message& reply) {
    const char* path = nullptr;
    RETURN_IF_ERROR(Check(::sd_bus_message_read(reply.get(), "o", &path), "reading systemd's job"));
    job_ = path;
    const auto end = std::chrono::steady_clock::now() + kJobTimeout;
    while (result_.empty()) {
      const int processed = ::sd_bus_process(bus_, nullptr);
      RETURN_IF_ERROR(Check(processed, "sd_bus_process"));
      if (processed > 0) continue;
      const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
          end - std::chrono::steady_clock::now());
      if (left.count() <= 0)
        return Error(StatusCode::kDeadlineExceeded, "systemd's job does not end");
      RETURN_IF_ERROR(
          Check(::sd_bus_wait(bus_, static_cast<uint64_t>(left.count())), "sd_bus_wait"));
    }
    return result_;
  }

 private:
  explicit JobWatch(sd_bus* bus) : bus_(bus) {}

  static int Removed(sd_bus_message* message, void* self, sd_bus_error*) {
    auto* watch = static_cast<JobWatch*>(self);
    uint32_t id = 0;
    const char *job = nullptr, *unit = nullptr, *result = nullptr;
    if (::sd_bus_message_read(message, "uoss", &id, &job, &unit, &result) >= 0 &&
        watch->job_ == job)
      watch->result_ = result;
    return 0;
  }

  sd_bus* bus_;
  std::string job_, result_;
};

// systemd keeps a unit that failed until it is told to forget it.
void ResetFailed(const Bus& bus, const std::string& unit) {
  ::sd_bus_call_method(bus.get(), kName, kPath, kManager, "ResetFailedUnit", nullptr, nullptr, "s",
                       unit.c_str());
}

// Calls, and again with less: without what this systemd does not know, and in the place of a failed
// unit of the same name.
StatusOr<Message> CallWithProperties(const Bus& bus, Request* request,
                                     const std::function<StatusOr<Message>()>& build,
                                     Json* left_out) {
  for (bool reset = false;;) {
    ASSIGN_OR_RETURN(const Message call, build());
    Refusal refusal;
    sd_bus_message* reply = nullptr;
    if (::sd_bus_call(bus.get(), call.get(), 0, &refusal.error, &reply) >= 0) return Message(reply);
    if (std::string name = LeaveOut(refusal.Text(), &request->properties); !name.empty()) {
      left_out->push_back(std::move(name));
    } else if (!reset && refusal.Is("org.freedesktop.systemd1.UnitExists")) {
      reset = true;
      ResetFailed(bus, request->unit);
    } else {
      return FailedPrecondition("{}", refusal.Text());
    }
  }
}

StatusOr<Json> Start(const Bus& bus, Request request) {
  request.properties.push_back({"PIDs", {"au", {}, {{"u", std::to_string(::getpid()), {}}}}});
  ASSIGN_OR_RETURN(const auto watch, JobWatch::On(bus));
  Json left_out = Json::array();
  const auto build = [&]() -> StatusOr<Message> {
    ASSIGN_OR_RETURN(Message call, NewCall(bus, "StartTransientUnit"));
    RETURN_IF_ERROR(Check(::sd_bus_message_append(call.get(), "ss", request.unit.c_str(), "fail"),
                          "StartTransientUnit"));
    RETURN_IF_ERROR(AppendProperties(call.get(), request.properties));
    RETURN_IF_ERROR(
        Check(::sd_bus_message_append(call.get(), "a(sa(sv))", 0), "StartTransientUnit"));
    return call;
  };
  ASSIGN_OR_RETURN(const Message reply, CallWithProperties(bus, &request, build, &left_out));
  ASSIGN_OR_RETURN(const std::string result, watch->Wait(reply));
  if (result != "done") {
    ResetFailed(bus, request.unit);
    return FailedPrecondition("systemd's job ended with {:?}", result);
  }
  ASSIGN_OR_RETURN(std::string cgroup, ReadFile("/proc/self/cgroup"));
  return Json{{"cgroup", std::move(cgroup)}, {"left_out", std::move(left_out)}};
}

StatusOr<Json> Set(const Bus& bus, Request request) {
  Json left_out = Json::array();
  const auto build = [&]() -> StatusOr<Message> {
    ASSIGN_OR_RETURN(Message call, NewCall(bus, "SetUnitProperties"));
    // Until the unit ends: it is not to come back with them after a restart of the host.
    constexpr int kRuntime = 1;
    RETURN_IF_ERROR(Check(::sd_bus_message_append(call.get(), "sb", request.unit.c_str(), kRuntime),
                          "SetUnitProperties"));
    RETURN_IF_ERROR(AppendProperties(call.get(), request.properties));
    return call;
  };
  RETURN_IF_ERROR(CallWithProperties(bus, &request, build, &left_out).status());
  return Json{{"left_out", std::move(left_out)}};
}

StatusOr<Json> Attach(const Bus& bus, const Request& request) {
  Refusal refusal;
  if (::sd_bus_call_method(bus.get(), kName, kPath, kManager, "AttachProcessesToUnit",
                           &refusal.error, nullptr, "ssau", request.unit.c_str(),
                           request.below.c_str(), 1, request.pid) < 0)
    return FailedPrecondition("{}", refusal.Text());
  return Json::object();
}

StatusOr<Json> Stop(const Bus& bus, const Request& request) {
  ASSIGN_OR_RETURN(const auto watch, JobWatch::On(bus));
  Refusal refusal;
  sd_bus_message* answered = nullptr;
  const int called =
      ::sd_bus_call_method(bus.get(), kName, kPath, kManager, "StopUnit", &refusal.error, &answered,
                           "ss", request.unit.c_str(), "replace");
  const Message reply(answered);
  // With its last process the scope has ended on its own.
  if (called < 0 && !refusal.Is("org.freedesktop.systemd1.NoSuchUnit"))
    return FailedPrecondition("{}", refusal.Text());
  if (called >= 0) RETURN_IF_ERROR(watch->Wait(reply).status());
  ResetFailed(bus, request.unit);
  return Json::object();
}

}  // namespace

StatusOr<Json> Serve(Request request) {
  ASSIGN_OR_RETURN(const Bus bus, Connect(request.bus));
  if (request.call == "start") return Start(bus, std::move(request));
  if (request.call == "set") return Set(bus, std::move(request));
  if (request.call == "attach") return Attach(bus, request);
  if (request.call == "stop") return Stop(bus, request);
  return InvalidArgument("unknown call {:?}", request.call);
}

}  // namespace ocirun::systemd
