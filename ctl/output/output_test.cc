// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cstdlib>
#include <ctime>

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
  CHECK(Render("{{.A | upper | nope}}", R"({"A":"x"})").starts_with("parse"));
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

TEST_CASE("errors are told in Go's words, and found when Go finds them") {
  // What Docker's client 28 prints with these; "!" stands for "template parsing error: ".
  for (
      const auto& [text, wanted] : std::vector<std::pair<std::string, std::string>>{
          {"{{range 3}}x{{end}}", "xxx"},
          {R"({{range "abc"}}x{{end}})",
           R"(!template: :1:8: executing "" at <"abc">: range can't iterate over abc)"},
          {R"({{index "abc" 1}})", "98"},
          {"{{slice .Name 1 99}}",
           R"(!template: :1:2: executing "" at <slice .Name 1 99>: error calling slice: index out of range: 99)"},
          {R"({{slice .Name "a"}})",
           R"(!template: :1:2: executing "" at <slice .Name "a">: error calling slice: cannot index slice/array with type string)"},
          {"{{slice 3 1}}",
           R"(!template: :1:2: executing "" at <slice 3 1>: error calling slice: can't slice item of type int)"},
          {"{{lt true false}}",
           R"(!template: :1:2: executing "" at <lt true false>: error calling lt: invalid type for comparison)"},
          {"{{eq .Name}}",
           R"(!template: :1:2: executing "" at <eq .Name>: error calling eq: missing argument for comparison)"},
          {"{{not}}",
           R"(!template: :1:2: executing "" at <not>: wrong number of args for not: want 1 got 0)"},
          {"{{.Name 1}}",
           R"(!template: :1:2: executing "" at <.Name>: wrong number of args for Name: want 0 got 1)"},
          {"{{1 | 2}}", "!template: :1: non executable command in pipeline stage 2"},
          {R"({{truncate .Name "a"}})",
           R"(!template: :1:17: executing "" at <"a">: expected integer; found "a")"},
          {"{{truncate .Name -1}}",
           R"(!template: :1:2: executing "" at <truncate .Name -1>: error calling truncate: runtime error: slice bounds out of range [:-1])"},
          {"{{upper nil}}",
           R"(!template: :1:8: executing "" at <nil>: cannot assign nil to string)"},
          {"{{index nil 1}}",
           R"(!template: :1:2: executing "" at <index nil 1>: error calling index: index of untyped nil)"},
          {"{{range $i,$x := 3}}{{$i}}{{$x}} {{end}}",
           R"(!template: :1:17: executing "" at <3>: can't use 3 to iterate over more than one variable)"},
          {"{{printf 1}}", R"(!template: :1:9: executing "" at <1>: expected string; found 1)"},
          {"{{(.Name).Foo}}",
           R"(!template: :1:3: executing "" at <.Name>: can't evaluate field Foo in type string)"},
          {"{{or .Name .Nope}}", "default"},
          {R"({{and "" .Nope}}|)", "|"},
          {R"({{define "t"}}{{.Foo}}{{end}}{{template "t" .Name}})",
           R"(!template: :1:16: executing "t" at <.Foo>: can't evaluate field Foo in type string)"},
          {"x\ny{{.Nope}}",
           R"(!template: :2:3: executing "" at <.Nope>: can't evaluate field Nope in type *formatter.clientContextContext)"},
          {"{{.Name.Foo.Bar}}",
           R"(!template: :1:7: executing "" at <.Name.Foo.Bar>: can't evaluate field Foo in type string)"},
          {"{{with .Name}}{{.Foo}}{{end}}",
           R"(!template: :1:16: executing "" at <.Foo>: can't evaluate field Foo in type string)"},
          {"{{break}}", "!template: :1: {{break}} outside {{range}}"},
          {"{{if true}}{{break}}{{end}}", "!template: :1: {{break}} outside {{range}}"},
          {"{{end .}}", "!template: :1: unexpected <.> in end"},
          {"{{else .}}", "!template: :1: unexpected <.> in else"},
          {"{{.Name |}}", "default"},
          {"{{| .Name}}", R"(!template: :1: unexpected "|" in command)"},
          {"{{. Name}}", R"(!template: :1: function "Name" not defined)"},
          {"{{.Name,.Name}}", R"(!template: :1: unexpected "," in operand)"},
          {"{{:}}", "!template: :1: expected :="},
          {"{{define t}}{{end}}", R"(!template: :1: unexpected "t" in define clause)"},
          {"{{template x}}", R"(!template: :1: unexpected "x" in template clause)"},
          {"{{range .A .B}}{{end}}",
           R"(!template: :1:8: executing "" at <.A>: can't evaluate field A in type *formatter.clientContextContext)"},
          {R"({{"a" "b"}})",
           R"(!template: :1:2: executing "" at <"a">: can't give argument to non-function "a")"},
          {"{{(1) 2}}",
           R"(!template: :1:2: executing "" at <(1) 2>: can't give argument to non-function 1)"},
          {R"({{upper (lower "A")}})", "A"},
          {"{{upper}}",
           R"(!template: :1:2: executing "" at <upper>: wrong number of args for upper: want 1 got 0)"},
          {"{{if .Name}}a{{else if}}{{end}}", "!template: :1: missing value for if"},
          {"{{with 1}}a{{else with 2}}b{{end}}", "a"},
          {"{{and}}",
           R"(!template: :1:2: executing "" at <and>: wrong number of args for and: want at least 1 got 0)"},
          {R"({{ge 1 "a"}})",
           R"(!template: :1:2: executing "" at <ge 1 "a">: error calling ge: incompatible types for comparison)"},
          {"{{ne 1}}",
           R"(!template: :1:2: executing "" at <ne>: wrong number of args for ne: want 2 got 1)"},
          {R"({{index (split "a,b" ",") 2}})",
           R"(!template: :1:2: executing "" at <index (split "a,b" ",") 2>: error calling index: reflect: slice index out of range)"},
          {R"({{index (split "a,b" ",") 5}})",
           R"(!template: :1:2: executing "" at <index (split "a,b" ",") 5>: error calling index: index out of range: 5)"},
          {R"({{index (split "a,b" ",") -1}})",
           R"(!template: :1:2: executing "" at <index (split "a,b" ",") -1>: error calling index: index out of range: -1)"},
          {R"({{slice "abc" 2 1}})",
           R"(!template: :1:2: executing "" at <slice "abc" 2 1>: error calling slice: invalid slice index: 2 > 1)"},
          {"{{eq 1 1.0}}",
           R"(!template: :1:2: executing "" at <eq 1 1.0>: error calling eq: incompatible types for comparison)"},
          {R"({{template "x" 1 2}})",
           R"(!template: :1:11: executing "" at <{{template "x" 1 2}}>: template "x" not defined)"},
          {"{{/* c */ -}} z", "z"},
          {"{{break", "!template: :1: unclosed action"},
          {"{{range $i := }}{{end}}", "!template: :1: missing value for range"},
          {"{{9a}}", R"(!template: :1: bad number syntax: "9a")"},
          {"{{nil | upper}}", R"(!template: :1:2: executing "" at <nil>: nil is not a command)"},
      }) {
    CAPTURE(text);
    const auto parsed = Template::Parse(text);
    const auto out = parsed.ok()
                         ? parsed->Execute({{"Name", "default"}}, "*formatter.clientContextContext")
                         : StatusOr<std::string>(parsed.status());
    std::string said = out.ok() ? *out : MessageOf(out.status());
    if (said.starts_with("template parsing error: ")) said.replace(0, 24, "!");
    CHECK(said == wanted);
  }
  CHECK(Render("{{.A.B}}", R"({"A":{"C":1}})") ==
        "error: template parsing error: template: :1:4: executing \"\" at <.A.B>: map has no entry "
        "for key \"B\"");
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
  setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
  tzset();
  CHECK(GoTimeText(1'782'907'200'123'456'789) == "2026-07-01 14:00:00 +0200 CEST");
  CHECK(LocalRfc3339(1'782'907'200'123'456'789) == "2026-07-01T14:00:00+02:00");
  setenv("TZ", "UTC", 1);
  tzset();
  CHECK(GoTimeText(1'767'225'600'123'456'789) == "2026-01-01 00:00:00 +0000 UTC");
  CHECK(LocalRfc3339(1'767'225'600'123'456'789) == "2026-01-01T00:00:00Z");
  CHECK(FormatRfc3339NanoFixed(1'767'225'600'100'000'000) == "2026-01-01T00:00:00.100000000Z");
  CHECK(Ellipsis("äöü", 3) == "äöü");
  CHECK(Ellipsis("äöüß", 3) == "äö…");
}

}  // namespace ocirun::ctl
