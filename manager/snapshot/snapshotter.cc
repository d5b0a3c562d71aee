// SPDX-License-Identifier: Apache-2.0
#include "manager/snapshot/snapshotter.h"

#include <fcntl.h>

#include <filesystem>

#include "base/file.h"
#include "base/random.h"
#include "base/sys/file.h"
#include "manager/content/digest.h"
#include "manager/snapshot/overlay.h"

namespace ocirun::snapshot {

StagedLayer::~StagedLayer() {
  if (!path_.empty()) IgnoreError(RemoveTree(path_), "removed at the next start");
}

StatusOr<std::unique_ptr<Snapshotter>> Snapshotter::Open(const std::string& root) {
  RETURN_IF_ERROR(RemoveTree(root + "/staging"));
  for (const char* folder : {"/layers", "/staging", "/containers"}) {
    RETURN_IF_ERROR(MakeDirs(root + folder, 0710));
  }
  return std::unique_ptr<Snapshotter>(new Snapshotter(root));
}

std::string Snapshotter::LayerPath(std::string_view chain_id) const {
  return root_ + "/layers/" + content::HexOf(chain_id);
}

bool Snapshotter::HasLayer(std::string_view chain_id) const {
  return PathExists(LayerPath(chain_id));
}

StatusOr<std::unique_ptr<StagedLayer>> Snapshotter::Stage() {
  const std::string path = root_ + "/staging/" + RandomHex(8);
  RETURN_IF_ERROR(sys::MakeDir(path, 0755));
  std::unique_ptr<StagedLayer> layer(new StagedLayer(path));
  ASSIGN_OR_RETURN(layer->folder_, sys::Open(path, O_RDONLY | O_DIRECTORY));
  return layer;
}

Status Snapshotter::Commit(std::unique_ptr<StagedLayer> layer, std::string_view chain_id) {
  const Status renamed = sys::Rename(layer->path_, LayerPath(chain_id));
  const int err = ErrnoOf(renamed);
  if (err == EEXIST || err == ENOTEMPTY) return OkStatus();  // same bytes, from another pull
  if (renamed.ok()) layer->path_.clear();
  return renamed;
}

Status Snapshotter::RemoveLayer(std::string_view chain_id) {
  // Out of sight at once: a layer that is half removed must not be taken for a layer.
  const std::string away = root_ + "/staging/" + RandomHex(8);
  const Status renamed = sys::Rename(LayerPath(chain_id), away);
  if (ErrnoOf(renamed) == ENOENT) return OkStatus();
  RETURN_IF_ERROR(renamed);
  return RemoveTree(away);
}

StatusOr<std::vector<std::string>> Snapshotter::ListLayers() const {
  ASSIGN_OR_RETURN(std::vector<std::string> layers, ListFolder(root_ + "/layers"));
  for (std::string& layer : layers) layer.insert(0, "sha256:");
  return layers;
}

std::string Snapshotter::UpperPath(const std::string& id) const {
  return root_ + "/containers/" + id + "/upper";
}

std::string Snapshotter::WorkPath(const std::string& id) const {
  return root_ + "/containers/" + id + "/work";
}

Status Snapshotter::MakeContainer(const std::string& id) {
  RETURN_IF_ERROR(MakeDirs(UpperPath(id), 0755));
  return MakeDirs(WorkPath(id), 0700);
}

Status Snapshotter::MountContainer(const std::string& id, const std::vector<std::string>& chain_ids,
                                   const std::string& target, Upper upper) {
  OverlayMount mount{.upper = UpperPath(id),
                     .work = WorkPath(id),
                     .target = target,
                     .throw_away = upper == Upper::kThrownAway};
  // The kernel's mark of a mount that synced nothing: what it left may not be whole.
  if (mount.throw_away && PathExists(mount.work + "/work/incompat")) {
    RETURN_IF_ERROR(RemoveContainer(id));
    RETURN_IF_ERROR(MakeContainer(id));
  }
  for (const std::string& chain_id : chain_ids) mount.lower.push_back(LayerPath(chain_id));
  return MountOverlay(mount);
}

Status Snapshotter::RemoveContainer(const std::string& id) {
  return RemoveTree(root_ + "/containers/" + id);
}

StatusOr<std::vector<std::string>> Snapshotter::ListContainers() const {
  return ListFolder(root_ + "/containers");
}

}  // namespace ocirun::snapshot
