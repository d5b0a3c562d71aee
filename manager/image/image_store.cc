// SPDX-License-Identifier: Apache-2.0
#include "manager/image/image_store.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "base/sys/file.h"
#include "base/time.h"
#include "manager/content/digest.h"

namespace ocirun::image {
namespace {

using ocid::v1::PullImageProgress;

constexpr size_t kMaxManifest = 4u << 20;
constexpr size_t kMaxConfig = 8u << 20;
constexpr UnixNanos kDay = 86400LL * 1'000'000'000;
constexpr size_t kShortId = 12;

std::string ShortId(const std::string& id) { return id.substr(7, kShortId); }

bool IsHex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// Whether `name` could mean an id: all of it or its beginning.
bool MayBeId(const std::string& name) {
  const std::string hex = name.starts_with("sha256:") ? name.substr(7) : name;
  return IsHex(hex) && hex.size() <= 64;
}

Status NoSuchImage(const std::string& name) { return NotFound("No such image: {}", name); }

UnixNanos ChangeTime(const std::string& path) {
  const auto info = sys::StatPath(path);
  return info.ok() ? info->st_ctim.tv_sec * 1'000'000'000LL + info->st_ctim.tv_nsec
                   : NowUnixNanos();
}

}  // namespace

StatusOr<std::unique_ptr<ImageStore>> ImageStore::Open(store::Database* database,
                                                       content::ContentStore* content,
                                                       snapshot::Snapshotter* snapshotter,
                                                       registry::HostOptionsMap hosts) {
  std::unique_ptr<ImageStore> store(
      new ImageStore(database, content, snapshotter, std::move(hosts)));
  RETURN_IF_ERROR(store->SweepLeftovers());
  return store;
}

Status ImageStore::Pull(const ocid::v1::PullImageRequest& request, const ProgressSink& progress,
                        const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const Reference reference, ParseReference(request.reference()));
  // A word with capitals before the slash is a typing error, and no host.
  const auto upper = [](unsigned char c) { return std::isupper(c) != 0; };
  if (std::any_of(reference.domain.begin(), reference.domain.end(), upper) &&
      reference.domain.find_first_of(".:") == std::string::npos) {
    return InvalidArgument("invalid reference format: repository name ({}) must be lowercase",
                           reference.Repository());
  }
  Platform platform = HostPlatform();
  if (!request.platform().empty()) {
    ASSIGN_OR_RETURN(platform, ParsePlatform(request.platform()));
  }
  const auto found = hosts_.find(reference.domain);
  const registry::HostOptions options =
      found == hosts_.end() ? registry::HostOptions{} : found->second;
  const registry::Credentials credentials{.username = request.auth().username(),
                                          .password = request.auth().password(),
                                          .identity_token = request.auth().identity_token()};
  const auto tokens = std::make_shared<registry::TokenCache>();
  const PullTools tools{
      .content = content_,
      .snapshotter = snapshotter_,
      .connect =
          [&](const std::stop_token& token) {
            return std::make_unique<registry::RegistryClient>(reference, options, credentials,
                                                              tokens, token);
          },
      .progress = progress,
      .unpacked = [this](const UnpackedLayer& layer) { return RecordLayer(layer); }};

  const auto client = tools.connect(stop);
  Leases::Lease lease(&leases_);
  ASSIGN_OR_RETURN(const Target target, FetchTarget(client.get(), reference, platform, &lease));
  PullImageProgress message;
  message.mutable_start()->set_repository(reference.path);
  message.mutable_start()->set_tag(reference.digest.empty() ? reference.tag : reference.digest);
  progress(message);

  RETURN_IF_ERROR(DownloadBlob(content_, client.get(), target.parsed.config, stop));
  auto* result = message.mutable_result();
  ASSIGN_OR_RETURN(const bool up_to_date, IsUpToDate(reference, target));
  std::string image_id = target.parsed.config.digest;
  if (!up_to_date) {
    RETURN_IF_ERROR(
        Annotate(FetchLayers(tools, target, &lease, stop, &image_id), reference.Familiar()));
    RETURN_IF_ERROR(RecordImage(target, reference, image_id));
  }
  result->set_digest(target.digest);
  result->set_reference(reference.Canonical());
  result->set_familiar_reference(reference.Familiar());
  result->set_up_to_date(up_to_date);
  result->set_image_id(image_id);
  progress(message);
  return OkStatus();
}

