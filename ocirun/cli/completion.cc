// SPDX-License-Identifier: Apache-2.0
//
// completion: what a shell needs to complete our command line, made from the table of commands and
// from the options as each command describes them, so that it can't be of another version.
#include <fmt/ranges.h>

#include <memory>
#include <string_view>

#include "base/text.h"
#include "ocirun/cli/cli.h"
#include "ocirun/log/log.h"

namespace ocirun::cli {
namespace {

using Spec = OptionSet::Spec;

// The program's own options, or a command's.
struct Level {
  std::string name;  // empty: the program
  const CommandInfo* info = nullptr;
  std::unique_ptr<CliCommand> options;  // OptionSet has no virtual destructor
};

std::vector<Level> AllLevels() {
  static Global global;  // borrowed by the options, which are never parsed
  static bool version = false;
  std::vector<Level> levels;
  levels.push_back({"", nullptr, std::make_unique<CliCommand>()});
  DescribeGlobal(levels[0].options.get(), &global, &version);
  for (const CommandInfo& info : Commands()) {
    auto command = std::make_unique<CliCommand>();
    info.describe(command.get());
    levels.push_back({info.name, &info, std::move(command)});
  }
  return levels;
}

// "-b", "--bundle"
std::vector<std::string> NamesOf(const Spec& spec) {
  std::vector<std::string> names;
  if (spec.letter != 0) names.push_back(fmt::format("-{}", spec.letter));
  for (const std::string& name : spec.names) names.push_back("--" + name);
  return names;
}

bool TakesId(const CommandInfo& info) {
  return std::string_view(info.words).starts_with("<container-id>");
}

// The words that a command can have, where its usage lists them: "bash|zsh|fish".
std::vector<std::string_view> WordsOf(const CommandInfo& info) {
  const std::string_view all = info.words, words = all.substr(0, all.find(' '));
  return words.find('|') == std::string_view::npos ? std::vector<std::string_view>()
                                                   : SplitWords(words, "|");
}

std::string Replaced(std::string text, std::string_view what, std::string_view by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

// Inside of single quotes, of a shell.
std::string Quoted(const std::string& text) { return Replaced(text, "'", R"('\'')"); }

constexpr std::string_view kBash =
    R"END(# bash completion of PROGRAM: source <(PROGRAM completion bash)
_ocirun_describe() {
  options= taking= first= stops=
  case $1 in
CASES  esac
}

_ocirun_values() {
  case $1 in
VALUES  esac
}

_ocirun() {
  local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}
  local command= words=0 root= i name options taking first stops values
  _ocirun_describe ""
  for ((i = 1; i < COMP_CWORD; i++)); do
    name=${COMP_WORDS[i]}
    if [[ $name == -* && ( $words == 0 || ! $stops ) ]]; then
      [[ " $taking " == *" $name "* || ${COMP_WORDS[i + 1]} == = ]] || continue
      [[ ${COMP_WORDS[i + 1]} != = ]] || ((++i))
      ((++i))
      [[ $name != --root ]] || root=${COMP_WORDS[i]}
    elif [[ ! $command ]]; then
      command=$name
      _ocirun_describe "$command"
    else
      ((++words))
    fi
  done
  COMPREPLY=()
  [[ $words == 0 || ! $stops ]] || return 0
  [[ $word != = ]] || word=
  [[ $option != = ]] || option=${COMP_WORDS[COMP_CWORD - 2]}
  if [[ " $taking " == *" $option "* ]]; then
    values=$(_ocirun_values "$command $option")
  elif [[ $word == -* ]]; then
    values=$options
  elif [[ ! $command ]]; then
    values='COMMANDS'
  elif [[ $words == 0 && $first == ids ]]; then
    values=$("${COMP_WORDS[0]}" ${root:+--root "$root"} list -q 2>/dev/null)
  elif [[ $words == 0 ]]; then
    values=$first
  fi
  COMPREPLY=($(compgen -W "$values" -- "$word"))
}

complete -o default -F _ocirun PROGRAM
)END";

std::string BashScript(const std::vector<Level>& levels) {
  std::string cases, values, commands;
  for (const Level& level : levels) {
    std::vector<std::string> options = {"--help", "-h"}, taking;
    for (const auto& spec : level.options->specs()) {
      const std::vector<std::string> names = NamesOf(*spec);
      options.insert(options.end(), names.begin(), names.end());
      if (spec->type.empty()) continue;
      taking.insert(taking.end(), names.begin(), names.end());
      for (const std::string& name : names)
        if (!spec->values.empty())
          values += fmt::format("    '{} {}') echo '{}' ;;\n", level.name, name,
                                fmt::join(spec->values, " "));
    }
    std::string first;
    if (level.info != nullptr)
      first =
          TakesId(*level.info) ? "ids" : fmt::format("{}", fmt::join(WordsOf(*level.info), " "));
    cases +=
        fmt::format("    '{}') options='{}' taking='{}' first='{}' stops={} ;;\n", level.name,
                    fmt::join(options, " "), fmt::join(taking, " "), first,
                    level.info != nullptr && level.options->stops_at_first_word() ? "yes" : "");
    if (!level.name.empty()) commands += (commands.empty() ? "" : " ") + level.name;
  }
  std::string script = Replaced(std::string(kBash), "CASES", cases);
  script = Replaced(script, "VALUES", values);
  return Replaced(script, "COMMANDS", commands);
}

constexpr std::string_view kZsh = R"END(#compdef PROGRAM
# zsh completion of PROGRAM: source <(PROGRAM completion zsh)
_ocirun_ids() {
  local -a ids
  ids=(${(f)"$(PROGRAM ${ocirun_root:+--root} $ocirun_root list -q 2>/dev/null)"})
  compadd -a ids
}

_ocirun() {
  local context state line ocirun_root
  local -A opt_args
  local -a commands
  commands=(
COMMANDS  )
  _arguments -C \
GLOBAL    '1:command:->command' '*::argument:->argument'
  ocirun_root=${(Q)opt_args[--root]}
  case $state in
    command) _describe command commands ;;
    argument)
      case $words[1] in
