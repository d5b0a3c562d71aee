// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "ocirun/systemd/property.h"

namespace ocirun::systemd {
namespace {

Variant Parsed(std::string_view text) {
  auto value = ParseVariant(text);
  REQUIRE_MESSAGE(value.ok(), MessageOf(value.status()));
  return *value;
}

TEST_CASE("values in GVariant's notation") {
  CHECK(Parsed("true") == Variant{"b", "true", {}});
  CHECK(Parsed(" 5 ") == Variant{"i", "5", {}});
  CHECK(Parsed("-5") == Variant{"i", "-5", {}});
  CHECK(Parsed("uint64 18446744073709551615") == Variant{"t", "18446744073709551615", {}});
  CHECK(Parsed("byte 0x2a") == Variant{"y", "42", {}});
  CHECK(Parsed("0.5") == Variant{"d", "0.5", {}});
  CHECK(Parsed("'it\\'s'") == Variant{"s", "it's", {}});
  CHECK(Parsed("\"back\\\\slash\"") == Variant{"s", "back\\slash", {}});
  CHECK(Parsed("objectpath '/a'") == Variant{"o", "/a", {}});
  CHECK(Parsed("@as []") == Variant{"as", "", {}});
  CHECK(Parsed("['a', 'b']") == Variant{"as", "", {{"s", "a", {}}, {"s", "b", {}}}});
  // The first element gives the others their type.
  CHECK(Parsed("[uint32 1, 2]") == Variant{"au", "", {{"u", "1", {}}, {"u", "2", {}}}});
  CHECK(Parsed("[('/dev/null', 'rw')]") ==
        Variant{"a(ss)", "", {{"(ss)", "", {{"s", "/dev/null", {}}, {"s", "rw", {}}}}}});
  CHECK(Parsed("@a(st) [('a', 1)]").children[0].children[1] == Variant{"t", "1", {}});
}

TEST_CASE("what is no value, or not of its type") {
  for (const char* text : {"",
                           "word",
                           "[]",
                           "[1, 'a']",
                           "'open",
                           "[1",
                           "(1",
                           "byte 256",
                           "uint32 -1",
                           "2147483648",
                           "@as [1]",
                           "@a []",
                           "1 2",
                           "uint64 'a'",
                           "string 5",
                           "true false",
                           "{'a': 1}",
                           "<1>",
                           "@(ss) ('a',)",
                           "@(ss) ('a')",
                           "@(s) ('a', 'b')",
                           "- 5",
                           "0x",
                           "--5"})
    CHECK_FALSE_MESSAGE(ParseVariant(text).ok(), text);
  CHECK_FALSE(ParseVariant(std::string(1000, '[')).ok());
  CHECK_FALSE(ParseVariant("@" + std::string(1u << 20, 'a')).ok());
  CHECK_FALSE(ParseVariant("@" + std::string(1u << 20, '(')).ok());
}

TEST_CASE("seconds become microseconds") {
  const auto convert = [](const char* name, const char* value) {
    Property property{name, Parsed(value)};
    REQUIRE(ConvertSeconds(&property).ok());
    return property.name + "=" + property.value.type + property.value.text;
  };
  CHECK(convert("TimeoutStopSec", "uint64 5") == "TimeoutStopUSec=t5000000");
  CHECK(convert("TimeoutStopSec", "1.5") == "TimeoutStopUSec=t1500000");
  CHECK(convert("CPUQuotaPerSecUSec", "uint64 5") == "CPUQuotaPerSecUSec=t5");
  CHECK(convert("Sec", "5") == "Sec=i5");
  Property wrong{"TimeoutStopSec", Parsed("'five'")};
  CHECK_FALSE(ConvertSeconds(&wrong).ok());
}

TEST_CASE("a request") {
  const auto request = ParseRequest(
      R"({"call":"start","bus":"","unit":"a.scope","properties":[["Delegate","true"],["AllowedCPUs","[byte 1]"]],)"
      R"("optional":["AllowedCPUs"]})");
  REQUIRE(request.ok());
  CHECK(request->unit == "a.scope");
  REQUIRE(request->properties.size() == 2);
  CHECK_FALSE(request->properties[0].optional);
  CHECK(request->properties[1].optional);
  CHECK(
      MessageOf(ParseRequest(R"({"properties":[["Nice","what"]]})").status()).rfind("Nice: ", 0) ==
      0);
  CHECK_FALSE(ParseRequest(R"({"properties":[["Nice"]]})").ok());
  CHECK_FALSE(ParseRequest("[]").ok());
}

TEST_CASE("only what may be missing is left out") {
  std::vector<Property> properties = {{"Delegate", Parsed("true")},
                                      {"AllowedCPUs", Parsed("[byte 1]"), true},
                                      {"CPUWeight", Parsed("uint64 0"), true}};
  CHECK(LeaveOut("Cannot set property Delegate, or unknown property.", &properties).empty());
  CHECK(LeaveOut("Cannot set property AllowedCPUsOfOthers, or unknown property.", &properties)
            .empty());
  CHECK(LeaveOut("Cannot set property AllowedCPUs, or unknown property.", &properties) ==
        "AllowedCPUs");
  CHECK(LeaveOut("Value specified in CPUWeight is out of range", &properties) == "CPUWeight");
  CHECK(properties.size() == 1);
}

}  // namespace
}  // namespace ocirun::systemd
