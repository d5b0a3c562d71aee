// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <charconv>
#include <string>

#include "base/random.h"
#include "manager/container/manager.h"

namespace ocirun::container {
namespace {

constexpr std::array kAdjectives = {
    "able",   "amber",  "bold",    "brave",  "bright", "calm",   "clever", "crisp",
    "eager",  "fair",   "fine",    "fond",   "gentle", "glad",   "golden", "happy",
    "humble", "keen",   "kind",    "lively", "lucid",  "merry",  "mild",   "neat",
    "nimble", "noble",  "patient", "plucky", "proud",  "quick",  "quiet",  "ready",
    "sharp",  "silent", "smart",   "steady", "sunny",  "tender", "vivid",  "wise"};
constexpr std::array kSurnames = {
    "abel",    "babbage",  "backus",  "banach",   "bell",    "bohr",   "boole",    "bose",
    "cantor",  "cerf",     "church",  "codd",     "curie",   "darwin", "dijkstra", "dirac",
    "euler",   "fermat",   "fermi",   "floyd",    "galois",  "gauss",  "godel",    "hamming",
    "hilbert", "hoare",    "hopper",  "hypatia",  "kepler",  "knuth",  "lamport",  "leibniz",
    "liskov",  "lovelace", "maxwell", "mccarthy", "meitner", "newton", "noether",  "pascal",
    "perlman", "ritchie",  "shannon", "thompson", "turing",  "wiles",  "wilkes",   "yalow"};

}  // namespace

std::string RandomName() {
  uint32_t number = 0;
  const std::string digits = RandomHex(4);
  std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  return std::string(kAdjectives[number % kAdjectives.size()]) + "_" +
         kSurnames[number / kAdjectives.size() % kSurnames.size()];
}

}  // namespace ocirun::container