StatusOr<ImageStore::Target> ImageStore::FetchTarget(registry::RegistryClient* client,
                                                     const Reference& reference,
                                                     const Platform& platform,
                                                     Leases::Lease* lease) {
  const std::string wanted = reference.digest.empty() ? reference.tag : reference.digest;
  ASSIGN_OR_RETURN(registry::FetchedManifest fetched, client->FetchManifest(wanted));
  Target target{.digest = fetched.digest, .manifest = fetched.digest};
  lease->Add(fetched.digest);
  ASSIGN_OR_RETURN(Json document, ParseJson(fetched.body, kMaxManifest));
  ASSIGN_OR_RETURN(const bool index, IsIndex(document, fetched.media_type));
  if (index) {
    ASSIGN_OR_RETURN(const Descriptor chosen, ChooseManifest(document, platform));
    RETURN_IF_ERROR(content_->Put(fetched.body).status());
    lease->Add(chosen.digest);
    ASSIGN_OR_RETURN(fetched, client->FetchManifest(chosen.digest));
    target.manifest = chosen.digest;
    ASSIGN_OR_RETURN(document, ParseJson(fetched.body, kMaxManifest));
  }
  ASSIGN_OR_RETURN(target.parsed, ParseManifest(document));
  if (target.parsed.config.size > kMaxConfig) {
    return InvalidArgument("the image's configuration is over {} bytes", kMaxConfig);
  }
  lease->Add(target.parsed.config.digest);
  RETURN_IF_ERROR(content_->Put(fetched.body).status());
  return target;
}

Status ImageStore::FetchLayers(const PullTools& tools, const Target& target, Leases::Lease* lease,
                               const std::stop_token& stop, std::string* image_id) {
  ASSIGN_OR_RETURN(const std::string config,
                   content_->Read(target.parsed.config.digest, kMaxConfig));
  ASSIGN_OR_RETURN(const ocid::v1::Image image, ParseImageConfig(config, {}));
  const std::vector<std::string> diff_ids(image.diff_ids().begin(), image.diff_ids().end());
  if (diff_ids.size() != target.parsed.layers.size()) {
    return InvalidArgument("the manifest has {} layers and the configuration {}",
                           target.parsed.layers.size(), diff_ids.size());
  }
  const std::vector<std::string> chain = ChainIds(diff_ids);
  std::vector<LayerJob> jobs;
  for (size_t i = 0; i < chain.size(); ++i) {
    const Descriptor& blob = target.parsed.layers[i];
    lease->Add(chain[i]);
    lease->Add(blob.digest);
    ASSIGN_OR_RETURN(const auto rows,
                     database_->Query("SELECT 1 FROM layers WHERE chain_id = ?", {chain[i]}));
    if (rows.empty() || !snapshotter_->HasLayer(chain[i])) {
      jobs.push_back({.blob = blob, .diff_id = diff_ids[i], .chain_id = chain[i]});
      continue;
    }
    PullImageProgress progress;
    progress.mutable_layer()->set_id(ShortId(blob.digest));
    progress.mutable_layer()->set_state(PullImageProgress::Layer::STATE_ALREADY_EXISTS);
    tools.progress(progress);
  }
  *image_id = image.id();
  return PullLayers(tools, jobs, stop);
}

Status ImageStore::RecordLayer(const UnpackedLayer& layer) {
  return database_->Execute(
      "INSERT INTO layers (chain_id, diff_id, blob, size) VALUES (?, ?, ?, ?) ON CONFLICT DO "
      "UPDATE SET blob = excluded.blob, size = excluded.size",
      {layer.job.chain_id, layer.job.diff_id, layer.job.blob.digest,
       static_cast<int64_t>(layer.size)});
}

