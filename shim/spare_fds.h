// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::shim {

// Descriptors that nobody uses, so that there are some when clients have all others that the shim
// may have (RLIMIT_NOFILE): what is new is refused then, but what has begun is taken over, looked
// at, ended and told. Who needs files for that, and closes them again, borrows these meanwhile.
class SpareFds {
 public:
  // They are given back at its end. What is open then is missing from the next ones, until there is
  // another.
  class Loan {
   public:
    explicit Loan(SpareFds* from) : from_(from) { from_->Give(); }
    ~Loan() { from_->TakeBack(); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;

   private:
    SpareFds* from_;
  };

  // The spare ones are copies of `like`, which is borrowed for as long as this lives.
  static StatusOr<SpareFds> Make(const UniqueFd& like);
  // One within another gives no more.
  [[nodiscard]] Loan Lend() { return Loan(this); }

 private:
  explicit SpareFds(const UniqueFd* like) : like_(like) {}
  Status Fill();
  void Give();
  void TakeBack();

  const UniqueFd* like_;
  std::array<UniqueFd, 4> fds_;
  int loans_ = 0;
};

}  // namespace ocirun::shim
