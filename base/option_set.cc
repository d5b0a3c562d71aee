// SPDX-License-Identifier: Apache-2.0
#include "base/option_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"

namespace ocirun {

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

void OptionSet::AddSpec(const std::string& names, const std::string& type, SetValue set,
                        const std::string& help, const std::string& default_text) {
  auto spec = std::make_unique<Spec>();
  for (const std::string_view name : SplitWords(names, ",")) {
    if (name.starts_with("--")) {
      spec->names.emplace_back(name.substr(2));
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

void OptionSet::Flag(const std::string& names, bool* target, const std::string& help) {
  const auto set = [target](const std::string& value) -> Status {
    ASSIGN_OR_RETURN(*target, ParseBool(value));
    return OkStatus();
  };
  AddSpec(names, "", set, help, *target ? "true" : "");
}

void OptionSet::Option(const std::string& names, std::string* target, const std::string& help) {
  const auto set = [target](const std::string& value) {
    *target = value;
    return OkStatus();
  };
  AddSpec(names, "string", set, help, target->empty() ? "" : '"' + *target + '"');
}

void OptionSet::Option(const std::string& names, int64_t* target, const std::string& help) {
  const auto set = [target](const std::string& value) -> Status {
    ASSIGN_OR_RETURN(*target, ParseInt(value));
    return OkStatus();
  };
  AddSpec(names, "int", set, help, *target == 0 ? "" : std::to_string(*target));
}

void OptionSet::Option(const std::string& names, int* target, const std::string& help) {
  const auto set = [target](const std::string& value) -> Status {
    ASSIGN_OR_RETURN(const int64_t number, ParseInt(value));
    if (number != static_cast<int>(number)) {
      return InvalidArgument("strconv.ParseInt: parsing \"{}\": value out of range", value);
    }
    *target = static_cast<int>(number);
    return OkStatus();
  };
  AddSpec(names, "int", set, help, *target == 0 ? "" : std::to_string(*target));
}

void OptionSet::Choice(const std::string& names, std::string* target,
                       const std::vector<const char*>& values, const std::string& help) {
  const auto set = [target, values](const std::string& value) -> Status {
    std::string all;
    for (const char* one : values) {
      if (value == one) {
        *target = value;
        return OkStatus();
      }
      all += (all.empty() ? "" : ", ") + std::string(one);
    }
    return InvalidArgument("must be one of {}", all);
  };
  AddSpec(names, "string", set, help, target->empty() ? "" : '"' + *target + '"');
  specs_.back()->values.assign(values.begin(), values.end());
}

void OptionSet::List(const std::string& names, std::vector<std::string>* target,
                     const std::string& help, const SetValue& check) {
  const auto set = [target, check](const std::string& value) -> Status {
    if (check) RETURN_IF_ERROR(check(value));
    target->push_back(value);
    return OkStatus();
  };
  AddSpec(names, "list", set, help, "");
}

void OptionSet::Parsed(const std::string& names, const std::string& type, SetValue set,
                       const std::string& help) {
  AddSpec(names, type, std::move(set), help, "");
}

std::string OptionSet::Spec::Shown() const {
  return letter != 0 ? fmt::format("-{}, --{}", letter, names[0]) : "--" + names[0];
}

OptionSet::Spec* OptionSet::FindName(const std::string& name) {
  for (const auto& spec : specs_) {
    if (std::find(spec->names.begin(), spec->names.end(), name) != spec->names.end()) {
      return spec.get();
    }
  }
  return nullptr;
}

OptionSet::Spec* OptionSet::FindLetter(char letter) {
  for (const auto& spec : specs_) {
    if (spec->letter == letter) return spec.get();
  }
  return nullptr;
}

bool OptionSet::Given(const std::string& long_name) const {
  return std::any_of(specs_.begin(), specs_.end(),
                     [&](const auto& spec) { return spec->given && spec->names[0] == long_name; });
}

Status OptionSet::Set(Spec* spec, const std::string& value) {
  const Status set = spec->set(value);
  if (!set.ok()) {
    return InvalidArgument("invalid argument \"{}\" for \"{}\" flag: {}", value, spec->Shown(),
                           MessageOf(set));
  }
  spec->given = true;
  return OkStatus();
}

// --name, --name=value, --name value
StatusOr<OptionSet::Outcome> OptionSet::ParseLong(const std::vector<std::string>& arguments,
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
StatusOr<OptionSet::Outcome> OptionSet::ParseLetters(const std::vector<std::string>& arguments,
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

StatusOr<OptionSet::Outcome> OptionSet::Parse(const std::vector<std::string>& arguments) {
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

std::string OptionSet::OptionsText() const {
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

}  // namespace ocirun