Status ImageStore::RecordImage(const Target& target, const Reference& reference,
                               const std::string& image_id) {
  ASSIGN_OR_RETURN(const std::string config, content_->Read(image_id, kMaxConfig));
  ASSIGN_OR_RETURN(const ocid::v1::Image image, ParseImageConfig(config, {}));
  const std::vector<std::string> chain =
      ChainIds({image.diff_ids().begin(), image.diff_ids().end()});
  ASSIGN_OR_RETURN(const auto transaction, store::Transaction::Begin(database_));
  RETURN_IF_ERROR(database_->Execute(
      "INSERT INTO images (id, manifest, created) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
      "manifest = excluded.manifest",
      {image_id, target.manifest, image.created()}));
  for (size_t i = 0; i < chain.size(); ++i) {
    RETURN_IF_ERROR(database_->Execute(
        "INSERT INTO image_layers (image, position, chain_id) VALUES (?, ?, ?) ON CONFLICT DO "
        "NOTHING",
        {image_id, static_cast<int64_t>(i), chain[i]}));
  }
  const std::string by_digest = reference.Repository() + "@" + target.digest;
  for (const std::string& name : {reference.Canonical(), by_digest}) {
    RETURN_IF_ERROR(database_->Execute(
        "INSERT INTO image_references (name, image, target, tagged) VALUES (?, ?, ?, ?) ON "
        "CONFLICT DO UPDATE SET image = excluded.image, target = excluded.target, tagged = "
        "excluded.tagged",
        {name, image_id, target.digest, NowUnixNanos()}));
  }
  return transaction->Commit();
}

StatusOr<bool> ImageStore::IsUpToDate(const Reference& reference, const Target& target) {
  ASSIGN_OR_RETURN(const auto rows,
                   database_->Query("SELECT 1 FROM image_references JOIN images ON images.id = "
                                    "image WHERE name = ? AND target = ? AND manifest = ?",
                                    {reference.Canonical(), target.digest, target.manifest}));
  return !rows.empty();
}

Status ImageStore::ImportLayout(const std::string& folder, const std::string& name) {
  ASSIGN_OR_RETURN(const Reference reference, ParseReference(name));
  ASSIGN_OR_RETURN(
      const auto rows,
      database_->Query("SELECT 1 FROM image_references WHERE name = ?", {reference.Canonical()}));
  if (!rows.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const auto layout, content::ContentStore::Open(folder));
  ASSIGN_OR_RETURN(const std::string index_text, ReadFile(folder + "/index.json", kMaxManifest));
  ASSIGN_OR_RETURN(const Json index, ParseJson(index_text));
  ASSIGN_OR_RETURN(const Descriptor chosen, ChooseManifest(index, HostPlatform()));
  ASSIGN_OR_RETURN(const std::string text, layout->Read(chosen.digest, kMaxManifest));
  ASSIGN_OR_RETURN(const Json document, ParseJson(text));
  Target target{.digest = chosen.digest, .manifest = chosen.digest};
  ASSIGN_OR_RETURN(target.parsed, ParseManifest(document));
  Leases::Lease lease(&leases_);
  RETURN_IF_ERROR(content_->Put(text).status());
  std::vector<Descriptor> blobs = target.parsed.layers;
  blobs.push_back(target.parsed.config);
  for (const Descriptor& blob : blobs) {
    lease.Add(blob.digest);
    ASSIGN_OR_RETURN(const std::string data, layout->Read(blob.digest, blob.size));
    RETURN_IF_ERROR(content_->Put(data).status());
  }
  const PullTools tools{
      .content = content_,
      .snapshotter = snapshotter_,
      .connect = nullptr,
      .progress = [](const PullImageProgress&) {},
      .unpacked = [this](const UnpackedLayer& layer) { return RecordLayer(layer); }};
  std::string image_id;
  RETURN_IF_ERROR(FetchLayers(tools, target, &lease, {}, &image_id));
  return RecordImage(target, reference, image_id);
}

