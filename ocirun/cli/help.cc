// SPDX-License-Identifier: Apache-2.0
#include "ocirun/cli/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace ocirun::cli {
namespace {

struct Line {
  std::string name, text;
};

std::string Section(const std::string& title, const std::vector<Line>& lines) {
  if (lines.empty()) return {};
  size_t width = 0;
  for (const Line& line : lines) width = std::max(width, line.name.size());
  std::string out = "\n" + title + ":\n";
  for (const Line& line : lines) out += fmt::format("   {:<{}}  {}\n", line.name, width, line.text);
  return out;
}

// "--bundle value, -b value"
std::string OptionName(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  std::string out;
  for (const std::string& name : names)
    out += (out.empty() ? "" : ", ") + name + (option.get_expected_max() > 0 ? " value" : "");
  return out;
}

}  // namespace

std::string HelpFormatter::make_help(const CLI::App* app, std::string, CLI::AppFormatMode) const {
  const bool top = app->get_parent() == nullptr;
  const std::string name = top ? app->get_name() : "ocirun " + app->get_name();
  std::vector<Line> options, commands;
  std::string positionals;
  for (const CLI::Option* option : app->get_options()) {
    if (option->get_positional()) {
      positionals += option->get_required() ? fmt::format(" <{}>", option->get_name())
                                            : fmt::format(" [{}]", option->get_name());
    } else {
      options.push_back({OptionName(*option), option->get_description()});
    }
  }
  for (const CLI::App* command : app->get_subcommands({}))
    commands.push_back({command->get_name(), command->get_description()});
  std::string out = fmt::format("NAME:\n   {} - {}\n\nUSAGE:\n   {}{} [options]{}{}\n", name,
                                app->get_description(), name, top ? " [global options]" : "",
                                positionals, app->get_prefix_command() ? " [argument...]" : "");
  if (top) out.replace(out.find(" [options]"), std::string(" [options]").size(), " command");
  out += Section("COMMANDS", commands);
  out += Section(top ? "GLOBAL OPTIONS" : "OPTIONS", options);
  return out;
}

}  // namespace ocirun::cli
