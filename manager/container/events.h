// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "base/time.h"
#include "ocid/v1/system.pb.h"

namespace ocirun::container {

// What happened lately and what happens: the last 1024 events, and waiting for the next. Any
// thread.
class EventLog {
 public:
  void Publish(const std::string& type, const std::string& action, const std::string& actor,
               const std::map<std::string, std::string>& attributes) {
    ocid::v1::Event event;
    event.set_time(NowUnixNanos());
    event.set_type(type);
    event.set_action(action);
    event.set_actor_id(actor);
    event.mutable_attributes()->insert(attributes.begin(), attributes.end());
    {
      const std::lock_guard lock(mutex_);
      events_.push_back(std::move(event));
      if (events_.size() > kKept) {
        events_.pop_front();
        ++first_;
      }
    }
    changed_.notify_all();
  }

  // The sequence number of the next event.
  uint64_t Next() {
    const std::lock_guard lock(mutex_);
    return first_ + events_.size();
  }

  // The event with number `*sequence` or the first that is still kept, waiting at most `wait`;
  // false when none came. Sets `*sequence` behind it.
  bool Take(uint64_t* sequence, std::chrono::milliseconds wait, ocid::v1::Event* event) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, wait, [&] { return first_ + events_.size() > *sequence; })) {
      return false;
    }
    *sequence = std::max(*sequence, first_);
    *event = events_[*sequence - first_];
    ++*sequence;
    return true;
  }

 private:
  static constexpr size_t kKept = 1024;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<ocid::v1::Event> events_;
  uint64_t first_ = 0;
};

}  // namespace ocirun::container
