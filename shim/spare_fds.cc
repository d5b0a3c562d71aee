// SPDX-License-Identifier: Apache-2.0
#include "shim/spare_fds.h"

#include "base/sys/file.h"

namespace ocirun::shim {

StatusOr<SpareFds> SpareFds::Make(const UniqueFd& like) {
  SpareFds spare(&like);
  RETURN_IF_ERROR(spare.Fill());
  return spare;
}

Status SpareFds::Fill() {
  for (UniqueFd& fd : fds_) {
    if (fd) continue;
    ASSIGN_OR_RETURN(fd, sys::Duplicate(*like_));
  }
  return OkStatus();
}

void SpareFds::Give() {
  if (loans_++ > 0) return;
  for (UniqueFd& fd : fds_) fd.Reset();
}

void SpareFds::TakeBack() {
  if (--loans_ == 0) IgnoreError(Fill(), "the next loan tries again");
}

}  // namespace ocirun::shim
