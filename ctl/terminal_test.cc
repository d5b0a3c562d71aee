// SPDX-License-Identifier: Apache-2.0
#include "ctl/terminal.h"

#include <doctest/doctest.h>

namespace ocirun::ctl {

TEST_CASE("detach keys are found across reads, and what only begins like them goes on") {
  CHECK(*ParseDetachKeys("ctrl-p,ctrl-q") == "\x10\x11");
  CHECK(*ParseDetachKeys("a,ctrl-a") == "a\x01");
  CHECK(ParseDetachKeys("")->empty());
  CHECK_FALSE(ParseDetachKeys("foo").ok());
  DetachScanner scanner("\x10\x11");
  std::string through;
  CHECK_FALSE(scanner.Scan("ab\x10", &through));
  CHECK(through == "ab");
  CHECK_FALSE(scanner.Scan("c\x10\x10", &through));
  CHECK(through ==
        "ab\x10"
        "c\x10");
  CHECK(scanner.Scan("\x11more", &through));
  DetachScanner never("");
  through.clear();
  CHECK_FALSE(never.Scan("\x10\x11", &through));
  CHECK(through == "\x10\x11");
}

}  // namespace ocirun::ctl
