// SPDX-License-Identifier: Apache-2.0
//
// The options of a command line, by the grammar and with the messages of pflag, which Docker's and
// Kubernetes' commands are made with:
//
//   --name VALUE  --name=VALUE  -n VALUE  -nVALUE  -n=VALUE  -it  -it=false  --  WORD...
//
// One set is one command's. It knows no output and no exit status: its owner tells errors and help.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace ocirun {

// A value on its way in: InvalidArgument with the reason, which Parse puts behind the option's
// name.
using SetValue = std::function<Status(const std::string& value)>;

class OptionSet {
 public:
  struct Spec {
    char letter = 0;                 // 0: none
    std::vector<std::string> names;  // long, without dashes; the first is its name
    std::string type;                // the word for its value in --help; empty: a flag
    std::string help, default_text;
    std::vector<std::string> values;  // all that a choice may be
    SetValue set;
    bool given = false;
    [[nodiscard]] std::string Shown() const;  // "-q, --quiet"
  };
  enum class Outcome { kGo, kHelp, kHelpByLetter };

  OptionSet() = default;
  OptionSet(const OptionSet&) = delete;
  OptionSet& operator=(const OptionSet&) = delete;

  // `names` is "-q,--quiet" or "--name"; further long names are aliases. The targets are borrowed
  // until the command has run and keep their value when the option is not given.
  void Flag(const std::string& names, bool* target, const std::string& help);
  void Option(const std::string& names, std::string* target, const std::string& help);
  void Option(const std::string& names, int* target, const std::string& help);
  void Option(const std::string& names, int64_t* target, const std::string& help);
  // One of `values`, which are constants.
  void Choice(const std::string& names, std::string* target, const std::vector<const char*>& values,
              const std::string& help);
  // May be given several times; `check` says what is wrong with a value.
  void List(const std::string& names, std::vector<std::string>* target, const std::string& help,
            const SetValue& check = nullptr);
  // `type` is the word that --help shows: "bytes".
  void Parsed(const std::string& names, const std::string& type, SetValue set,
              const std::string& help);

  // Options behind the first word belong to the words: `run IMAGE sh -c ...`.
  void StopAtFirstWord() { stop_at_first_word_ = true; }
  [[nodiscard]] bool stops_at_first_word() const { return stop_at_first_word_; }

  // Reads `arguments`; called once. InvalidArgument: an option that is unknown, lacks its value or
  // refuses it. --help and -h end it where they stand, unless the command has such an option.
  StatusOr<Outcome> Parse(const std::vector<std::string>& arguments);

  [[nodiscard]] bool Given(const std::string& long_name) const;
  // What stands beside the options.
  [[nodiscard]] const std::vector<std::string>& words() const { return words_; }
  [[nodiscard]] const std::string& word(size_t i) const { return words_.at(i); }

  [[nodiscard]] const std::vector<std::unique_ptr<Spec>>& specs() const { return specs_; }
  // The options by name, a line each, as pflag's --help lists them.
  [[nodiscard]] std::string OptionsText() const;

 private:
  StatusOr<Outcome> ParseLong(const std::vector<std::string>& arguments, size_t* at);
  StatusOr<Outcome> ParseLetters(const std::vector<std::string>& arguments, size_t* at);
  static Status Set(Spec* spec, const std::string& value);
  void AddSpec(const std::string& names, const std::string& type, SetValue set,
               const std::string& help, const std::string& default_text);
  Spec* FindName(const std::string& name);
  Spec* FindLetter(char letter);

  bool stop_at_first_word_ = false;
  std::vector<std::unique_ptr<Spec>> specs_;
  std::vector<std::string> words_;
};

// Go's strconv, with its messages.
StatusOr<int64_t> ParseInt(const std::string& text);
StatusOr<bool> ParseBool(const std::string& text);

}  // namespace ocirun
