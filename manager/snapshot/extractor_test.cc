// SPDX-License-Identifier: Apache-2.0
#include "manager/snapshot/extractor.h"

#include <archive.h>
#include <archive_entry.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <zlib.h>

#include "base/file.h"
#include "base/sys/file.h"
#include "manager/content/digest.h"

namespace ocirun::snapshot {
namespace {

struct Entry {
  std::string name;
  char type = '0';
  std::string data;  // or the link's target
  mode_t mode = 0644;
  int64_t uid = 0;
  std::vector<std::string> attributes;  // each of the value "x"
};

std::string MakeTar(const std::vector<Entry>& entries) {
  std::string out(1 << 20, '\0');
  size_t used = 0;
  archive* writer = archive_write_new();
  archive_write_set_format_pax_restricted(writer);
  archive_write_open_memory(writer, out.data(), out.size(), &used);
  for (const Entry& entry : entries) {
    archive_entry* e = archive_entry_new();
    archive_entry_set_pathname(e, entry.name.c_str());
    archive_entry_set_mode(e, entry.mode);
    archive_entry_set_mtime(e, 1000000000, 0);
    archive_entry_set_uid(e, entry.uid);
    for (const std::string& name : entry.attributes)
      archive_entry_xattr_add_entry(e, name.c_str(), "x", 1);
    if (entry.type == '0') {
      archive_entry_set_filetype(e, AE_IFREG);
      archive_entry_set_size(e, static_cast<la_int64_t>(entry.data.size()));
    }
    if (entry.type == '1') archive_entry_set_hardlink(e, entry.data.c_str());
    if (entry.type == '2') {
      archive_entry_set_filetype(e, AE_IFLNK);
      archive_entry_set_symlink(e, entry.data.c_str());
    }
    if (entry.type == '5') archive_entry_set_filetype(e, AE_IFDIR);
    archive_write_header(writer, e);
    if (entry.type == '0') archive_write_data(writer, entry.data.data(), entry.data.size());
    archive_entry_free(e);
  }
  archive_write_close(writer);
  archive_write_free(writer);
  out.resize(used);
  return out;
}

// Two pieces, so that a border is crossed.
ByteSource SourceOf(std::string data) {
  return [data = std::move(data), at = size_t{0}]() mutable -> StatusOr<std::string_view> {
    const size_t size = at == 0 ? data.size() / 2 : data.size() - at;
    const std::string_view piece = std::string_view(data).substr(at, size);
    at += size;
    return piece;
  };
}

std::string Gzip(const std::string& data) {
  std::string out(compressBound(data.size()) + 64, '\0');
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

class Layer {
 public:
  Layer() {
    char text[] = "/var/tmp/extractor-test-XXXXXX";
    path = mkdtemp(text);
    fd = *sys::Open(path, O_RDONLY | O_DIRECTORY);
  }
  ~Layer() { IgnoreError(RemoveTree(path), "a test's own folder"); }
  StatusOr<ExtractResult> Extract(const std::vector<Entry>& entries) {
    return ExtractLayer(SourceOf(MakeTar(entries)), fd, {});
  }
  [[nodiscard]] struct stat Stat(const std::string& name) const {
    struct stat info{};
    CHECK(lstat((path + "/" + name).c_str(), &info) == 0);
    return info;
  }
  [[nodiscard]] bool IsWhiteout(const std::string& name) const {
    const struct stat info = Stat(name);
    return S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0);
  }
  [[nodiscard]] bool IsOpaque(const std::string& name) const {
    char value = 0;
    return getxattr((path + "/" + name).c_str(), "trusted.overlay.opaque", &value, 1) == 1;
  }
  std::string path;
  UniqueFd fd;
};

}  // namespace

TEST_CASE("files, folders, links and their attributes" * doctest::skip(geteuid() != 0)) {
  Layer layer;
  const auto result = layer.Extract({{"a/", '5', "", 01777},
                                     {"a/su", '0', "hello", 04755},
                                     {"a/hard", '1', "a/su"},
                                     {"l", '2', "/etc/passwd"},
                                     {"deep/er/file", '0', "x"}});
  REQUIRE_MESSAGE(result.ok(), MessageOf(result.status()));
  CHECK(result->size == 6);
  CHECK((layer.Stat("a").st_mode & 07777) == 01777);
  CHECK(layer.Stat("a").st_mtime == 1000000000);
  CHECK((layer.Stat("a/su").st_mode & 07777) == 04755);
  CHECK(layer.Stat("a/su").st_ino == layer.Stat("a/hard").st_ino);
  CHECK(S_ISLNK(layer.Stat("l").st_mode));
  CHECK((layer.Stat("deep/er").st_mode & 07777) == 0755);
}

TEST_CASE("whiteouts, in any order beside entries of their layer" * doctest::skip(geteuid() != 0)) {
  Layer layer;
  REQUIRE(layer
              .Extract({{"etc/.wh.gone"},
                        {"o/.wh..wh..opq"},
                        {"o/x", '0', "x"},
                        {".wh.first"},
                        {"first/", '5', "", 0755},
                        {"then/", '5', "", 0755},
                        {".wh.then"},
                        {".wh.file"},
                        {"file", '0', "new"}})
              .ok());
  CHECK(layer.IsWhiteout("etc/gone"));
  CHECK(layer.IsOpaque("o"));
  CHECK(layer.IsOpaque("first"));
  CHECK(layer.IsOpaque("then"));
  CHECK(S_ISREG(layer.Stat("file").st_mode));
}

TEST_CASE("a tar that climbs out writes nothing outside" * doctest::skip(geteuid() != 0)) {
  const std::string outside = "/var/tmp/extractor-test-outside";
  const std::vector<std::vector<Entry>> attacks = {
      {{"../" + outside.substr(9), '0', "x"}},
      {{"a/../../x", '0', "x"}},
      {{"l", '2', "/var/tmp"}, {"l/extractor-test-outside", '0', "x"}},
      {{"l", '2', "../../../../var"}, {"m", '2', "l/tmp"}, {"m/extractor-test-outside", '0', "x"}},
      {{"h", '1', "/etc/passwd"}},
      {{"h", '1', "../../etc/passwd"}},
      {{"l", '2', "/etc"}, {"h", '1', "l/passwd"}},
      {{".wh..", '0', ""}},
      {{".wh...", '0', ""}},
  };
  for (const auto& attack : attacks) {
    Layer layer;
    IgnoreError(layer.Extract(attack).status(), "inside or refused: both are right");
    CHECK_FALSE(PathExists(outside));
    if (PathExists(layer.path + "/h")) CHECK(layer.Stat("h").st_nlink == 0);
  }
  Layer layer;
  CHECK(layer.Extract(attacks[0]).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("an image sets no attributes of overlayfs and of security modules" *
          doctest::skip(geteuid() != 0)) {
  Layer layer;
  REQUIRE(layer
              .Extract({{.name = "f",
                         .attributes = {"trusted.overlay.redirect", "user.overlay.opaque",
                                        "security.selinux", "security.ima", "user.mine"}}})
              .ok());
  std::string names(4096, '\0');
  const ssize_t size = listxattr((layer.path + "/f").c_str(), names.data(), names.size());
  REQUIRE(size >= 0);
  CHECK(names.substr(0, static_cast<size_t>(size)) == std::string("user.mine\0", 10));
}

TEST_CASE("an owner that is no id is refused" * doctest::skip(geteuid() != 0)) {
  for (const int64_t uid : {int64_t{1} << 40, int64_t{1} << 32, int64_t{0xffffffff}}) {
    CAPTURE(uid);
    Layer layer;
    CHECK(layer.Extract({{.name = "f", .uid = uid}}).status().code() ==
          StatusCode::kInvalidArgument);
  }
  Layer layer;
  REQUIRE(layer.Extract({{.name = "f", .uid = 0xfffffffe}}).ok());
  CHECK(layer.Stat("f").st_uid == 0xfffffffe);
}

TEST_CASE("later entries replace earlier ones" * doctest::skip(geteuid() != 0)) {
  Layer layer;
  REQUIRE(layer
              .Extract({{"x/", '5', "", 0755},
                        {"x/y", '0', "in a folder"},
                        {"x", '0', "a file"},
                        {"d", '2', "/nowhere"},
                        {"d/", '5', "", 0700},
                        {"d/f", '0', "f"}})
              .ok());
  CHECK(S_ISREG(layer.Stat("x").st_mode));
  CHECK(S_ISREG(layer.Stat("d/f").st_mode));
}

TEST_CASE("compressed streams, whole and torn" * doctest::skip(geteuid() != 0)) {
  const std::string tar = MakeTar({{"f", '0', std::string(100000, 'x')}});
  const std::string zip = Gzip(tar);
  {
    Layer layer;
    const auto result = ExtractLayer(Decompress(SourceOf(zip)), layer.fd, {});
    REQUIRE(result.ok());
    CHECK(result->diff_id == content::DigestOf(tar));
  }
  for (const size_t cut : {size_t{5}, zip.size() / 2, zip.size() - 4}) {
    Layer layer;
    const auto result = ExtractLayer(Decompress(SourceOf(zip.substr(0, cut))), layer.fd, {});
    CHECK(result.status().code() == StatusCode::kDataLoss);
  }
  std::string damaged = zip;
  damaged[zip.size() / 2] ^= 0x55;
  Layer layer;
  CHECK_FALSE(ExtractLayer(Decompress(SourceOf(damaged)), layer.fd, {}).ok());
  CHECK(ExtractLayer(Decompress(SourceOf("BZh91AY&SY")), layer.fd, {}).status().code() ==
        StatusCode::kUnimplemented);
}

}  // namespace ocirun::snapshot
