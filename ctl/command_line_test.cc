// SPDX-License-Identifier: Apache-2.0
#include "ctl/command_line.h"

#include <doctest/doctest.h>

namespace ocirun::ctl {
namespace {

// A command of which every option is shown by what it was set to.
struct Sample {
  bool detach = false, tty = false, input = false, proxy = true;
  std::vector<std::string> env;
  std::string name;
  int number = 0;
  bool ran = false;
  std::vector<std::string> words;
  int code = 0;

  explicit Sample(const std::vector<std::string>& arguments) {
    Command top("prog", "[OPTIONS] COMMAND", "A program");
    Command* run = top.Add("run", "[OPTIONS] IMAGE [ARG...]", "Run it", {1, Arity::kAny});
    run->StopAtFirstWord();
    run->Flag("-d,--detach", &detach, "");
    run->Flag("-i,--interactive", &input, "");
    run->Flag("-t,--tty", &tty, "");
    run->Flag("--sig-proxy", &proxy, "");
    run->List("-e,--env", &env, "");
    run->Option("--name", &name, "");
    run->Option("-n,--number", &number, "");
    run->run = [&, run] {
      ran = true;
      words = run->words();
      return 7;
    };
    std::vector<std::string> all = {"run"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    code = top.Execute(all);
  }
};

}  // namespace

TEST_CASE("an option's value stands behind it, behind =, or in the same word") {
  for (const std::vector<std::string>& given :
       std::vector<std::vector<std::string>>{{"-e", "A=1"},
                                             {"-e=A=1"},
                                             {"-eA=1"},
                                             {"--env", "A=1"},
                                             {"--env=A=1"},
                                             {"-de", "A=1"},
                                             {"-de=A=1"}}) {
    std::vector<std::string> arguments = given;
    arguments.insert(arguments.end(), {"image", "-x", "--", "y"});
    const Sample sample(arguments);
    CHECK(sample.code == 7);
    CHECK(sample.env == std::vector<std::string>{"A=1"});
    CHECK(sample.words == std::vector<std::string>{"image", "-x", "--", "y"});
  }
}

TEST_CASE("flags are on, off, and bundled") {
  CHECK(Sample({"-it", "x"}).tty);
  CHECK(Sample({"-it", "x"}).input);
  CHECK_FALSE(Sample({"-it=false", "x"}).tty);
  CHECK(Sample({"-it=false", "x"}).input);
  CHECK_FALSE(Sample({"--sig-proxy=false", "x"}).proxy);
  CHECK_FALSE(Sample({"-d", "-d=false", "x"}).detach);
  CHECK(Sample({"--", "x"}).words == std::vector<std::string>{"x"});
  CHECK(Sample({"--name=", "x"}).name.empty());
}

TEST_CASE("what cannot be is refused: 125 for an option, 1 for the words") {
  CHECK(Sample({}).code == 1);
  for (const char* bad : {"--nope", "-Z", "--name", "-d=maybe", "-n=x", "-n=99999999999", "--=x"}) {
    const Sample sample({bad});
    CHECK(sample.code == 125);
    CHECK_FALSE(sample.ran);
  }
}

}  // namespace ocirun::ctl
