// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "ocid/v1/types.pb.h"

namespace ocirun::ctl {

// What is wrong with a word of --filter, for Command::List.
Status CheckFilter(const std::string& word);
// --filter words (key=value); values of one key go together.
Status AddFilters(const std::vector<std::string>& words,
                  google::protobuf::RepeatedPtrField<ocid::v1::Filter>* filters);

}  // namespace ocirun::ctl
