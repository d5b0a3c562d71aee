// SPDX-License-Identifier: Apache-2.0
#include "manager/registry/challenge.h"

#include <algorithm>
#include <cctype>

namespace ocirun::registry {
namespace {

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool IsTokenCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string_view("!#$%&'*+-.^_`|~/:").find(c) != std::string_view::npos;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  void SkipSeparators() {
    while (!text_.empty() &&
           (text_.front() == ' ' || text_.front() == '\t' || text_.front() == ','))
      text_.remove_prefix(1);
  }
  bool Take(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  std::string Token() {
    size_t end = 0;
    while (end < text_.size() && IsTokenCharacter(text_[end])) ++end;
    std::string token(text_.substr(0, end));
    text_.remove_prefix(end);
    return token;
  }
  // After the opening quote, up to and with the closing one.
  std::string Quoted() {
    std::string value;
    while (!text_.empty() && text_.front() != '"') {
      if (text_.front() == '\\' && text_.size() > 1) text_.remove_prefix(1);
      value += text_.front();
      text_.remove_prefix(1);
    }
    Take('"');
    return value;
  }
  [[nodiscard]] bool AtEnd() const { return text_.empty(); }
  void Skip() { text_.remove_prefix(1); }

 private:
  std::string_view text_;
};

}  // namespace

std::vector<Challenge> ParseChallenges(std::string_view value) {
  std::vector<Challenge> challenges;
  Scanner scanner(value);
  for (;;) {
    scanner.SkipSeparators();
    if (scanner.AtEnd()) return challenges;
    const std::string word = scanner.Token();
    if (word.empty()) {
      scanner.Skip();
    } else if (!scanner.Take('=')) {
      challenges.push_back({.scheme = Lower(word)});
    } else {
      std::string parameter = scanner.Take('"') ? scanner.Quoted() : scanner.Token();
      if (!challenges.empty()) challenges.back().parameters[Lower(word)] = std::move(parameter);
    }
  }
}

std::optional<Challenge> ChooseChallenge(const std::vector<std::string>& header_values) {
  std::optional<Challenge> basic;
  for (const std::string& value : header_values) {
    for (Challenge& challenge : ParseChallenges(value)) {
      if (challenge.scheme == "bearer" && challenge.parameters.contains("realm")) return challenge;
      if (challenge.scheme == "basic" && !basic) basic = std::move(challenge);
    }
  }
  return basic;
}

}  // namespace ocirun::registry
