// SPDX-License-Identifier: Apache-2.0
//
// The command line as Docker's users know it: the grammar and the messages of pflag and cobra,
// which Docker is made with. A tree of commands; each has options, a number of words, and what it
// does.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace ocirun::ctl {

// How many words a command takes besides its options.
struct Arity {
  static constexpr size_t kAny = std::numeric_limits<size_t>::max();
  size_t least = 0;
  size_t most = 0;
};

// A value on its way in: InvalidArgument with the reason, which Parse puts behind the option's
// name.
using SetValue = std::function<Status(const std::string& value)>;

class Command {
 public:
  // `usage` is what follows the name: "[OPTIONS] CONTAINER [CONTAINER...]".
  Command(std::string path, std::string usage, std::string about, Arity arity = {});
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  // A command below this one, owned by it. `more_names` are its aliases.
  Command* Add(const std::string& name, const std::string& usage, const std::string& about,
               Arity arity, const std::vector<std::string>& more_names = {});

  // `names` is "-q,--quiet" or "--name"; further long names are aliases. The targets are borrowed
  // until the command has run and keep their value when the option is not given.
  void Flag(const std::string& names, bool* target, const std::string& help);
  void Option(const std::string& names, std::string* target, const std::string& help);
  void Option(const std::string& names, int* target, const std::string& help);
  void Option(const std::string& names, int64_t* target, const std::string& help);
  // May be given several times; `check` says what is wrong with a value.
  void List(const std::string& names, std::vector<std::string>* target, const std::string& help,
            const SetValue& check = nullptr);
  // `type` is the word that --help shows: "bytes".
  void Parsed(const std::string& names, const std::string& type, SetValue set,
              const std::string& help);

  // Options behind the first word belong to the words: `run IMAGE sh -c ...`.
  void StopAtFirstWord() { stop_at_first_word_ = true; }

  [[nodiscard]] bool Given(const std::string& long_name) const;
  [[nodiscard]] const std::vector<std::string>& words() const { return words_; }
  [[nodiscard]] const std::string& word(size_t i) const { return words_.at(i); }
  [[nodiscard]] const std::string& path() const { return path_; }  // "ocictl container ls"
  [[nodiscard]] std::string name() const { return path_.substr(path_.rfind(' ') + 1); }

  // What the command does; its result is the exit code.
  std::function<int()> run;
  // Of a command that has others: called once its own options are known; a value ends the program.
  std::function<std::optional<int>()> before;

  // Parses `arguments` (without the program) and runs the command that they name. Errors are told
  // on stderr: 125 for an option, 1 for the number of words.
  int Execute(const std::vector<std::string>& arguments);

  // The text of --help.
  [[nodiscard]] std::string Help() const;

 private:
  struct Spec {
    char letter = 0;
    std::vector<std::string> names;  // long; the first is its name
    std::string type;                // empty: a flag
    std::string help, default_text;
    SetValue set;
    bool given = false;
    [[nodiscard]] std::string Shown() const;  // "-q, --quiet"
  };
  enum class Outcome { kGo, kHelp, kHelpByLetter };

  StatusOr<Outcome> Parse(const std::vector<std::string>& arguments);
  StatusOr<Outcome> ParseLong(const std::vector<std::string>& arguments, size_t* at);
  StatusOr<Outcome> ParseLetters(const std::vector<std::string>& arguments, size_t* at);
  static Status Set(Spec* spec, const std::string& value);
  void AddSpec(const std::string& names, const std::string& type, SetValue set,
               const std::string& help, const std::string& default_text);
  Spec* FindName(const std::string& name);
  Spec* FindLetter(char letter);
  Command* Find(const std::string& name);
  int RunHelpTopic();
  int RunGroup();
  [[nodiscard]] std::string ArityError() const;
  [[nodiscard]] std::string UsageLine() const;
  [[nodiscard]] std::string OptionsText() const;

  std::string path_, usage_, about_;
  Arity arity_;
  bool stop_at_first_word_ = false;
  std::vector<std::string> aliases_;
  std::vector<std::unique_ptr<Command>> commands_;
  std::vector<std::unique_ptr<Spec>> specs_;
  std::vector<std::string> words_;
};

// Go's strconv, with its messages.
StatusOr<int64_t> ParseInt(const std::string& text);
StatusOr<bool> ParseBool(const std::string& text);

}  // namespace ocirun::ctl
