// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/sys/file.h"
#include "manager/container/spec_builder.h"

namespace ocirun::container {
namespace {

// A root file system with the two files.
class Image {
 public:
  Image(const std::string& passwd, const std::string& group) {
    path_ = mkdtemp(path_.data());
    REQUIRE(sys::MakeDir(path_ + "/etc", 0755).ok());
    REQUIRE(WriteFile(path_ + "/etc/passwd", passwd, 0644).ok());
    REQUIRE(WriteFile(path_ + "/etc/group", group, 0644).ok());
    root_ = *sys::Open(path_, O_PATH | O_DIRECTORY);
  }
  ~Image() { IgnoreError(RemoveTree(path_), "a test's own folder"); }
  [[nodiscard]] StatusOr<Json> Resolve(const std::string& user) const {
    return ResolveUser(user, {}, root_);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/user-test-XXXXXX";
  UniqueFd root_;
};

constexpr const char* kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n"
    "-1:x:0:0::/:/bin/sh\n+5:x:0:0::/:/bin/sh\n00:x:0:0::/:/bin/sh\napp:x:7:8::/:/bin/sh\n";

}  // namespace

TEST_CASE("digits are an id, whatever the image calls by them (CVE-2016-3697)") {
  const Image image(kPasswd, "1000:x:0:\nstaff:x:50:app\n");
  CHECK((*image.Resolve("1000"))["uid"] == 1000);
  CHECK((*image.Resolve("app:1000"))["gid"] == 1000);
  CHECK((*image.Resolve("app"))["uid"] == 7);
  CHECK((*image.Resolve("app"))["additionalGids"] == Json({8, 50}));
  CHECK((*image.Resolve("7"))["gid"] == 8);
  for (const char* user : {"4294967296", "-1", "+5", "4294967295", "2147483648",
                           "18446744073709551616", "1000 ", "0x0", "app:-1", "app:4294967296"}) {
    CAPTURE(user);
    CHECK_FALSE(image.Resolve(user).ok());
  }
}

TEST_CASE("account files that are none hold nobody up (CVE-2024-9676)") {
  const Image image("", "");
  const std::string passwd = image.path() + "/etc/passwd";
  for (const char* target : {"/dev/zero", "/proc/1/environ", "/etc/passwd", "passwd"}) {
    REQUIRE(sys::Unlink(passwd).ok());
    REQUIRE(symlink(target, passwd.c_str()) == 0);
    CHECK_FALSE(image.Resolve("root").ok());
  }
  REQUIRE(sys::Unlink(passwd).ok());
  REQUIRE(mkfifo(passwd.c_str(), 0644) == 0);
  CHECK_FALSE(image.Resolve("app").ok());
  REQUIRE(sys::Unlink(passwd).ok());
  REQUIRE(WriteFile(passwd, "", 0644).ok());
  REQUIRE(truncate(passwd.c_str(), off_t{1} << 40) == 0);
  CHECK_FALSE(image.Resolve("app").ok());
}

}  // namespace ocirun::container
