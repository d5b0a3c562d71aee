// SPDX-License-Identifier: Apache-2.0
//
// The language of Go's text/template as a tree, with Go's messages for what is wrong in it
// (text/template/parse of Go 1.23). Positions are bytes from the template's beginning.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ocirun::ctl::go {

struct Pipe;

// A value in a command: .A, $x.A, "text", 1, true, nil, function, (pipe).A
struct Operand {
  enum class Kind { kDot, kVariable, kString, kNumber, kBool, kNil, kFunction, kPipe } kind{};
  size_t at = 0;
  std::string text;                 // as written, with its fields; the value of a kString
  std::string shown;                // as Go shows it in an error
  std::vector<std::string> fields;  // of .A.B
  std::vector<Pipe> pipe;           // of a kPipe: exactly one
};

struct Command {
  size_t at = 0;
  std::vector<Operand> operands;  // at least one
  [[nodiscard]] std::string Shown() const;
};

struct Pipe {
  std::vector<std::string> variables;  // $k, $v := or $v =
  bool declares = false;
  std::vector<Command> commands;
  [[nodiscard]] std::string Shown() const;
};

struct Node {
  enum class Kind { kText, kAction, kIf, kRange, kWith, kTemplate, kBreak, kContinue } kind{};
  size_t at = 0;
  std::string text;  // of kText; the name of a kTemplate
  Pipe pipe;         // without commands: a kTemplate without an argument
  std::vector<Node> body, otherwise;
};

struct Tree {
  std::string source;
  std::vector<Node> body;
  std::map<std::string, std::vector<Node>> definitions;
};

// InvalidArgument "template: :LINE: ...".
StatusOr<Tree> Parse(const std::string& text);

// Whether Docker's templates have this function; it is known to be so once parsed.
bool IsFunction(std::string_view name);

}  // namespace ocirun::ctl::go
