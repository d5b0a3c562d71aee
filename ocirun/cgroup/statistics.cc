// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cgroup/statistics.h"

#include <charconv>
#include <limits>

#include "base/text.h"
#include "ocirun/cgroup/files.h"
#include "ocirun/spec/spec.h"

namespace ocirun::cgroup {
namespace {

template <typename Number>
Number NumberOf(std::string_view text) {
  Number number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

PressureLine ParsePressureLine(const std::vector<std::string_view>& words) {
  PressureLine line;
  for (const std::string_view word : words) {
    const size_t equals = word.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view key = word.substr(0, equals), value = word.substr(equals + 1);
    if (key == "avg10") line.avg10 = NumberOf<double>(value);
    if (key == "avg60") line.avg60 = NumberOf<double>(value);
    if (key == "avg300") line.avg300 = NumberOf<double>(value);
    if (key == "total") line.total = NumberOf<uint64_t>(value);
  }
  return line;
}

}  // namespace

std::map<std::string, uint64_t> ParseKeyed(std::string_view text) {
  std::map<std::string, uint64_t> out;
  for (const std::string_view line : SplitWords(text, "\n")) {
    const std::vector<std::string_view> words = SplitWords(line, " ");
    if (words.size() == 2) out[std::string(words[0])] = NumberOf<uint64_t>(words[1]);
  }
  return out;
}

std::optional<Pressure> ParsePressure(std::string_view text) {
  std::optional<Pressure> out;
  for (const std::string_view line : SplitWords(text, "\n")) {
    const std::vector<std::string_view> words = SplitWords(line, " ");
    if (words.empty()) continue;
    if (!out.has_value()) out.emplace();
    if (words[0] == "some") out->some = ParsePressureLine(words);
    if (words[0] == "full") out->full = ParsePressureLine(words);
  }
  return out;
}

std::vector<IoEntry> ParseBlkio(std::string_view text) {
  std::vector<IoEntry> out;
  for (const std::string_view line : SplitWords(text, "\n")) {
    // "MAJOR:MINOR OPERATION NUMBER", or without the operation.
    const std::vector<std::string_view> words = SplitWords(line, " :");
    if (words.size() < 3 || words[0] == "Total") continue;
    IoEntry entry{NumberOf<uint64_t>(words[0]), NumberOf<uint64_t>(words[1]), {}, 0};
    if (words.size() > 3) entry.op = words[2];
    entry.value = NumberOf<uint64_t>(words.back());
    out.push_back(std::move(entry));
  }
  return out;
}

uint64_t ReadNumber(const std::string& folder, std::string_view file) {
  const std::string text = ReadText(folder, file);
  if (text.rfind("max", 0) == 0) return std::numeric_limits<uint64_t>::max();
  return NumberOf<uint64_t>(text);
}

std::vector<unsigned> ReadList(const std::string& folder, std::string_view file) {
  auto numbers = oci::ParseNumberList(ReadText(folder, file));
  return numbers.ok() ? std::move(*numbers) : std::vector<unsigned>();
}

std::string ReadText(const std::string& folder, std::string_view file) {
  auto text = ReadControl(folder, file);
  return text.ok() ? std::move(*text) : std::string();
}

}  // namespace ocirun::cgroup
