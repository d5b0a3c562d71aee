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
  CHECK(Render("{{.A | upper | printf}}", R"({"A":"x"})") == "X");
  CHECK(Render("{{.A | upper | nope}}", R"({"A":"x"})").starts_with("error"));
  CHECK(Render("{{join .A \",\"}} {{len .A}}", R"({"A":["x","y"]})") == "x,y 2");
  CHECK(Render("a {{- .A -}} b", R"({"A":1})") == "a1b");
  CHECK(Render("{{.A.B}}", R"({"A":{}})").starts_with("error: "));
  CHECK(Render("{{range .A}}", "{}").starts_with("parse: "));
  CHECK(Render("{{.A", "{}").starts_with("parse: "));
  CHECK(Render("{{$x := .A}}{{$x = 2}}{{$x}}", R"({"A":1})") == "2");
  CHECK(Render("{{println \"}}\"}}", "{}") == "}}\n");
  CHECK(Render("{{print 1 2 \"a\" 3}}", "{}") == "1 2a3");
  CHECK(Render("{{pad .A 1 2}}|{{truncate .A 2}}", R"({"A":"abc"})") == " abc  |ab");
}

TEST_CASE("templates define and call templates") {
  CHECK(Render("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .A}}", R"({"A":1})") == "<1>");
  CHECK(Render("{{block \"b\" .A}}[{{.}}]{{end}}", R"({"A":1})") == "[1]");
  CHECK(Render("{{template \"none\"}}", "{}").starts_with("error: "));
  CHECK(Render("{{define \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}", "{}")
            .starts_with("error: "));
}

TEST_CASE("printf, slice and escapes are Go's") {
  const char* data = R"({"S":"a<\"b'&","N":42,"M":-7,"F":1.5,"L":["x","y","z"],"B":true})";
  for (const auto& [text, wanted] : std::vector<std::pair<std::string, std::string>>{
           {"{{printf \"%s-%d\" \"a\" .N}}", "a-42"},
           {"{{printf \"[%5d|%-5d|%05d|%+d|%x]\" .N .N .M .N .N}}", "[   42|42   |-0007|+42|2a]"},
           {"{{printf \"%-4s|%4s|%.1s|%q\" \"ab\" \"ab\" \"ab\" \"a\\\"b\"}}",
            "ab  |  ab|a|\"a\\\"b\""},
           {"{{printf \"%v %v %t %.2f\" .L .N .B .F}}", "[x y z] 42 true 1.50"},
           {"{{printf \"%d %d\" \"x\"}}", "%!d(string=x) %!d(MISSING)"},
           {"{{printf \"x\" .N}}", "x%!(EXTRA int=42)"},
           {"{{printf \"100%%\"}}", "100%"},
           {"{{printf \"%e %g %v\" 1.5 1.5 2.0}} {{2.0}}", "1.500000e+00 1.5 2 2"},
           {"{{slice .S 0 1}} {{slice .L 1 2}} {{slice .L 2}}", "a [y] [z]"},
           {"{{html .S}}", "a&lt;&#34;b&#39;&amp;"},
           {"{{js .S}}", "a\\u003C\\\"b\\'\\u0026"},
           {"{{urlquery \"a b/c\"}}", "a+b%2Fc"}}) {
    CAPTURE(text);
    CHECK(Render(text, data) == wanted);
  }
  CHECK(Render("{{slice .S 3 99}}", data).starts_with("error: "));
}

TEST_CASE("tables") {
  CHECK(FormatTable({{"NAME", "X"}, {"a", "b"}, {"longer", ""}}) ==
        "NAME      X\na         b\nlonger    \n");
  CHECK(FormatTable({{"REPOSITORY", "TAG", "IMAGE ID"}, {"busybox", "latest", "0123456789ab"}}) ==
        "REPOSITORY   TAG       IMAGE ID\nbusybox      latest    0123456789ab\n");
  const Listing listing{.columns = {{"ID", "IMAGE ID"}}, .rows = {{{"ID", "1"}}, {{"ID", "2"}}}};
  CHECK(*FormatListing(listing, "") == "IMAGE ID\n1\n2\n");
  CHECK(*FormatListing(listing, "table {{.ID}}\\t{{.ID}}") ==
        "IMAGE ID   IMAGE ID\n1          1\n2          2\n");
  const Listing two{.rows = {{{"b", "<1>"}, {"a", "2"}}}};
  CHECK(*FormatListing(two, "{{json .}}") == "{\"a\":\"2\",\"b\":\"\\u003c1\\u003e\"}\n");
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
  CHECK(GoTimeText(1'767'225'600'123'456'789) == "2026-01-01 00:00:00 +0000 UTC");
  CHECK(FormatRfc3339NanoFixed(1'767'225'600'100'000'000) == "2026-01-01T00:00:00.100000000Z");
  CHECK(Ellipsis("äöü", 3) == "äöü");
  CHECK(Ellipsis("äöüß", 3) == "äö…");
}

}  // namespace ocirun::ctl
