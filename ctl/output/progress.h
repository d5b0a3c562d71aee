// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "ocid/v1/image.pb.h"

namespace ocirun::ctl {

// A pull's progress: on a terminal a line a layer that changes in place, elsewhere a line a change
// of state.
class PullProgress {
 public:
  // Null: nothing is shown.
  explicit PullProgress(FILE* out);
  void Show(const ocid::v1::PullImageProgress& event);
  void End();

 private:
  void ShowLayer(const ocid::v1::PullImageProgress::Layer& layer);
  FILE* out_;
  bool terminal_ = false;
  std::vector<std::string> lines_;  // ids, in the order of their lines
};

}  // namespace ocirun::ctl
