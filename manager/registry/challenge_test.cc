// SPDX-License-Identifier: Apache-2.0
#include "manager/registry/challenge.h"

#include <doctest/doctest.h>

namespace ocirun::registry {

TEST_CASE("challenges of registries") {
  const auto challenge = ChooseChallenge({"Basic realm=\"x\"",
                                          "bearer Realm=\"https://auth.example/token\",service=\"a "
                                          "\\\"b\\\"\",scope=\"repository:a/b:pull\""});
  REQUIRE(challenge);
  CHECK(challenge->scheme == "bearer");
  CHECK(challenge->parameters.at("realm") == "https://auth.example/token");
  CHECK(challenge->parameters.at("service") == "a \"b\"");
  CHECK(challenge->parameters.at("scope") == "repository:a/b:pull");

  CHECK(ChooseChallenge({"Digest realm=\"x\", Basic realm=y"})->parameters.at("realm") == "y");
  CHECK_FALSE(ChooseChallenge({"Digest realm=\"x\""}));
  CHECK_FALSE(ChooseChallenge({"Bearer service=\"without realm\""}));
  CHECK(ParseChallenges("\"\",,= = \"").empty());
}

}  // namespace ocirun::registry
