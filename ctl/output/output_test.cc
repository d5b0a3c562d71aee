// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "ctl/output/table.h"
#include "ctl/output/template.h"
#include "ctl/output/units.h"

namespace ocirun::ctl {
namespace {

std::string Render(const std::string& text, const char* json) {
  const auto parsed = Template::Parse(text);
  if (!parsed.ok()) return "parse: " + MessageOf(parsed.status());
  const auto out = parsed->Execute(OrderedJson::parse(json));
  return out.ok() ? *out : "error: " + MessageOf(out.status());
}

}  // namespace

TEST_CASE("templates") {
  CHECK(Render("{{.State.Status}}", R"({"State":{"Status":"running"}})") == "running");
  CHECK(Render("{{json .A}}", R"({"A":{"z":1,"a":[true]}})") == R"({"z":1,"a":[true]})");
  CHECK(Render("{{range .A}}<{{.}}>{{end}}", R"({"A":[1,2]})") == "<1><2>");
  CHECK(Render("{{range $k, $v := .A}}{{$k}}={{$v}};{{end}}", R"({"A":{"x":1,"y":"b"}})") ==
        "x=1;y=b;");
  CHECK(Render("{{if eq .A \"b\"}}yes{{else}}no{{end}}", R"({"A":"b"})") == "yes");
  CHECK(Render("{{index .A \"80/tcp\"}}", R"({"A":{"80/tcp":"x"}})") == "x");
  CHECK(Render("{{(index .A 0).B}}", R"({"A":[{"B":"c"}]})") == "c");
  CHECK(Render("{{.A | upper | printf}}", R"({"A":"x"})").starts_with("error"));
  CHECK(Render("{{join .A \",\"}} {{len .A}}", R"({"A":["x","y"]})") == "x,y 2");
  CHECK(Render("a {{- .A -}} b", R"({"A":1})") == "a1b");
  CHECK(Render("{{.A.B}}", R"({"A":{}})").starts_with("error: "));
  CHECK(Render("{{range .A}}", "{}").starts_with("parse: "));
  CHECK(Render("{{.A", "{}").starts_with("parse: "));
}

TEST_CASE("tables") {
  CHECK(FormatTable({{"NAME", "X"}, {"a", "b"}, {"longer", ""}}) ==
        "NAME     X\na        b\nlonger   \n");
  const Listing listing{.columns = {{"ID", "IMAGE ID"}}, .rows = {{{"ID", "1"}}, {{"ID", "2"}}}};
  CHECK(*FormatListing(listing, "") == "IMAGE ID\n1\n2\n");
  CHECK(*FormatListing(listing, "table {{.ID}}\\t{{.ID}}") ==
        "IMAGE ID   IMAGE ID\n1          1\n2          2\n");
  CHECK(*FormatListing(listing, "{{.ID}}!") == "1!\n2!\n");
}

TEST_CASE("units") {
  CHECK(HumanSize(0) == "0B");
  CHECK(HumanSize(1240000) == "1.24MB");
  CHECK(HumanSize(634000000) == "634MB");
  CHECK(HumanDuration(90'000'000'000) == "About a minute");
  CHECK(HumanDuration(7200'000'000'000) == "2 hours");
  CHECK(*ParseBytes("64m") == 64 << 20);
  CHECK(*ParseBytes("-1") == -1);
  CHECK_FALSE(ParseBytes("12q").ok());
  CHECK(*ParseDuration("1m30s") == 90'000'000'000);
  CHECK_FALSE(ParseDuration("5").ok());
}

}  // namespace ocirun::ctl
