// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cli/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "ocirun/log/log.h"

namespace ocirun::cli {
namespace {

struct Line {
  std::string name, text;
};

std::string Section(const std::string& title, const std::vector<Line>& lines) {
  size_t width = 0;
  for (const Line& line : lines) width = std::max(width, line.name.size());
  std::string out = "\n" + title + ":\n";
  for (const Line& line : lines) out += fmt::format("   {:<{}}  {}\n", line.name, width, line.text);
  return out;
}

// "--bundle value, -b value"
std::string OptionName(const OptionSet::Spec& spec) {
  const char* value = spec.type.empty() ? "" : " value";
  std::string out = "--" + spec.names[0] + value;
  if (spec.letter != 0) out += fmt::format(", -{}{}", spec.letter, value);
  return out;
}

std::vector<Line> OptionLines(const OptionSet& options) {
  std::vector<Line> lines = {{"--help, -h", "show help"}};
  for (const auto& spec : options.specs()) lines.push_back({OptionName(*spec), spec->help});
  return lines;
}

}  // namespace

std::string UsageLine(const CommandInfo& info) {
  return fmt::format("{} {} [options]{}{}", ProgramName(), info.name,
                     *info.words == '\0' ? "" : " ", info.words);
}

std::string ProgramHelp(const OptionSet& global, std::span<const CommandInfo> commands) {
  std::vector<Line> lines;
  for (const CommandInfo& info : commands) lines.push_back({info.name, info.about});
  return fmt::format(
             "NAME:\n"
             "   {0} - Open Container Initiative runtime: creates and runs containers from OCI "
             "bundles\n\n"
             "USAGE:\n   {0} [global options] command [options] [arguments...]\n",
             ProgramName()) +
         Section("COMMANDS", lines) + Section("GLOBAL OPTIONS", OptionLines(global));
}

std::string CommandHelp(const CommandInfo& info, const OptionSet& options) {
  return fmt::format("NAME:\n   {} {} - {}\n\nUSAGE:\n   {}\n", ProgramName(), info.name,
                     info.about, UsageLine(info)) +
         Section("OPTIONS", OptionLines(options));
}

}  // namespace ocirun::cli
