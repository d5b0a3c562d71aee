// SPDX-License-Identifier: Apache-2.0
#include "ctl/command_line.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

namespace ocirun::ctl {
namespace {

constexpr int kBadOption = 125;

std::vector<std::string> SplitNames(const std::string& names) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= names.size();) {
    const size_t end = std::min(names.find(',', begin), names.size());
    parts.push_back(names.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

const char* Plural(size_t count) { return count == 1 ? "argument" : "arguments"; }

void Tell(FILE* out, const std::string& text) {
  std::fflush(stdout);
  std::fwrite(text.data(), 1, text.size(), out);
}

}  // namespace

StatusOr<int64_t> ParseInt(const std::string& text) {
  int64_t value = 0;
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(begin, end, value);
  if (result.ec == std::errc::result_out_of_range && result.ptr == end) {
    return InvalidArgument("strconv.ParseInt: parsing \"{}\": value out of range", text);
  }
  if (result.ec != std::errc() || result.ptr != end) {
    return InvalidArgument("strconv.ParseInt: parsing \"{}\": invalid syntax", text);
  }
  return value;
}

StatusOr<bool> ParseBool(const std::string& text) {
  constexpr std::array kTrue = {"1", "t", "T", "true", "TRUE", "True"};
  constexpr std::array kFalse = {"0", "f", "F", "false", "FALSE", "False"};
  if (std::find(kTrue.begin(), kTrue.end(), text) != kTrue.end()) return true;
  if (std::find(kFalse.begin(), kFalse.end(), text) != kFalse.end()) return false;
  return InvalidArgument("strconv.ParseBool: parsing \"{}\": invalid syntax", text);
}

Command::Command(std::string path, std::string usage, std::string about, Arity arity)
    : path_(std::move(path)), usage_(std::move(usage)), about_(std::move(about)), arity_(arity) {}

Command* Command::Add(const std::string& name, const std::string& usage, const std::string& about,
                      Arity arity, const std::vector<std::string>& more_names) {
  commands_.push_back(std::make_unique<Command>(path_ + " " + name, usage, about, arity));
  commands_.back()->aliases_ = more_names;
  return commands_.back().get();
}

void Command::AddSpec(const std::string& names, const std::string& type, SetValue set,
                      const std::string& help, const std::string& default_text) {
  auto spec = std::make_unique<Spec>();
  for (const std::string& name : SplitNames(names)) {
    if (name.starts_with("--")) {
      spec->names.push_back(name.substr(2));
    } else {
      spec->letter = name.at(1);
    }
  }
  spec->type = type;
  spec->set = std::move(set);
  spec->help = help;
  spec->default_text = default_text;
  specs_.push_back(std::move(spec));
}

void Command::Flag(const std::string& names, bool* target, const std::string& help) {
  const auto set = [target](const std::string& value) -> Status {
    ASSIGN_OR_RETURN(*target, ParseBool(value));
    return absl::OkStatus();
  };
  AddSpec(names, "", set, help, *target ? "true" : "");
}

void Command::Option(const std::string& names, std::string* target, const std::string& help) {
  const auto set = [target](const std::string& value) {
    *target = value;
    return absl::OkStatus();
  };
  AddSpec(names, "string", set, help, target->empty() ? "" : '"' + *target + '"');
}

void Command::Option(const std::string& names, int64_t* target, const std::string& help) {
  const auto set = [target](const std::string& value) -> Status {
    ASSIGN_OR_RETURN(*target, ParseInt(value));
    return absl::OkStatus();
  };
  AddSpec(names, "int", set, help, *target == 0 ? "" : std::to_string(*target));
}

void Command::Option(const std::string& names, int* target, const std::string& help) {
  const auto set = [target](const std::string& value) -> Status {
    ASSIGN_OR_RETURN(const int64_t number, ParseInt(value));
    if (number != static_cast<int>(number)) {
      return InvalidArgument("strconv.ParseInt: parsing \"{}\": value out of range", value);
    }
    *target = static_cast<int>(number);
    return absl::OkStatus();
  };
  AddSpec(names, "int", set, help, *target == 0 ? "" : std::to_string(*target));
}

void Command::List(const std::string& names, std::vector<std::string>* target,
                   const std::string& help, const SetValue& check) {
  const auto set = [target, check](const std::string& value) -> Status {
    if (check) RETURN_IF_ERROR(check(value));
    target->push_back(value);
    return absl::OkStatus();
  };
  AddSpec(names, "list", set, help, "");
}

void Command::Parsed(const std::string& names, const std::string& type, SetValue set,
                     const std::string& help) {
  AddSpec(names, type, std::move(set), help, "");
}

std::string Command::Spec::Shown() const {
  return letter != 0 ? fmt::format("-{}, --{}", letter, names[0]) : "--" + names[0];
}

Command::Spec* Command::FindName(const std::string& name) {
  for (const auto& spec : specs_) {
    if (std::find(spec->names.begin(), spec->names.end(), name) != spec->names.end()) {
      return spec.get();
    }
  }
  return nullptr;
}

Command::Spec* Command::FindLetter(char letter) {
  for (const auto& spec : specs_) {
    if (spec->letter == letter) return spec.get();
  }
  return nullptr;
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

bool Command::Given(const std::string& long_name) const {
  return std::any_of(specs_.begin(), specs_.end(),
                     [&](const auto& spec) { return spec->given && spec->names[0] == long_name; });
}

Status Command::Set(Spec* spec, const std::string& value) {
  const Status set = spec->set(value);
  if (!set.ok()) {
    return InvalidArgument("invalid argument \"{}\" for \"{}\" flag: {}", value, spec->Shown(),
                           MessageOf(set));
  }
  spec->given = true;
  return absl::OkStatus();
}

// --name, --name=value, --name value
StatusOr<Command::Outcome> Command::ParseLong(const std::vector<std::string>& arguments,
                                              size_t* at) {
  const std::string& argument = arguments[*at];
  const size_t equals = argument.find('=');
  const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
  if (name.empty() || name[0] == '-') return InvalidArgument("bad flag syntax: {}", argument);
  Spec* spec = FindName(name);
  if (spec == nullptr && name == "help") return Outcome::kHelp;
  if (spec == nullptr) return InvalidArgument("unknown flag: --{}", name);
  if (equals != std::string::npos) {
    RETURN_IF_ERROR(Set(spec, argument.substr(equals + 1)));
  } else if (spec->type.empty()) {
    RETURN_IF_ERROR(Set(spec, "true"));
  } else if (*at + 1 < arguments.size()) {
    RETURN_IF_ERROR(Set(spec, arguments[++*at]));
  } else {
    return InvalidArgument("flag needs an argument: {}", argument);
  }
  return Outcome::kGo;
}

// -it, -it=false, -e VALUE, -eVALUE, -e=VALUE
StatusOr<Command::Outcome> Command::ParseLetters(const std::vector<std::string>& arguments,
                                                 size_t* at) {
  std::string letters = arguments[*at].substr(1);
  while (!letters.empty()) {
    Spec* spec = FindLetter(letters[0]);
    if (spec == nullptr && letters[0] == 'h') return Outcome::kHelpByLetter;
    if (spec == nullptr) {
      return InvalidArgument("unknown shorthand flag: '{}' in -{}", letters[0], letters);
    }
    if (letters.size() > 2 && letters[1] == '=') {
      RETURN_IF_ERROR(Set(spec, letters.substr(2)));
      break;
    }
    if (spec->type.empty()) {
      RETURN_IF_ERROR(Set(spec, "true"));
      letters.erase(0, 1);
      continue;
    }
    if (letters.size() > 1) {
      RETURN_IF_ERROR(Set(spec, letters.substr(1)));
    } else if (*at + 1 < arguments.size()) {
      RETURN_IF_ERROR(Set(spec, arguments[++*at]));
    } else {
      return InvalidArgument("flag needs an argument: '{}' in -{}", letters[0], letters);
    }
    break;
  }
  return Outcome::kGo;
}

StatusOr<Command::Outcome> Command::Parse(const std::vector<std::string>& arguments) {
  for (size_t at = 0; at < arguments.size(); ++at) {
    const std::string& argument = arguments[at];
    const bool rest = argument == "--";
    const bool word = argument.size() < 2 || argument[0] != '-';
    if (rest || (word && stop_at_first_word_)) {
      const auto from = arguments.begin() + static_cast<std::ptrdiff_t>(at + (rest ? 1 : 0));
      words_.insert(words_.end(), from, arguments.end());
      break;
    }
    if (word) {
      words_.push_back(argument);
      continue;
    }
    ASSIGN_OR_RETURN(const Outcome outcome,
                     argument[1] == '-' ? ParseLong(arguments, &at) : ParseLetters(arguments, &at));
    if (outcome != Outcome::kGo) return outcome;
  }
  return Outcome::kGo;
}

std::string Command::ArityError() const {
  const size_t count = words_.size();
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
  if (words_.empty()) {
    Tell(stderr, Help());
    return 0;
  }
  if (words_[0] == "help" && top) return RunHelpTopic();
  Command* command = Find(words_[0]);
  if (command == nullptr && top) {
    Tell(stderr, fmt::format("{}: '{}' is not an {} command.\nSee '{} --help'\n", path_, words_[0],
                             path_, path_));
    return 1;
  }
  if (command == nullptr) {
    Tell(stderr, Help());
    return 1;
  }
  return command->Execute({words_.begin() + 1, words_.end()});
}

int Command::RunHelpTopic() {
  const Command* command = this;
  for (auto word = words_.begin() + 1; word != words_.end(); ++word) {
    command = const_cast<Command*>(command)->Find(*word);
    if (command == nullptr) {
      Tell(stderr, fmt::format("unknown help topic: {}\n",
                               fmt::join(std::vector(words_.begin() + 1, words_.end()), " ")));
      return 1;
    }
  }
  Tell(stdout, command->Help());
  return 0;
}

std::string Command::UsageLine() const {
  return "Usage:  " + path_ + (usage_.empty() ? "" : " " + usage_);
}

std::string Command::OptionsText() const {
  std::vector<std::pair<std::string, const Spec*>> lines;
  size_t width = 0;
  for (const auto& spec : specs_) {
    std::string head = spec->letter != 0 ? fmt::format("  -{}, ", spec->letter) : "      ";
    head += "--" + spec->names[0] + (spec->type.empty() ? "" : " " + spec->type);
    width = std::max(width, head.size());
    lines.emplace_back(head, spec.get());
  }
  std::sort(lines.begin(), lines.end(),
            [](const auto& a, const auto& b) { return a.second->names[0] < b.second->names[0]; });
  std::string text;
  for (const auto& [head, spec] : lines) {
    text += fmt::format("{:<{}}   {}", head, width, spec->help);
    if (!spec->default_text.empty()) text += fmt::format(" (default {})", spec->default_text);
    text += '\n';
  }
  return text;
}

std::string Command::Help() const {
  std::string text = fmt::format("\n{}\n\n{}\n", UsageLine(), about_);
  if (!specs_.empty()) text += "\nOptions:\n" + OptionsText();
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
