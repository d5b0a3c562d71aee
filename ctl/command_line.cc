// SPDX-License-Identifier: Apache-2.0
#include "ctl/command_line.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

namespace ocirun::ctl {
namespace {

constexpr int kBadOption = 125;

const char* Plural(size_t count) { return count == 1 ? "argument" : "arguments"; }

void Tell(FILE* out, const std::string& text) {
  std::fflush(stdout);
  std::fwrite(text.data(), 1, text.size(), out);
}

}  // namespace

Command::Command(std::string path, std::string usage, std::string about, Arity arity)
    : path_(std::move(path)), usage_(std::move(usage)), about_(std::move(about)), arity_(arity) {}

Command* Command::Add(const std::string& name, const std::string& usage, const std::string& about,
                      Arity arity, const std::vector<std::string>& more_names) {
  commands_.push_back(std::make_unique<Command>(path_ + " " + name, usage, about, arity));
  commands_.back()->aliases_ = more_names;
  return commands_.back().get();
}

Command* Command::Find(const std::string& name) {
  for (const auto& command : commands_) {
    const auto& aliases = command->aliases_;
    if (command->name() == name ||
        std::find(aliases.begin(), aliases.end(), name) != aliases.end()) {
      return command.get();
    }
  }
  return nullptr;
}

std::string Command::ArityError() const {
  const size_t count = words().size();
  const auto [least, most] = arity_;
  if (count >= least && count <= most) return "";
  if (most == 0) return "accepts no arguments";
  if (least == most) return fmt::format("requires exactly {} {}", least, Plural(least));
  if (most == Arity::kAny) return fmt::format("requires at least {} {}", least, Plural(least));
  if (least == 0) return fmt::format("requires at most {} {}", most, Plural(most));
  return fmt::format("requires at least {} and at most {} {}", least, most, Plural(most));
}

int Command::Execute(const std::vector<std::string>& arguments) {
  if (!commands_.empty()) StopAtFirstWord();
  const auto outcome = Parse(arguments);
  if (!outcome.ok()) {
    Tell(stderr, fmt::format("{}\nSee '{} --help'.\n{}", MessageOf(outcome.status()), path_,
                             commands_.empty() ? "" : Help()));
    return kBadOption;
  }
  if (*outcome == Outcome::kHelpByLetter) {
    Tell(stdout, "Flag shorthand -h has been deprecated, please use --help\n");
  }
  if (*outcome != Outcome::kGo) {
    Tell(stdout, Help());
    return 0;
  }
  if (before) {
    if (const std::optional<int> code = before()) return *code;
  }
  if (!commands_.empty()) return RunGroup();
  if (const std::string error = ArityError(); !error.empty()) {
    Tell(stderr, fmt::format("\"{}\" {}.\nSee '{} --help'.\n\n{}\n\n{}\n", path_, error, path_,
                             UsageLine(), about_));
    return 1;
  }
  return run();
}

// The first word names a command; the top level tells an unknown one otherwise than a group does.
int Command::RunGroup() {
  const bool top = path_.find(' ') == std::string::npos;
  if (words().empty()) {
    Tell(stderr, Help());
    return 0;
  }
  if (words()[0] == "help" && top) return RunHelpTopic();
  Command* command = Find(words()[0]);
  if (command == nullptr && top) {
    Tell(stderr, fmt::format("{}: '{}' is not an {} command.\nSee '{} --help'\n", path_, words()[0],
                             path_, path_));
    return 1;
  }
  if (command == nullptr) {
    Tell(stderr, Help());
    return 1;
  }
  return command->Execute({words().begin() + 1, words().end()});
}

int Command::RunHelpTopic() {
  const Command* command = this;
  for (auto word = words().begin() + 1; word != words().end(); ++word) {
    command = const_cast<Command*>(command)->Find(*word);
    if (command == nullptr) {
      Tell(stderr, fmt::format("unknown help topic: {}\n",
                               fmt::join(std::vector(words().begin() + 1, words().end()), " ")));
      return 1;
    }
  }
  Tell(stdout, command->Help());
  return 0;
}

std::string Command::UsageLine() const {
  return "Usage:  " + path_ + (usage_.empty() ? "" : " " + usage_);
}

std::string Command::Help() const {
  std::string text = fmt::format("\n{}\n\n{}\n", UsageLine(), about_);
  if (!specs().empty()) text += "\nOptions:\n" + OptionsText();
  if (commands_.empty()) return text;
  std::vector<const Command*> sorted;
  for (const auto& command : commands_) sorted.push_back(command.get());
  std::sort(sorted.begin(), sorted.end(),
            [](const Command* a, const Command* b) { return a->name() < b->name(); });
  for (const bool groups : {true, false}) {
    std::string list;
    for (const Command* command : sorted) {
      if (groups == command->commands_.empty()) continue;
      list += fmt::format("  {:<12}{}\n", command->name(), command->about_);
    }
    if (!list.empty()) text += (groups ? "\nManagement Commands:\n" : "\nCommands:\n") + list;
  }
  return text +
         fmt::format("\nRun '{} COMMAND --help' for more information on a command.\n", path_);
}

}  // namespace ocirun::ctl