CASES      esac
      ;;
  esac
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _ocirun "$@"; else compdef _ocirun PROGRAM; fi
)END";

// One option as _arguments takes it: '(-b --bundle)'{-b,--bundle}'[help]:string:_files'.
std::string ZshOption(const Spec& spec) {
  const std::vector<std::string> names = NamesOf(spec);
  std::string help = Replaced(Quoted(spec.help), "[", "\\[");
  help = "[" + Replaced(help, "]", "\\]") + "]";
  std::string value = spec.type == "string" ? "_files" : " ";
  if (!spec.values.empty()) value = fmt::format("({})", fmt::join(spec.values, " "));
  if (!spec.type.empty()) help += fmt::format(":{}:{}", spec.type, value);
  // A list may be given several times.
  const bool list = spec.type == "list" || spec.type == "gid";
  if (names.size() == 1) return fmt::format("'{}{}{}'", list ? "*" : "", names[0], help);
  return fmt::format("{}{{{}}}'{}'", list ? "'*'" : fmt::format("'({})'", fmt::join(names, " ")),
                     fmt::join(names, ","), help);
}

std::string ZshOptions(const OptionSet& options, std::string_view indent) {
  std::string text = fmt::format("{}'(- *)'{{-h,--help}}'[show help]' \\\n", indent);
  for (const auto& spec : options.specs())
    text += fmt::format("{}{} \\\n", indent, ZshOption(*spec));
  return text;
}

std::string ZshWords(const Level& level) {
  if (TakesId(*level.info))
    return std::string("'1:container:_ocirun_ids'") +
           (level.info->most_words > 1 ? " '*::argument:_default'" : "");
  const auto words = WordsOf(*level.info);
  return words.empty() ? "':: :'" : fmt::format("'1:word:({})'", fmt::join(words, " "));
}

std::string ZshScript(const std::vector<Level>& levels) {
  std::string global, cases, commands;
  for (const Level& level : levels) {
    if (level.info == nullptr) {
      global = ZshOptions(*level.options, "    ");
      continue;
    }
    commands += fmt::format("    '{}:{}'\n", level.name, Quoted(level.info->about));
    cases += fmt::format("        {})\n          _arguments \\\n{}            {}\n          ;;\n",
                         level.name, ZshOptions(*level.options, "            "), ZshWords(level));
  }
  std::string script = Replaced(std::string(kZsh), "COMMANDS", commands);
  script = Replaced(script, "GLOBAL", global);
  return Replaced(script, "CASES", cases);
}

// Inside of single quotes, which fish reads in its own way.
std::string FishQuoted(const std::string& text) {
  return Replaced(Replaced(text, "\\", "\\\\"), "'", "\\'");
}

std::string FishOption(const Spec& spec, std::string_view condition) {
  std::string line = fmt::format("complete -c PROGRAM -n '{}'", condition);
  if (spec.letter != 0) line += fmt::format(" -s {}", spec.letter);
  for (const std::string& name : spec.names) line += " -l " + name;
  if (!spec.values.empty()) {
    line += fmt::format(" -x -a '{}'", fmt::join(spec.values, " "));
  } else if (!spec.type.empty()) {
    line += " -r";
  }
  return line + fmt::format(" -d '{}'\n", FishQuoted(spec.help));
}

std::string FishScript(const std::vector<Level>& levels) {
  std::string script =
      "# fish completion of PROGRAM: PROGRAM completion fish | source\n"
      "complete -c PROGRAM -s h -l help -d 'show help'\n";
  for (const Level& level : levels) {
    const std::string condition =
        level.name.empty() ? "__fish_use_subcommand" : "__fish_seen_subcommand_from " + level.name;
    for (const auto& spec : level.options->specs()) script += FishOption(*spec, condition);
    if (level.info == nullptr) continue;
    script += fmt::format("complete -c PROGRAM -f -n __fish_use_subcommand -a {} -d '{}'\n",
                          level.name, FishQuoted(level.info->about));
    const auto words = WordsOf(*level.info);
    if (TakesId(*level.info)) {
      script += fmt::format("complete -c PROGRAM {}-n '{}' -a '(PROGRAM list -q 2>/dev/null)'\n",
                            level.info->most_words > 1 ? "" : "-f ", condition);
    } else if (!words.empty()) {
      script +=
          fmt::format("complete -c PROGRAM -f -n '{}' -a '{}'\n", condition, fmt::join(words, " "));
    }
  }
  return script;
}

StatusOr<std::string> ScriptFor(const std::string& shell) {
  const std::vector<Level> levels = AllLevels();
  if (shell == "bash") return BashScript(levels);
  if (shell == "zsh") return ZshScript(levels);
  if (shell == "fish") return FishScript(levels);
  return InvalidArgument("completion: {:?} must be one of bash, zsh, fish", shell);
}

}  // namespace

void DescribeCompletion(CliCommand* command) {
  command->run = [command](const Global&) -> StatusOr<int> {
    ASSIGN_OR_RETURN(const std::string script, ScriptFor(command->word(0)));
    RETURN_IF_ERROR(Print(Replaced(script, "PROGRAM", ProgramName())));
    return 0;
  };
}

}  // namespace ocirun::cli
