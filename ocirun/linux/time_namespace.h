// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "base/status.h"
#include "ocirun/spec/spec.h"

namespace ocirun::linux_ {

// Makes a new time namespace with these offsets for the children of the caller, which itself stays
// where it is (time_namespaces(7)): the offsets can be written only while nobody is inside.
// The caller must have one thread.
Status NewTimeNamespace(const std::map<std::string, oci::TimeOffset>& offsets);

// The caller itself enters the one that it made for its children.
Status EnterTimeNamespace();

}  // namespace ocirun::linux_
