// SPDX-License-Identifier: Apache-2.0
//
// Layers as a registry sends them: plain, gzip or zstd. Run as root each entry is really made, in a
// folder that has a neighbour: whatever appears there, or beside the two, has climbed out.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/file.h"
#include "base/sys/file.h"
#include "manager/snapshot/extractor.h"

namespace ocirun::snapshot {
namespace {

// Two folders, "root" for the layer and "outside".
class Place {
 public:
  Place() {
    if (::mkdtemp(path_) == nullptr) std::abort();
    for (const char* name : {"/root", "/outside"})
      if (::mkdir((path_ + std::string(name)).c_str(), 0700) < 0) std::abort();
  }
  ~Place() { IgnoreError(RemoveTree(path_), "the next one has another name"); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  [[nodiscard]] std::string Root() const { return path_ + std::string("/root"); }
  void CheckUntouched() const {
    if (CountIn(path_) != 2 || CountIn(path_ + std::string("/outside")) != 0) std::abort();
  }

 private:
  static size_t CountIn(const std::string& path) {
    const auto folder = sys::Open(path, O_RDONLY | O_DIRECTORY);
    if (!folder.ok()) std::abort();
    const auto names = ListFolder(*folder);
    if (!names.ok()) std::abort();
    return names->size();
  }
  char path_[64] = "/dev/shm/extractor-fuzz-XXXXXX";
};

void Extract(std::string_view data) {
  const Place place;
  const auto root = sys::Open(place.Root(), O_RDONLY | O_DIRECTORY);
  if (!root.ok()) std::abort();
  // In pieces, so that headers are cut.
  constexpr size_t kPiece = 700;
  const ByteSource source = [&data]() -> StatusOr<std::string_view> {
    const std::string_view piece = data.substr(0, kPiece);
    data.remove_prefix(piece.size());
    return piece;
  };
  IgnoreError(ExtractLayer(Decompress(source), *root, {}).status(), "only crashes count");
  place.CheckUntouched();
}

}  // namespace
}  // namespace ocirun::snapshot

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ocirun::snapshot::Extract({reinterpret_cast<const char*>(data), size});
  return 0;
}
