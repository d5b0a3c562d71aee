// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "ocid/v1/types.pb.h"

namespace ocirun::ctl {

// --filter words (key=value); values of one key go together.
Status AddFilters(const std::vector<std::string>& words,
                  google::protobuf::RepeatedPtrField<ocid::v1::Filter>* filters);

}  // namespace ocirun::ctl
