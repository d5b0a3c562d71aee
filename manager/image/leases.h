// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace ocirun::image {

// What is in flight and must not be collected: digests of blobs and chain ids of layers that a pull
// counts on. Any thread.
class Leases {
 public:
  // Held by a pull, released at its end.
  class Lease {
   public:
    explicit Lease(Leases* leases) : leases_(leases) {}
    ~Lease() {
      const std::lock_guard lock(leases_->mutex_);
      for (const std::string& name : names_) leases_->names_.erase(leases_->names_.find(name));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    // Take it before looking whether the thing is there.
    void Add(const std::string& name) {
      const std::lock_guard lock(leases_->mutex_);
      leases_->names_.insert(name);
      names_.push_back(name);
    }

   private:
    Leases* leases_;
    std::vector<std::string> names_;
  };

  // Runs `remove` unless the thing is leased; nobody can lease it meanwhile.
  template <typename F>
  void UnlessLeased(const std::string& name, F remove) {
    const std::lock_guard lock(mutex_);
    if (!names_.contains(name)) remove();
  }

 private:
  std::mutex mutex_;
  std::multiset<std::string> names_;
};

}  // namespace ocirun::image
