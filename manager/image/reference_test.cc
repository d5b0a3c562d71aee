// SPDX-License-Identifier: Apache-2.0
#include "manager/image/reference.h"

#include <doctest/doctest.h>

namespace ocirun::image {
namespace {

const std::string kHex(64, 'a');

TEST_CASE("names are normalised and shown as Docker does") {
  const struct {
    std::string text, canonical, familiar;
  } cases[] = {
      {"ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"},
      {"foo/bar", "docker.io/foo/bar:latest", "foo/bar:latest"},
      {"docker.io/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"},
      {"index.docker.io/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"},
      {"docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"},
      {"localhost/foo", "localhost/foo:latest", "localhost/foo:latest"},
      {"localhost", "docker.io/library/localhost:latest", "localhost:latest"},
      {"localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"},
      {"example.com", "docker.io/library/example.com:latest", "example.com:latest"},
      {"FOO/bar", "FOO/bar:latest", "FOO/bar:latest"},
      {"[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"},
      {"127.0.0.1:5000/library/busybox:1.35", "127.0.0.1:5000/library/busybox:1.35",
       "127.0.0.1:5000/library/busybox:1.35"},
      {"ubuntu:1@sha256:" + kHex, "docker.io/library/ubuntu@sha256:" + kHex,
       "ubuntu@sha256:" + kHex},
      {"a--b", "docker.io/library/a--b:latest", "a--b:latest"},
      {"a__b", "docker.io/library/a__b:latest", "a__b:latest"},
      {"ubuntu:_x", "docker.io/library/ubuntu:_x", "ubuntu:_x"},
  };
  for (const auto& c : cases) {
    const auto reference = ParseReference(c.text);
    CAPTURE(c.text);
    REQUIRE_MESSAGE(reference.ok(), MessageOf(reference.status()));
    CHECK(reference->Canonical() == c.canonical);
    CHECK(reference->Familiar() == c.familiar);
  }
}

TEST_CASE("the short form of a name is never another's") {
  CHECK(ParseReference("docker.io/example.com/x")->Familiar() == "docker.io/example.com/x:latest");
  CHECK(ParseReference("index.docker.io/localhost/x")->Familiar() ==
        "docker.io/localhost/x:latest");
  CHECK(ParseReference("docker.io/user/x")->Familiar() == "user/x:latest");
}

TEST_CASE("what is no name is refused") {
  for (const std::string& text : {std::string("a..b"),
                                  std::string("a___b"),
                                  std::string("a_.b"),
                                  std::string("-a"),
                                  std::string("a-"),
                                  std::string("foo//bar"),
                                  std::string("/foo"),
                                  std::string("foo/"),
                                  std::string("ubuntu:"),
                                  std::string("ubuntu@"),
                                  std::string("ubuntu:.x"),
                                  "a:" + std::string(129, 't'),
                                  std::string("http://x/y"),
                                  std::string("::1/a"),
                                  std::string("user@host/foo"),
                                  std::string("Foo"),
                                  std::string("foo/BAR"),
                                  std::string("a b"),
                                  std::string(""),
                                  kHex,
                                  "a@md5:" + kHex,
                                  "a@sha256:" + kHex.substr(1),
                                  "a@sha256:" + std::string(64, 'A')}) {
    CAPTURE(text);
    CHECK(ParseReference(text).status().code() == StatusCode::kInvalidArgument);
  }
  CHECK(MessageOf(ParseReference("foo/BAR").status()) ==
        "invalid reference format: repository name (foo/BAR) must be lowercase");
  CHECK(MessageOf(ParseReference("a@md5:" + kHex).status()) == "unsupported digest algorithm");
}

}  // namespace
}  // namespace ocirun::image