StatusOr<std::string> ImageStore::ResolveId(const std::string& name) {
  // A digest alone is an id; a name is tried before the beginning of an id, as Docker does.
  if (!IsSha256Digest(name)) {
    const StatusOr<Reference> reference = ParseReference(name);
    if (reference.ok()) {
      ASSIGN_OR_RETURN(const auto rows,
                       database_->Query("SELECT image FROM image_references WHERE name = ?",
                                        {reference->Canonical()}));
      if (!rows.empty()) return rows[0].Text(0);
    } else if (!MayBeId(name)) {
      return reference.status();
    }
  }
  if (!MayBeId(name)) return NoSuchImage(name);
  const std::string prefix = name.starts_with("sha256:") ? name : "sha256:" + name;
  ASSIGN_OR_RETURN(const auto rows,
                   database_->Query("SELECT id FROM images WHERE substr(id, 1, ?) = ? LIMIT 2",
                                    {static_cast<int64_t>(prefix.size()), prefix}));
  if (rows.empty()) return NoSuchImage(name);
  if (rows.size() > 1) return InvalidArgument("ambiguous image id prefix: {}", name);
  return rows[0].Text(0);
}

StatusOr<std::vector<std::string>> ImageStore::ChainIdsOf(const std::string& id) {
  ASSIGN_OR_RETURN(const auto rows,
                   database_->Query("SELECT chain_id FROM image_layers WHERE image = ? ORDER BY "
                                    "position",
                                    {id}));
  std::vector<std::string> chain;
  for (const store::Row& row : rows) chain.push_back(row.Text(0));
  return chain;
}

StatusOr<ocid::v1::Image> ImageStore::Load(const std::string& id) {
  ASSIGN_OR_RETURN(const auto layers,
                   database_->Query("SELECT layers.chain_id, size FROM image_layers JOIN layers "
                                    "USING (chain_id) WHERE image = ? ORDER BY position",
                                    {id}));
  std::vector<uint64_t> sizes;
  for (const store::Row& row : layers) sizes.push_back(static_cast<uint64_t>(row.Int(1)));
  ASSIGN_OR_RETURN(const std::string config, content_->Read(id, kMaxConfig));
  ASSIGN_OR_RETURN(ocid::v1::Image image, ParseImageConfig(config, sizes));
  for (const store::Row& row : layers) {
    image.add_layer_folders(snapshotter_->LayerPath(row.Text(0)));
  }
  ASSIGN_OR_RETURN(const auto names, database_->Query("SELECT name, tagged FROM image_references "
                                                      "WHERE image = ? ORDER BY name",
                                                      {id}));
  for (const store::Row& row : names) {
    ASSIGN_OR_RETURN(const Reference reference, ParseReference(row.Text(0)));
    if (reference.digest.empty()) {
      image.add_repo_tags(reference.Familiar());
      image.set_last_tagged(std::max(image.last_tagged(), row.Int(1)));
    } else {
      image.add_repo_digests(reference.Familiar());
    }
  }
  ASSIGN_OR_RETURN(const auto users,
                   database_->Query("SELECT count(*) FROM containers WHERE image = ?", {id}));
  image.set_containers(static_cast<uint32_t>(users[0].Int(0)));
  return image;
}

StatusOr<std::vector<ocid::v1::Image>> ImageStore::List() {
  ASSIGN_OR_RETURN(const auto rows,
                   database_->Query("SELECT id FROM images ORDER BY created DESC, id"));
  std::vector<ocid::v1::Image> images;
  for (const store::Row& row : rows) {
    StatusOr<ocid::v1::Image> image = Load(row.Text(0));
    if (image.ok()) images.push_back(*std::move(image));  // removed meanwhile
  }
  return images;
}

StatusOr<uint32_t> ImageStore::Count() {
  ASSIGN_OR_RETURN(const auto rows, database_->Query("SELECT count(*) FROM images"));
  return static_cast<uint32_t>(rows[0].Int(0));
}

StatusOr<ocid::v1::Image> ImageStore::Get(const std::string& name) {
  ASSIGN_OR_RETURN(const std::string id, ResolveId(name));
  return Load(id);
}

StatusOr<ImageForContainer> ImageStore::GetForContainer(const std::string& name) {
  ASSIGN_OR_RETURN(const std::string id, ResolveId(name));
  ImageForContainer found;
  ASSIGN_OR_RETURN(found.image, Load(id));
  ASSIGN_OR_RETURN(found.chain_ids, ChainIdsOf(id));
  return found;
}

