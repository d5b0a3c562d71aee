// SPDX-License-Identifier: Apache-2.0
//
// What a container's scope is called and what systemd is told about it
// (systemd.resource-control(5), org.freedesktop.systemd1(5)). Pure: no bus, no cgroup.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "ocirun/spec/spec.h"

namespace ocirun::cgroup {

// Where a unit is in systemd's tree.
struct UnitPlace {
  std::string slice;  // "a-b.slice"
  std::string name;   // "prefix-name.scope"
};

// linux.cgroupsPath with the systemd driver, "slice:prefix:name", as runc has it. Empty: the
// default slice, "ocirun" and the container's id; an empty slice or name gets the default as well.
// InvalidArgument for another form, and for a name that ends in ".slice".
StatusOr<UnitPlace> ParseUnitPath(const std::string& cgroups_path, const std::string& id,
                                  const std::string& default_slice);

// The cgroup of a slice below the root of its manager: "a-b.slice" is "/a.slice/a-b.slice", and
// "-.slice" is "". InvalidArgument for what is no slice's name.
StatusOr<std::string> ExpandSlice(const std::string& slice);

// A list of CPUs or memory nodes ("1,3-5") as the mask that AllowedCPUs takes, lowest byte first.
StatusOr<std::vector<uint8_t>> CpuMask(std::string_view list);

struct UnitProperty {
  std::string name, value;  // the value in GVariant's text (systemd/variant.h)
  bool optional = false;    // may be left out: older systemds do not know it
};
using UnitProperties = std::vector<UnitProperty>;

enum class CgroupVersion { kV1, kV2 };

// Takes the quota to the whole percents in which systemd counts, upwards: both are to write the
// same to the kernel, which otherwise changes when systemd writes again.
void RoundCpuQuota(oci::CpuResources* cpu);

// The limits that systemd knows. Errors name the property of config.json.
StatusOr<UnitProperties> LimitProperties(const oci::Resources& resources, CgroupVersion version);

// DevicePolicy and DeviceAllow for the rules of config.json, with the defaults. Rules that systemd
// has no words for (an exception from what is allowed, a wildcard for the major number alone) make
// it allow all: what the kernel has from us says no.
UnitProperties DeviceProperties(const std::vector<oci::DeviceRule>& rules);

// Annotations "org.systemd.property.NAME".
StatusOr<UnitProperties> AnnotatedProperties(const std::map<std::string, std::string>& annotations);

// Everything at the start of the scope but its processes.
StatusOr<UnitProperties> ScopeProperties(const UnitPlace& place, const std::string& id,
                                         const oci::Spec& spec, CgroupVersion version);

}  // namespace ocirun::cgroup
