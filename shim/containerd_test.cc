// SPDX-License-Identifier: Apache-2.0
//
// What containerd asks of a shim, as far as it can be tried without it: integration/shim has the
// rest.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file.h"
#include "base/sys/file.h"
#include "containerd/runtime_options.pb.h"
#include "shim/bootstrap.h"
#include "shim/flags.h"
#include "shim/options.h"
#include "shim/rootfs.h"
#include "shim/sink.h"
#include "shim/stdio_uri.h"
#include "shim/toml_options.h"

namespace ocirun::shim {
namespace {

struct TempDir {
  std::string path = "/tmp/ocirun-test.XXXXXX";
  TempDir() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~TempDir() { IgnoreError(RemoveTree(path), "a test's folder"); }
};

TEST_CASE("the socket's name is the hash of where the container belongs") {
  // printf /run/containerd/containerd.sock/default/box | sha256sum
  CHECK(SocketName("/run/containerd/containerd.sock", "default", "box") ==
        "b6933325e7796c00f7def06680d4441edceafe6e24835729fba201193a7a8bf1");
  CHECK(SocketName("//run/containerd/./containerd.sock/", "default", "box") ==
        SocketName("/run/containerd/containerd.sock", "default", "box"));
  CHECK(SocketName("/a", "default", "box") != SocketName("/a", "other", "box"));
}

TEST_CASE("containers that are to share a shim") {
  const auto group = [](const char* annotations) {
    return GroupOf(*ParseJson(std::string(R"({"annotations":)") + annotations + "}"));
  };
  CHECK(group(R"({"io.kubernetes.cri.sandbox-id":"pod"})") == "pod");
  CHECK(group(R"({"io.kubernetes.cri.sandbox-id":"pod","io.containerd.runc.v2.group":"g"})") ==
        "g");
  CHECK(group("{}").empty());
  CHECK(group("null").empty());
  CHECK(GroupOf(*ParseJson("[]")).empty());
}

TEST_CASE("flags of containerd") {
  const auto flags =
      ParseFlags({"-namespace", "k8s.io", "-address", "/c.sock", "-publish-binary",
                  "/bin/containerd", "-id", "box", "-bundle", "/b", "-debug=false", "delete"});
  REQUIRE(flags.ok());
  CHECK(flags->bundle == "/b");
  CHECK(flags->publish_binary == "/bin/containerd");
  CHECK_FALSE(flags->debug);
  CHECK(flags->action == "delete");
  CHECK(ParseFlags({"-info"})->info);
  CHECK(ParseFlags({"--v=T"})->version);
  CHECK_FALSE(ParseFlags({"-debug=maybe"}).ok());
  CHECK(ParseFlags({"-id", "x", "--", "start"})->action == "start");
}

TEST_CASE("stdio of containerd") {
  CHECK(ParseStdioUri("/run/fifo/box-stdout")->path == "/run/fifo/box-stdout");
  CHECK(ParseStdioUri("/with%20all?of=it")->path == "/with%20all?of=it");
  CHECK(ParseStdioUri("fifo:///a%20b")->path == "/a b");
  CHECK(ParseStdioUri("file:///var/log/box.log")->file == "/var/log/box.log");
  const auto logger = ParseStdioUri("binary:///usr/bin/logger?tag=a%26b+c&empty&=x");
  REQUIRE(logger.ok());
  CHECK(logger->logger.program == "/usr/bin/logger");
  CHECK(logger->logger.args == std::vector<std::string>{"tag", "a&b c", "empty", "", "", "x"});
  CHECK_FALSE(logger->logger.must_answer);
  CHECK(ParseStdioUri("binary-v2:///x")->logger.must_answer);
  CHECK(*ParseFifoUri("") == "");
  CHECK(*ParseFifoUri("fifo:///x") == "/x");
  CHECK(ParseFifoUri("file:///x").status().code() == StatusCode::kUnimplemented);
  CHECK(ParseStdioUri("relative").status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("options are read by their type, and found again by delete") {
  TempDir dir;
  RuncOptions options;
  options.set_root("/run/other");
  options.set_binary_name("crun");
  options.set_systemd_cgroup(true);
  wire::Any any;
  any.set_type_url("type.googleapis.com/containerd.runc.v1.Options");
  any.set_value(options.SerializeAsString());
  REQUIRE(UnpackOptions(any).ok());
  CHECK(UnpackOptions(any)->binary_name() == "crun");
  CHECK(UnpackOptions({})->root().empty());
  any.set_type_url("io.containerd.runsc.v1.options");
  CHECK(UnpackOptions(any).status().code() == StatusCode::kUnimplemented);

  CHECK(SaveOptions(dir.path, options).ok());
  CHECK(*ReadFile(dir.path + "/options.json") ==
        R"({"binary_name":"crun","root":"/run/other","systemd_cgroup":true})");
  CHECK(*ReadFile(dir.path + "/runtime") == "crun");
  const auto loaded = LoadOptions(dir.path);
  REQUIRE(loaded.ok());
  CHECK(RuntimeRoot(*loaded, "ns") == "/run/other/ns");
  CHECK(RuntimeProgram(*loaded) == "crun");
  CHECK(RuntimeRoot(*LoadOptions("/nonexistent"), "ns") == "/run/containerd/ocirun/ns");
}

TEST_CASE("options as containerd and Docker hand them on for a name that they don't know") {
  TempDir dir;
  runtimeoptions::v1::Options wrapped;
  wire::Any any;
  any.set_type_url("runtimeoptions.v1.Options");
  const auto unpack = [&] {
    any.set_value(wrapped.SerializeAsString());
    return UnpackOptions(any);
  };
  REQUIRE(unpack().ok());
  CHECK(unpack()->SerializeAsString().empty());
  // go-toml writes the one kind of quotes or the other; a person writes the rest.
  wrapped.set_config_body(
      "BinaryName = '/opt/a\\b'\nRoot = \"/run/x\\u0041\"\nIoUid = 7\r\n\n"
      "# a comment = none\n  systemdcgroup=true # why\n\"NoPivotRoot\" = false\nTypeUrl = ''");
  const auto options = unpack();
  REQUIRE_MESSAGE(options.ok(), options.status().message());
  CHECK(options->binary_name() == "/opt/a\\b");
  CHECK(options->root() == "/run/xA");
  CHECK(options->io_uid() == 7);
  CHECK(options->systemd_cgroup());
  CHECK_FALSE(options->no_pivot_root());
  // A file is read in its place.
  wrapped.set_config_path(dir.path + "/ocirun.toml");
  CHECK(unpack().status().error_number() == ENOENT);
  REQUIRE(WriteFile(wrapped.config_path(), "Root = '/run/y'\n", 0600).ok());
  CHECK(unpack()->root() == "/run/y");
  CHECK(unpack()->binary_name().empty());
  wrapped.set_type_url("io.containerd.runsc.v1.options");
  CHECK(unpack().status().code() == StatusCode::kUnimplemented);
}

TEST_CASE("what is no option is named") {
  const auto error = [](const char* text) {
    return std::string(ParseTomlOptions(text).status().message());
  };
  CHECK(error("\nNoSuch = 1") == "line 2: \"NoSuch\": no such option");
  CHECK(error("[options]") == "line 1: tables: not supported");
  CHECK(error("Root") == "line 1: must be KEY = VALUE");
  CHECK(error("SystemdCgroup = 'yes'").find("SystemdCgroup: must be true or false") !=
        std::string::npos);
  CHECK(error("IoUid = -1").find("IoUid: must not be negative") != std::string::npos);
  for (const char* text : {"Root =", "Root = '/x", "Root = \"/x\\\"", "Root = '/x' y", "IoUid = x",
                           "Root = \"\"\"\n/x\"\"\""})
    CHECK_MESSAGE(error(text).find("line 1: Root: ") == (text[0] == 'R' ? 0 : std::string::npos),
                  text);
}

TEST_CASE("more layers than the kernel takes are named from their folder") {
  std::string options = "index=off,lowerdir=/a/b/1/fs:/a/b/22/fs,upperdir=/u", folder;
  REQUIRE(ShortenLayers(&options, &folder));
  CHECK(options == "index=off,lowerdir=1/fs:22/fs,upperdir=/u");
  CHECK(folder == "/a/b/");
  for (const char* text : {"lowerdir=/a:/b", "upperdir=/a/b"}) {
    std::string same = text, none;
    CHECK_FALSE(ShortenLayers(&same, &none));
    CHECK(same == text);
  }
}

TEST_CASE("mounts that need more than a system call are refused by name") {
  TempDir dir;
  const auto code = [&](const char* type, const char* option) {
    google::protobuf::RepeatedPtrField<containerd::types::Mount> mounts;
    mounts.Add()->set_type(type);
    mounts[0].add_options(option);
    return MountAll(mounts, dir.path + "/rootfs").code();
  };
  CHECK(code("fuse3.fuse-overlayfs", "ro") == StatusCode::kUnimplemented);
  CHECK(code("ext4", "loop") == StatusCode::kUnimplemented);
  CHECK(code("ext4", "X-containerd.verity=on") == StatusCode::kUnimplemented);
  for (const char* text : {"uidmap=0:1000:1", "uidmap=0:1000", "gidmap=0:1000:1x", "gidmap=0:-1:1"})
    CHECK(code("bind", text) == StatusCode::kInvalidArgument);
  CHECK(UnmountAll(dir.path + "/rootfs").ok());
  CHECK(UnmountAll(dir.path + "/none").ok());
}

TEST_CASE("a sink never waits: it keeps what a fifo does not take") {
  TempDir dir;
  const std::string path = dir.path + "/fifo";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  auto loop = Loop::Create();
  REQUIRE(loop.ok());
  int drained = 0;
  auto sink = Sink::Open(loop->get(), path, [&] {
    ++drained;
    (*loop)->Stop();
  });
  REQUIRE(sink.ok());
  const std::string big(100'000, 'x');  // a pipe takes 65,536
  (*sink)->Write(big);
  CHECK((*sink)->IsBehind());
  // A reader that comes late finds all of it, and the end.
  const auto reader = sys::Open(path, O_RDONLY | O_NONBLOCK);
  REQUIRE(reader.ok());
  std::string got(200'000, '\0');
  size_t size = static_cast<size_t>(::read(reader->get(), got.data(), got.size()));
  REQUIRE((*loop)->Run().ok());
  CHECK(drained == 1);
  CHECK_FALSE((*sink)->IsBehind());
  (*sink)->Finish();
  size += static_cast<size_t>(::read(reader->get(), got.data() + size, got.size() - size));
  CHECK(size == big.size());
  CHECK(::read(reader->get(), got.data(), got.size()) == 0);
  CHECK(Sink::Open(loop->get(), dir.path + "/none", nullptr).status().error_number() == ENOENT);
}

}  // namespace
}  // namespace ocirun::shim
