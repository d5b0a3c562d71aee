// SPDX-License-Identifier: Apache-2.0
//
// The images of one daemon: names and facts in the database, blobs in the content store, layers in
// the snapshotter. Any thread.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "manager/content/content_store.h"
#include "manager/image/leases.h"
#include "manager/image/manifest.h"
#include "manager/image/puller.h"
#include "manager/image/reference.h"
#include "manager/registry/client.h"
#include "manager/snapshot/snapshotter.h"
#include "manager/store/database.h"
#include "ocid/v1/image.pb.h"

namespace ocirun::image {

// What a container needs of an image.
struct ImageForContainer {
  ocid::v1::Image image;
  std::vector<std::string> chain_ids;  // base first
};

class ImageStore {
 public:
  // Borrows everything. Removes what is on disk, in no image and older than a day.
  static StatusOr<std::unique_ptr<ImageStore>> Open(store::Database* database,
                                                    content::ContentStore* content,
                                                    snapshot::Snapshotter* snapshotter,
                                                    registry::HostOptionsMap hosts);

  // ImageService.PullImage; `progress` is called by several threads, one at a time.
  Status Pull(const ocid::v1::PullImageRequest& request, const ProgressSink& progress,
              const std::stop_token& stop);
  // Adds the one image of an OCI layout under a name, unless the name exists.
  Status ImportLayout(const std::string& folder, const std::string& name);

  StatusOr<std::vector<ocid::v1::Image>> List();
  // By reference, id or prefix of an id. NotFound "No such image: X".
  StatusOr<ocid::v1::Image> Get(const std::string& name);
  StatusOr<ImageForContainer> GetForContainer(const std::string& name);
  Status Tag(const std::string& source, const std::string& target);
  StatusOr<ocid::v1::RemoveImageResponse> Remove(const std::string& name, bool force);
  StatusOr<uint32_t> Count();

 private:
  struct Target {          // what a reference names
    std::string digest;    // of the manifest or index
    std::string manifest;  // digest of the manifest that was chosen
    Manifest parsed;
  };
  ImageStore(store::Database* database, content::ContentStore* content,
             snapshot::Snapshotter* snapshotter, registry::HostOptionsMap hosts)
      : database_(database),
        content_(content),
        snapshotter_(snapshotter),
        hosts_(std::move(hosts)) {}

  StatusOr<Target> FetchTarget(registry::RegistryClient* client, const Reference& reference,
                               const Platform& platform, Leases::Lease* lease);
  Status FetchLayers(const PullTools& tools, const Target& target, Leases::Lease* lease,
                     const std::stop_token& stop, std::string* image_id);
  Status RecordLayer(const UnpackedLayer& layer);
  Status RecordImage(const Target& target, const Reference& reference, const std::string& image_id);
  StatusOr<bool> IsUpToDate(const Reference& reference, const Target& target);
  StatusOr<std::string> ResolveId(const std::string& name);
  StatusOr<std::vector<std::string>> ChainIdsOf(const std::string& id);
  StatusOr<ocid::v1::Image> Load(const std::string& id);
  Status CheckRemovable(const std::string& id, const std::string& name, bool by_id, bool force,
                        size_t tags);
  Status DeleteImage(const std::string& id, ocid::v1::RemoveImageResponse* response);
  // Removes blobs and layers that nothing needs any more.
  Status SweepBlobs(const std::vector<std::string>& digests);
  Status SweepLayers(const std::vector<std::string>& chain_ids);
  Status SweepLeftovers();

  store::Database* database_;
  content::ContentStore* content_;
  snapshot::Snapshotter* snapshotter_;
  registry::HostOptionsMap hosts_;
  Leases leases_;
};

}  // namespace ocirun::image
