// SPDX-License-Identifier: Apache-2.0
//
// The command line as Docker's users know it: the grammar and the messages of pflag and cobra,
// which Docker is made with. A tree of commands; each has options, a number of words, and what it
// does.
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/option_set.h"

namespace ocirun::ctl {

// How many words a command takes besides its options.
struct Arity {
  static constexpr size_t kAny = std::numeric_limits<size_t>::max();
  size_t least = 0;
  size_t most = 0;
};

class Command : public OptionSet {
 public:
  // `usage` is what follows the name: "[OPTIONS] CONTAINER [CONTAINER...]".
  Command(std::string path, std::string usage, std::string about, Arity arity = {});

  // A command below this one, owned by it. `more_names` are its aliases.
  Command* Add(const std::string& name, const std::string& usage, const std::string& about,
               Arity arity, const std::vector<std::string>& more_names = {});

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
  Command* Find(const std::string& name);
  int RunHelpTopic();
  int RunGroup();
  [[nodiscard]] std::string ArityError() const;
  [[nodiscard]] std::string UsageLine() const;

  std::string path_, usage_, about_;
  Arity arity_;
  std::vector<std::string> aliases_;
  std::vector<std::unique_ptr<Command>> commands_;
};

}  // namespace ocirun::ctl