Status ImageStore::Tag(const std::string& source, const std::string& target) {
  ASSIGN_OR_RETURN(const std::string id, ResolveId(source));
  ASSIGN_OR_RETURN(const Reference reference, ParseReference(target));
  if (!reference.digest.empty()) {
    return InvalidArgument("refusing to create a tag with a digest reference");
  }
  ASSIGN_OR_RETURN(const auto rows,
                   database_->Query("SELECT manifest FROM images WHERE id = ?", {id}));
  if (rows.empty()) return NoSuchImage(source);
  return database_->Execute(
      "INSERT INTO image_references (name, image, target, tagged) VALUES (?, ?, ?, ?) ON CONFLICT "
      "DO UPDATE SET image = excluded.image, target = excluded.target, tagged = excluded.tagged",
      {reference.Canonical(), id, rows[0].Text(0), NowUnixNanos()});
}

Status ImageStore::CheckRemovable(const std::string& id, const std::string& name, bool by_id,
                                  bool force, size_t tags) {
  if (by_id && tags > 1 && !force) {
    return FailedPrecondition(
        "conflict: unable to delete {} (must be forced) - image is referenced in multiple "
        "repositories",
        ShortId(id));
  }
  if (!by_id && tags > 1) return OkStatus();  // only a name goes
  ASSIGN_OR_RETURN(const auto users,
                   database_->Query("SELECT id, running FROM containers WHERE image = ? ORDER BY "
                                    "running DESC",
                                    {id}));
  for (const store::Row& user : users) {
    const bool running = user.Int(1) != 0;
    const std::string container = user.Text(0).substr(0, kShortId);
    if (force && (!running || !by_id)) continue;
    if (!by_id) {
      return FailedPrecondition(
          "conflict: unable to remove repository reference \"{}\" (must force) - container {} is "
          "using its referenced image {}",
          name, container, ShortId(id));
    }
    return FailedPrecondition(
        "conflict: unable to delete {} ({} be forced) - image is being used by {} container {}",
        ShortId(id), running ? "cannot" : "must", running ? "running" : "stopped", container);
  }
  return OkStatus();
}

StatusOr<ocid::v1::RemoveImageResponse> ImageStore::Remove(const std::string& name, bool force) {
  ASSIGN_OR_RETURN(const std::string id, ResolveId(name));
  ASSIGN_OR_RETURN(ocid::v1::Image image, Load(id));
  const StatusOr<Reference> reference = ParseReference(name);
  const bool by_id = !reference.ok() || IsSha256Digest(name) ||
                     (std::find(image.repo_tags().begin(), image.repo_tags().end(),
                                reference->Familiar()) == image.repo_tags().end() &&
                      reference->digest.empty());
  const auto tags = static_cast<size_t>(image.repo_tags_size());
  RETURN_IF_ERROR(CheckRemovable(id, name, by_id, force, tags));

  ocid::v1::RemoveImageResponse response;
  std::vector<std::string> gone;
  if (by_id || !reference->digest.empty()) {
    gone.assign(image.repo_tags().begin(), image.repo_tags().end());
    gone.insert(gone.end(), image.repo_digests().begin(), image.repo_digests().end());
    if (!by_id && tags > 0) gone = {reference->Familiar()};
  } else {
    gone.push_back(reference->Familiar());
    // With a repository's last tag go its digests.
    const std::string repository = reference->FamiliarRepository();
    const auto others = std::count_if(
        image.repo_tags().begin(), image.repo_tags().end(),
        [&](const std::string& tag) { return tag.substr(0, tag.rfind(':')) == repository; });
    for (const std::string& digest : image.repo_digests()) {
      if (others == 1 && digest.substr(0, digest.find('@')) == repository) gone.push_back(digest);
    }
  }
  for (const std::string& familiar : gone) {
    ASSIGN_OR_RETURN(const Reference parsed, ParseReference(familiar));
    RETURN_IF_ERROR(
        database_->Execute("DELETE FROM image_references WHERE name = ?", {parsed.Canonical()}));
    response.add_steps()->set_untagged(familiar);
  }
  ASSIGN_OR_RETURN(const auto left,
                   database_->Query("SELECT 1 FROM image_references WHERE image = ?", {id}));
  if (!left.empty()) return response;
  ASSIGN_OR_RETURN(const auto users,
                   database_->Query("SELECT 1 FROM containers WHERE image = ?", {id}));
  if (!users.empty() && !by_id) return response;  // Docker keeps the nameless image for them
  RETURN_IF_ERROR(DeleteImage(id, &response));
  return response;
}

