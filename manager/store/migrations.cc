// SPDX-License-Identifier: Apache-2.0
#include "manager/store/migrations.h"

namespace ocirun::store {

const std::vector<Migration>& Migrations() {
  static const std::vector<Migration> migrations = {
      {1,
       "images",
       {// id: digest of the configuration; manifest: digest of the manifest that was unpacked.
        "CREATE TABLE images (id TEXT PRIMARY KEY, manifest TEXT NOT NULL, created INTEGER NOT "
        "NULL) "
        "STRICT",
        // chain_id: of this layer on all below; blob: as downloaded; size: bytes unpacked.
        "CREATE TABLE layers (chain_id TEXT PRIMARY KEY, diff_id TEXT NOT NULL, blob TEXT NOT "
        "NULL, "
        "size INTEGER NOT NULL) STRICT",
        "CREATE TABLE image_layers (image TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE, "
        "position INTEGER NOT NULL, chain_id TEXT NOT NULL REFERENCES layers(chain_id), "
        "PRIMARY KEY (image, position)) STRICT",
        // name: normalised reference; target: digest of the manifest or index that it names.
        "CREATE TABLE image_references (name TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES "
        "images(id) ON DELETE CASCADE, target TEXT NOT NULL, tagged INTEGER NOT NULL) STRICT",
        "CREATE INDEX image_references_image ON image_references(image)"}},
      {2,
       "containers",
       {// record: the Container message as JSON; image: id, which may be gone (rmi --force).
        "CREATE TABLE containers (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, image TEXT NOT "
        "NULL, running INTEGER NOT NULL, created INTEGER NOT NULL, record TEXT NOT NULL) STRICT",
        "CREATE INDEX containers_image ON containers(image)",
        // A layer that a container uses stays, also without its image.
        "CREATE TABLE container_layers (container TEXT NOT NULL REFERENCES containers(id) ON "
        "DELETE CASCADE, position INTEGER NOT NULL, chain_id TEXT NOT NULL REFERENCES "
        "layers(chain_id), PRIMARY KEY (container, position)) STRICT",
        "CREATE INDEX container_layers_chain ON container_layers(chain_id)",
        "CREATE INDEX image_layers_chain ON image_layers(chain_id)"}},
      {3,
       "networks",
       {"CREATE TABLE networks (name TEXT PRIMARY KEY, id TEXT NOT NULL, subnet TEXT NOT NULL) "
        "STRICT",
        // address: IPv4, as a number in host order. One a container.
        "CREATE TABLE addresses (address INTEGER PRIMARY KEY, container TEXT NOT NULL UNIQUE) "
        "STRICT"}},
      // A container's record tells its address.
      {4, "no addresses", {"DROP TABLE addresses"}},
  };
  return migrations;
}

}  // namespace ocirun::store
