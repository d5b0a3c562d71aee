// SPDX-License-Identifier: Apache-2.0
//
// Brings one image's layers here: downloads and unpacks at the same time.
//
//   registry ──► ingest/<hex> (hash) ──feed──► inflate ──► hash ──► untar into staging/ ──► layers/
//   a few downloading threads                a few unpacking threads, each on a layer of its own
//
// An unpacker reads the growing file behind the downloader, from the page cache: the same code
// serves a blob that is here already and a download that goes on where it stopped.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "manager/content/content_store.h"
#include "manager/image/manifest.h"
#include "manager/registry/client.h"
#include "manager/snapshot/snapshotter.h"
#include "ocid/v1/image.pb.h"

namespace ocirun::image {

using LayerState = ocid::v1::PullImageProgress::Layer::State;
using ProgressSink = std::function<void(const ocid::v1::PullImageProgress&)>;

// A layer that is missing here.
struct LayerJob {
  Descriptor blob;
  std::string diff_id;
  std::string chain_id;
};

struct UnpackedLayer {
  LayerJob job;
  uint64_t size = 0;
};

struct PullTools {
  content::ContentStore* content;
  snapshot::Snapshotter* snapshotter;
  std::function<std::unique_ptr<registry::RegistryClient>(const std::stop_token&)> connect;
  ProgressSink progress;  // called by one thread at a time
  // Called when a layer is on disk, by any thread, one at a time.
  std::function<Status(const UnpackedLayer&)> unpacked;
};

// Downloads and unpacks `jobs`. The first error stops all; what was downloaded stays for the next
// time. Cancelled when `stop` is requested.
Status PullLayers(const PullTools& tools, const std::vector<LayerJob>& jobs,
                  const std::stop_token& stop);

// Downloads one blob if it is not here. `connect` may be null for a store that has it.
Status DownloadBlob(content::ContentStore* content, registry::RegistryClient* client,
                    const Descriptor& blob, const std::stop_token& stop);

}  // namespace ocirun::image