Status ImageStore::DeleteImage(const std::string& id, ocid::v1::RemoveImageResponse* response) {
  ASSIGN_OR_RETURN(std::vector<std::string> chain, ChainIdsOf(id));
  ASSIGN_OR_RETURN(const auto rows,
                   database_->Query("SELECT manifest FROM images WHERE id = ?", {id}));
  std::vector<std::string> blobs = {id};
  if (!rows.empty()) blobs.push_back(rows[0].Text(0));
  ASSIGN_OR_RETURN(const auto layers,
                   database_->Query("SELECT blob FROM layers JOIN image_layers USING (chain_id) "
                                    "WHERE image = ?",
                                    {id}));
  for (const store::Row& row : layers) blobs.push_back(row.Text(0));
  RETURN_IF_ERROR(database_->Execute("DELETE FROM images WHERE id = ?", {id}));
  response->add_steps()->set_deleted(id);
  std::reverse(chain.begin(), chain.end());
  for (const std::string& chain_id : chain) {
    RETURN_IF_ERROR(SweepLayers({chain_id}));
    if (!snapshotter_->HasLayer(chain_id)) response->add_steps()->set_deleted(chain_id);
  }
  return SweepBlobs(blobs);
}

Status ImageStore::SweepLayers(const std::vector<std::string>& chain_ids) {
  for (const std::string& chain_id : chain_ids) {
    Status status;
    leases_.UnlessLeased(chain_id, [&] {
      status = database_->Execute(
          "DELETE FROM layers WHERE chain_id = ? AND NOT EXISTS (SELECT 1 FROM image_layers WHERE "
          "image_layers.chain_id = layers.chain_id) AND NOT EXISTS (SELECT 1 FROM container_layers "
          "WHERE container_layers.chain_id = layers.chain_id)",
          {chain_id});
      if (!status.ok()) return;
      const auto rows = database_->Query("SELECT 1 FROM layers WHERE chain_id = ?", {chain_id});
      if (rows.ok() && rows->empty()) status = snapshotter_->RemoveLayer(chain_id);
    });
    RETURN_IF_ERROR(status);
  }
  return OkStatus();
}

Status ImageStore::SweepBlobs(const std::vector<std::string>& digests) {
  for (const std::string& digest : digests) {
    Status status;
    leases_.UnlessLeased(digest, [&] {
      const auto rows = database_->Query(
          "SELECT 1 WHERE EXISTS (SELECT 1 FROM images WHERE id = ?1 OR manifest = ?1) OR EXISTS "
          "(SELECT 1 FROM layers WHERE blob = ?1) OR EXISTS (SELECT 1 FROM image_references WHERE "
          "target = ?1)",
          {digest});
      if (rows.ok() && rows->empty() && content_->Has(digest)) status = content_->Remove(digest);
    });
    RETURN_IF_ERROR(status);
  }
  return OkStatus();
}

// At start: what a killed pull left serves the next try for a day, and then goes.
Status ImageStore::SweepLeftovers() {
  const UnixNanos yesterday = NowUnixNanos() - kDay;
  RETURN_IF_ERROR(content_->RemoveIngests(yesterday));
  ASSIGN_OR_RETURN(std::vector<std::string> layers, snapshotter_->ListLayers());
  std::erase_if(layers, [&](const std::string& chain_id) {
    return ChangeTime(snapshotter_->LayerPath(chain_id)) > yesterday;
  });
  RETURN_IF_ERROR(SweepLayers(layers));
  ASSIGN_OR_RETURN(std::vector<std::string> blobs, content_->List());
  std::erase_if(blobs, [&](const std::string& digest) {
    return ChangeTime(content_->Path(digest)) > yesterday;
  });
  return SweepBlobs(blobs);
}

}  // namespace ocirun::image
