// SPDX-License-Identifier: Apache-2.0
#include "ctl/commands/filters.h"

#include <algorithm>

namespace ocirun::ctl {

Status CheckFilter(const std::string& word) {
  if (word.find('=') != std::string::npos) return OkStatus();
  return InvalidArgument("bad format of filter (expected name=value)");
}

Status AddFilters(const std::vector<std::string>& words,
                  google::protobuf::RepeatedPtrField<ocid::v1::Filter>* filters) {
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    RETURN_IF_ERROR(CheckFilter(word));
    const std::string key = word.substr(0, equals);
    auto same = std::find_if(filters->begin(), filters->end(),
                             [&](const ocid::v1::Filter& f) { return f.key() == key; });
    ocid::v1::Filter* filter = same == filters->end() ? filters->Add() : &*same;
    filter->set_key(key);
    filter->add_values(word.substr(equals + 1));
  }
  return OkStatus();
}

}  // namespace ocirun::ctl
