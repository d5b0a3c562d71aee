// SPDX-License-Identifier: Apache-2.0
//
// Where layers and containers' writable folders are:
//
//   <root>/layers/<chain id hex>/       a layer in overlayfs's form; whole, or not there
//   <root>/staging/<random>/            a layer that is being unpacked
//   <root>/containers/<id>/upper, work  what a container changed
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace ocirun::snapshot {

// A folder that becomes a layer by Commit, or is removed.
class StagedLayer {
 public:
  ~StagedLayer();
  StagedLayer(const StagedLayer&) = delete;
  StagedLayer& operator=(const StagedLayer&) = delete;
  [[nodiscard]] const UniqueFd& folder() const { return folder_; }

 private:
  friend class Snapshotter;
  explicit StagedLayer(std::string path) : path_(std::move(path)) {}
  std::string path_;
  UniqueFd folder_;
};

// Any thread.
class Snapshotter {
 public:
  // Makes the folders; what a killed daemon left in staging/ is removed.
  static StatusOr<std::unique_ptr<Snapshotter>> Open(const std::string& root);

  [[nodiscard]] std::string LayerPath(std::string_view chain_id) const;
  [[nodiscard]] bool HasLayer(std::string_view chain_id) const;
  StatusOr<std::unique_ptr<StagedLayer>> Stage();
  // The layer is there afterwards, this one or one that was committed before it.
  Status Commit(std::unique_ptr<StagedLayer> layer, std::string_view chain_id);
  Status RemoveLayer(std::string_view chain_id);
  // Chain ids of all layers on disk.
  [[nodiscard]] StatusOr<std::vector<std::string>> ListLayers() const;

  Status MakeContainer(const std::string& id);
  // What becomes of what a container writes: with kThrownAway it ends with its run.
  enum class Upper { kKept, kThrownAway };
  Status MountContainer(const std::string& id, const std::vector<std::string>& chain_ids,
                        const std::string& target, Upper upper);
  Status RemoveContainer(const std::string& id);
  // Ids of the containers that have a folder here.
  [[nodiscard]] StatusOr<std::vector<std::string>> ListContainers() const;
  [[nodiscard]] std::string UpperPath(const std::string& id) const;
  [[nodiscard]] std::string WorkPath(const std::string& id) const;

 private:
  explicit Snapshotter(std::string root) : root_(std::move(root)) {}
  std::string root_;
};

}  // namespace ocirun::snapshot
