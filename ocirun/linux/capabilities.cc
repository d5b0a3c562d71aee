// SPDX-License-Identifier: Apache-2.0
#include "ocirun/linux/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ocirun/log/log.h"

namespace ocirun::linux_ {
namespace {

using Mask = uint64_t;

struct Sets {
  Mask effective = 0, permitted = 0, inheritable = 0;
};

Mask MaskOf(const std::vector<std::string>& names) {
  Mask mask = 0;
  for (const std::string& name : names) mask |= Mask{1} << oci::CapabilityBit(name);
  return mask;
}

StatusOr<Sets> Get() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) < 0) return SysError(errno, "capget");
  const auto join = [](uint32_t low, uint32_t high) { return low | (Mask{high} << 32); };
  return Sets{join(data[0].effective, data[1].effective),
              join(data[0].permitted, data[1].permitted),
              join(data[0].inheritable, data[1].inheritable)};
}

Status Set(const Sets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  for (int half = 0; half < 2; ++half) {
    data[half].effective = static_cast<uint32_t>(sets.effective >> (32 * half));
    data[half].permitted = static_cast<uint32_t>(sets.permitted >> (32 * half));
    data[half].inheritable = static_cast<uint32_t>(sets.inheritable >> (32 * half));
  }
  if (::syscall(SYS_capset, &header, data) < 0) return SysError(errno, "capset");
  return OkStatus();
}

Status SetAmbient(Mask ambient) {
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
    return SysError(errno, "prctl PR_CAP_AMBIENT_CLEAR_ALL");
  for (int bit = 0; bit < 64; ++bit) {
    if ((ambient >> bit & 1) == 0) continue;
    // One that is not both permitted and inheritable can't be raised; the others stand.
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0) < 0)
      Warn("can't raise ambient capability {}: {}", oci::CapabilityName(bit), ErrnoText(errno));
  }
  return OkStatus();
}

}  // namespace

Status LimitBounding(const oci::Capabilities& caps) {
  const Mask keep = MaskOf(caps.bounding);
  for (int bit = 0; bit < 64; ++bit) {
    // EINVAL: past the last capability of this kernel.
    const int held = ::prctl(PR_CAPBSET_READ, bit, 0, 0, 0);
    if (held < 0) break;
    if (held == 1 && (keep >> bit & 1) == 0 && ::prctl(PR_CAPBSET_DROP, bit, 0, 0, 0) < 0)
      return SysError(errno, "prctl PR_CAPBSET_DROP", oci::CapabilityName(bit));
  }
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return SysError(errno, "prctl PR_SET_KEEPCAPS");
  return OkStatus();
}

Status RaiseEffective() {
  ASSIGN_OR_RETURN(Sets sets, Get());
  sets.effective = sets.permitted;
  return Set(sets);
}

Status SetCapabilities(const oci::Capabilities& caps) {
  ASSIGN_OR_RETURN(const Sets now, Get());
  const Mask can = now.permitted;
  const Sets asked{MaskOf(caps.effective), MaskOf(caps.permitted), MaskOf(caps.inheritable)};
  const Mask lacking = (asked.effective | asked.permitted | asked.inheritable) & ~can;
  for (int bit = 0; bit < 64; ++bit)
    if (lacking >> bit & 1)
      Warn("capability {} can't be granted: the runtime has not got it", oci::CapabilityName(bit));
  RETURN_IF_ERROR(Set(
      {asked.effective & asked.permitted & can, asked.permitted & can, asked.inheritable & can}));
  return SetAmbient(MaskOf(caps.ambient));
}

}  // namespace ocirun::linux_
