// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "ocid/v1/container.pb.h"
#include "ocid/v1/image.pb.h"
#include "ocid/v1/system.pb.h"

namespace ocirun::api {

using Filters = google::protobuf::RepeatedPtrField<ocid::v1::Filter>;

// What of a list a client wants. InvalidArgument "invalid filter 'x'" for an unknown key.
Status FilterContainers(const Filters& filters, std::vector<ocid::v1::Container>* containers);
Status FilterImages(const Filters& filters, std::vector<ocid::v1::Image>* images);
StatusOr<bool> EventMatches(const Filters& filters, const ocid::v1::Event& event);

// "created", "running", ... as `ps --filter status=` has it.
std::string StatusWord(ocid::v1::ContainerState::Status status);

}  // namespace ocirun::api
