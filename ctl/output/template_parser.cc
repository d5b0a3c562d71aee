// SPDX-License-Identifier: Apache-2.0
#include "ctl/output/template_parser.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "ctl/output/go_text.h"

namespace ocirun::ctl::go {
namespace {

// Go's own but call, which needs values that are functions, and Docker's.
constexpr std::array<std::string_view, 26> kFunctions = {
    "and",    "eq",      "ge",    "gt",    "html",  "index",    "join",  "js",      "json",
    "le",     "len",     "lower", "lt",    "ne",    "not",      "or",    "pad",     "print",
    "printf", "println", "slice", "split", "title", "truncate", "upper", "urlquery"};
constexpr size_t kDeepest = 64;  // parentheses and blocks

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool IsWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::string Unquote(const std::string& word) {
  const std::string inner = word.substr(1, word.size() - 2);
  if (word[0] == '`') return inner;
  std::string text;
  for (size_t i = 0; i < inner.size(); ++i) {
    if (inner[i] != '\\' || i + 1 == inner.size()) {
      text += inner[i];
      continue;
    }
    const char c = inner[++i];
    text += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
  }
  return text;
}

struct Token {
  enum class Kind {
    kText,
    kOpen,   // {{
    kClose,  // }}
    kSpace,
    kWord,      // a keyword or a function
    kDot,       // .
    kField,     // .A
    kVariable,  // $, $x
    kString,
    kNumber,
    kPipe,     // |
    kDeclare,  // :=
    kAssign,   // =
    kComma,
    kLeft,
    kRight,
    kChar,
    kEnd
  } kind{};
  size_t at = 0;
  std::string text;
};
using Kind = Token::Kind;

class Lexer {
 public:
  explicit Lexer(const std::string& text) : text_(text) {}

  StatusOr<std::vector<Token>> Run() {
    bool trim = false;
    while (at_ < text_.size()) {
      const size_t open = std::min(text_.find("{{", at_), text_.size());
      std::string plain = text_.substr(at_, open - at_);
      if (trim) plain.erase(0, std::min(plain.find_first_not_of(" \t\r\n"), plain.size()));
      const bool trims =
          text_.compare(open, 3, "{{-") == 0 && open + 3 < text_.size() && IsSpace(text_[open + 3]);
      if (trims) plain.erase(plain.find_last_not_of(" \t\r\n") + 1);
      if (!plain.empty()) Add(Kind::kText, at_, plain);
      if (open == text_.size()) break;
      at_ = open + (trims ? 4 : 2);
      if (text_.compare(at_, 2, "/*") == 0) {
        RETURN_IF_ERROR(Comment(&trim));
      } else {
        Add(Kind::kOpen, open, "{{");
        RETURN_IF_ERROR(Action(&trim));
      }
    }
    Add(Kind::kEnd, text_.size(), "");
    return tokens_;
  }

 private:
  void Add(Kind kind, size_t at, std::string text) {
    tokens_.push_back({kind, at, std::move(text)});
  }

  [[nodiscard]] Status Wrong(const std::string& what) const {
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<long>(at_), '\n');
    return InvalidArgument("template: :{}: {}", line, what);
  }

  // "}}" or " -}}"; its length, 0 where there is none.
  [[nodiscard]] size_t CloseHere(bool* trim) const {
    *trim = at_ + 1 < text_.size() && IsSpace(text_[at_]) && text_.compare(at_ + 1, 3, "-}}") == 0;
    if (*trim) return 4;
    return text_.compare(at_, 2, "}}") == 0 ? 2 : 0;
  }

  Status Comment(bool* trim) {
    const size_t end = text_.find("*/", at_);
    if (end == std::string::npos) return Wrong("unclosed comment");
    at_ = end + 2;
    const size_t close = CloseHere(trim);
    if (close == 0) return Wrong("comment ends before closing delimiter");
    at_ += close;
    return OkStatus();
  }

  Status Action(bool* trim) {
    int depth = 0;
    for (;;) {
      if (const size_t close = CloseHere(trim); close > 0) {
        if (depth > 0) return Wrong("unclosed left paren");
        Add(Kind::kClose, at_, "}}");
        at_ += close;
        return OkStatus();
      }
      if (at_ >= text_.size()) return Wrong("unclosed action");
      const char c = text_[at_];
      if (c == '(') ++depth;
      if (c == ')' && --depth < 0) return Wrong("unexpected right paren");
      RETURN_IF_ERROR(Item(c));
    }
  }

  // One token of an action.
  Status Item(char c) {
    const size_t begin = at_;
    const char next = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    const auto take = [&](Kind kind, size_t size) {
      Add(kind, begin, text_.substr(begin, size));
      at_ = begin + size;
      return OkStatus();
    };
    // A field, a variable or a word, which something has to end.
    const auto take_word = [&](Kind kind, size_t from) -> Status {
      while (from < text_.size() && IsWord(text_[from])) ++from;
      Add(kind, begin, text_.substr(begin, from - begin));
      at_ = from;
      const bool ended = from >= text_.size() || IsSpace(text_[from]) ||
                         std::string_view(".,|:()").find(text_[from]) != std::string_view::npos ||
                         text_.compare(from, 2, "}}") == 0;
      return ended ? OkStatus() : Wrong("bad character " + CodePoint(text_[from]));
    };
    if (IsSpace(c)) {
      bool trim = false;
      while (at_ < text_.size() && IsSpace(text_[at_]) && CloseHere(&trim) == 0) ++at_;
      Add(Kind::kSpace, begin, text_.substr(begin, at_ - begin));
      return OkStatus();
    }
    if (c == '"' || c == '`') return QuotedText(c);
    if (c == ':' && next == '=') return take(Kind::kDeclare, 2);
    if (c == ':') return Wrong("expected :=");
    const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
    const bool signed_digit =
        (c == '-' || c == '+' || c == '.') && std::isdigit(static_cast<unsigned char>(next)) != 0;
    if (digit || signed_digit) return Number();
    if (c == '.') return take_word(IsWord(next) ? Kind::kField : Kind::kDot, at_ + 1);
    if (c == '$') return take_word(Kind::kVariable, at_ + 1);
    if (IsWord(c)) return take_word(Kind::kWord, at_);
    constexpr std::pair<char, Kind> kSingles[] = {{'|', Kind::kPipe},
                                                  {'=', Kind::kAssign},
                                                  {',', Kind::kComma},
                                                  {'(', Kind::kLeft},
                                                  {')', Kind::kRight}};
    for (const auto& [single, kind] : kSingles) {
      if (c == single) return take(kind, 1);
    }
    if (std::isprint(static_cast<unsigned char>(c)) != 0) return take(Kind::kChar, 1);
    return Wrong("unrecognized character in action: " + CodePoint(c));
  }

  // As Go's %#U.
  static std::string CodePoint(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return std::isprint(byte) != 0 ? fmt::format("U+{:04X} '{}'", byte, c)
                                   : fmt::format("U+{:04X}", byte);
  }

  Status QuotedText(char quote) {
    for (size_t end = at_ + 1; end < text_.size(); ++end) {
      if (text_[end] == '\n' && quote == '"') break;
      if (text_[end] == quote) {
        Add(Kind::kString, at_, text_.substr(at_, end + 1 - at_));
        at_ = end + 1;
        return OkStatus();
      }
      if (text_[end] == '\\' && quote == '"') ++end;
    }
    return Wrong(quote == '"' ? "unterminated quoted string" : "unterminated raw quoted string");
  }

  Status Number() {
    const size_t begin = at_;
    if (text_[at_] == '+' || text_[at_] == '-') ++at_;
    while (at_ < text_.size() && (IsWord(text_[at_]) || text_[at_] == '.')) ++at_;
    const std::string number = text_.substr(begin, at_ - begin);
    char* end = nullptr;
    (void)std::strtod(number.c_str(), &end);
    if (*end != '\0') return Wrong(fmt::format("bad number syntax: {}", Quote(number)));
    Add(Kind::kNumber, begin, number);
    return OkStatus();
  }

  const std::string& text_;
  size_t at_ = 0;
  std::vector<Token> tokens_;
};

class Parser {
 public:
  Parser(const std::string& source, std::vector<Token> tokens) : tokens_(std::move(tokens)) {
    tree_.source = source;
  }

  StatusOr<Tree> Run() {
    std::string end;
    ASSIGN_OR_RETURN(tree_.body, ParseBody("", &end));
    return std::move(tree_);
  }

 private:
  const Token& Peek() const { return tokens_[next_]; }
  const Token& Next() { return tokens_[next_ + 1 < tokens_.size() ? next_++ : next_]; }
  void SkipSpace() {
    while (Peek().kind == Kind::kSpace) Next();
  }
  const Token& NextWord() {
    SkipSpace();
    return Next();
  }
  const Token& PeekWord() {
    SkipSpace();
    return Peek();
  }

  [[nodiscard]] Status Wrong(const std::string& what) const {
    const size_t at = tokens_[next_ > 0 ? next_ - 1 : 0].at;
    const auto line =
        1 + std::count(tree_.source.begin(), tree_.source.begin() + static_cast<long>(at), '\n');
    return InvalidArgument("template: :{}: {}", line, what);
  }
  [[nodiscard]] Status Unexpected(const Token& token, const std::string& where) const {
    if (token.kind == Kind::kEnd) return Wrong("unexpected EOF");
    const bool bracketed = IsKeyword(token) || token.kind == Kind::kDot;
    const std::string shown = bracketed                ? "<" + token.text + ">"
                              : token.text.size() > 10 ? Quote(token.text.substr(0, 10)) + "..."
                                                       : Quote(token.text);
    return Wrong(fmt::format("unexpected {} in {}", shown, where));
  }
  static bool IsKeyword(const Token& token) {
    constexpr std::string_view kKeywords[] = {"block", "break", "continue", "define", "else", "end",
                                              "if",    "range", "template", "with",   "nil"};
    return token.kind == Kind::kWord &&
           std::find(std::begin(kKeywords), std::end(kKeywords), token.text) != std::end(kKeywords);
  }

  // Up to {{end}} or {{else ...}} of `block`, which is then in `end`; to the text's end for "".
  StatusOr<std::vector<Node>> ParseBody(const std::string& block, std::string* end) {
    if (++depth_ > kDeepest) return Wrong("blocks are nested too deeply");
    std::vector<Node> nodes;
    for (;;) {
      const Token token = Next();
      if (token.kind == Kind::kEnd) {
        --depth_;
        if (!block.empty()) return Wrong("unexpected EOF");
        return nodes;
      }
      if (token.kind == Kind::kText) {
        nodes.push_back({.kind = Node::Kind::kText, .at = token.at, .text = token.text});
        continue;
      }
      const Token& word = PeekWord();
      if (word.kind == Kind::kWord && (word.text == "end" || word.text == "else")) {
        *end = NextWord().text;
        const bool chained = *end == "else" && !block.empty();  // {{else if}}: read by ParseElse
        if (!chained) RETURN_IF_ERROR(ExpectClose(*end));
        if (block.empty()) return Wrong("unexpected {{" + *end + "}}");
        --depth_;
        return nodes;
      }
      if (word.kind == Kind::kWord && word.text == "define") {
        if (depth_ > 1) return Wrong("unexpected {{define}}");
        RETURN_IF_ERROR(ParseDefine());
        continue;
      }
      ASSIGN_OR_RETURN(Node node, ParseAction(token));
      nodes.push_back(std::move(node));
    }
  }

  Status ExpectClose(const std::string& where) {
    const Token token = NextWord();
    return token.kind == Kind::kClose ? OkStatus() : Unexpected(token, where);
  }

  StatusOr<std::string> ParseName(const std::string& where) {
    const Token token = NextWord();
    if (token.kind != Kind::kString) return Unexpected(token, where + " clause");
    return Unquote(token.text);
  }

  // {{define "name"}} ... {{end}}, at the top only.
  Status ParseDefine() {
    NextWord();
    ASSIGN_OR_RETURN(const std::string name, ParseName("define"));
    RETURN_IF_ERROR(ExpectClose("define clause"));
    return ParseDefinition(name, "define");
  }

  // A template sees no variables of the one around it.
  Status ParseDefinition(const std::string& name, const std::string& block) {
    std::vector<std::string> outer = {"$"};
    std::swap(outer, variables_);
    const int ranges = std::exchange(ranges_, 0);
    std::string end;
    ASSIGN_OR_RETURN(tree_.definitions[name], ParseBody(block, &end));
    if (end != "end") return Wrong("unexpected {{else}} in " + block + " clause");
    variables_ = outer;
    ranges_ = ranges;
    return OkStatus();
  }

  StatusOr<Node> ParseAction(const Token& open) {
    const Token word = PeekWord();
    const auto is = [&](const char* text) { return word.kind == Kind::kWord && word.text == text; };
    if (is("if")) return ParseBlock(Node::Kind::kIf);
    if (is("range")) return ParseBlock(Node::Kind::kRange);
    if (is("with")) return ParseBlock(Node::Kind::kWith);
    if (is("template") || is("block")) return ParseTemplate();
    if (is("break") || is("continue")) return ParseJump();
    Node node{.kind = Node::Kind::kAction, .at = word.at};
    (void)open;
    ASSIGN_OR_RETURN(node.pipe, ParsePipe("command", Kind::kClose));
    return node;
  }

  StatusOr<Node> ParseJump() {
    const Token word = NextWord();
    const std::string shown = "{{" + word.text + "}}";
    const Token close = NextWord();
    if (close.kind != Kind::kClose) return Unexpected(close, shown);
    if (ranges_ == 0) return Wrong(shown + " outside {{range}}");
    return Node{.kind = word.text == "break" ? Node::Kind::kBreak : Node::Kind::kContinue,
                .at = word.at};
  }

  // {{template "name" PIPELINE}}, or {{block "name" PIPELINE}} ... {{end}}, which defines it, too.
  StatusOr<Node> ParseTemplate() {
    const Token word = NextWord();
    Node node{.kind = Node::Kind::kTemplate, .at = PeekWord().at};
    ASSIGN_OR_RETURN(node.text, ParseName(word.text));
    if (PeekWord().kind == Kind::kClose && word.text == "template") {
      Next();
    } else {
      ASSIGN_OR_RETURN(node.pipe, ParsePipe(word.text + " clause", Kind::kClose));
    }
    if (word.text == "block") RETURN_IF_ERROR(ParseDefinition(node.text, "block"));
    return node;
  }

  StatusOr<Node> ParseBlock(Node::Kind kind) {
    const Token word = NextWord();
    Node node{.kind = kind, .at = word.at};
    const size_t variables = variables_.size();
    ASSIGN_OR_RETURN(node.pipe, ParsePipe(word.text, Kind::kClose));
    const int in_range = kind == Node::Kind::kRange ? 1 : 0;
    ranges_ += in_range;
    std::string end;
    ASSIGN_OR_RETURN(node.body, ParseBody(word.text, &end));
    ranges_ -= in_range;
    if (end == "else") RETURN_IF_ERROR(ParseElse(word.text, &node));
    variables_.resize(variables);
    return node;
  }

  // {{else}} ... {{end}}, or {{else if}} and {{else with}}, which end with their own block.
  Status ParseElse(const std::string& block, Node* node) {
    const Token& word = PeekWord();
    if (block != "range" && word.kind == Kind::kWord && word.text == block) {
      ASSIGN_OR_RETURN(Node inner, ParseBlock(node->kind));
      node->otherwise.push_back(std::move(inner));
      return OkStatus();
    }
    RETURN_IF_ERROR(ExpectClose("else"));
    std::string end;
    ASSIGN_OR_RETURN(node->otherwise, ParseBody(block, &end));
    return end == "end" ? OkStatus() : Wrong("expected end; found {{else}}");
  }

  // $k, $v := PIPELINE; $v = PIPELINE; PIPELINE; up to and with `end`.
  StatusOr<Pipe> ParsePipe(const std::string& where, Kind end) {
    Pipe pipe;
    const size_t begin = next_;
    while (PeekWord().kind == Kind::kVariable) {
      const std::string name = NextWord().text;
      pipe.variables.push_back(name);
      const Kind kind = PeekWord().kind;
      if (kind == Kind::kDeclare || kind == Kind::kAssign) {
        pipe.declares = Next().kind == Kind::kDeclare;
        if (pipe.variables.size() > 1 && where != "range") {
          return Wrong("too many declarations in " + where);
        }
        break;
      }
      if (kind != Kind::kComma || where != "range") {
        next_ = begin;  // a value after all
        pipe.variables.clear();
        break;
      }
      Next();
    }
    for (const std::string& name : pipe.variables) {
      if (!pipe.declares) RETURN_IF_ERROR(CheckVariable(name));
    }
    do {
      if (PeekWord().kind == end && Next().kind == end) break;
      if (Peek().kind == Kind::kPipe) return Unexpected(Next(), where);
      ASSIGN_OR_RETURN(Command command, ParseCommand(where, end));
      pipe.commands.push_back(std::move(command));
    } while (tokens_[next_ - 1].kind != end);
    if (pipe.commands.empty()) return Wrong("missing value for " + where);
    for (size_t i = 1; i < pipe.commands.size(); ++i) {
      const auto kind = pipe.commands[i].operands[0].kind;
      if (kind == Operand::Kind::kBool || kind == Operand::Kind::kNumber ||
          kind == Operand::Kind::kString || kind == Operand::Kind::kNil ||
          kind == Operand::Kind::kDot) {
        const Operand& first = pipe.commands[i].operands[0];
        if (kind == Operand::Kind::kDot && !first.fields.empty()) continue;
        return Wrong(fmt::format("non executable command in pipeline stage {}", i + 1));
      }
    }
    if (pipe.declares) {
      variables_.insert(variables_.end(), pipe.variables.begin(), pipe.variables.end());
    }
    return pipe;
  }

  // Operands up to and with a "|" or `end`.
  StatusOr<Command> ParseCommand(const std::string& where, Kind end) {
    Command command{.at = PeekWord().at};
    for (;;) {
      const Token& token = PeekWord();
      if (token.kind == Kind::kPipe || token.kind == end) {
        Next();
        return command;
      }
      ASSIGN_OR_RETURN(Operand operand, ParseOperand(where));
      command.operands.push_back(std::move(operand));
      const Token after = Peek();
      if (after.kind == Kind::kSpace || after.kind == Kind::kPipe || after.kind == end) continue;
      Next();
      return Unexpected(after, "operand");
    }
  }

  Status CheckVariable(const std::string& name) const {
    if (std::find(variables_.begin(), variables_.end(), name) != variables_.end()) {
      return OkStatus();
    }
    return Wrong(fmt::format("undefined variable \"{}\"", name));
  }

  StatusOr<Operand> ParseOperand(const std::string& where) {
    const Token token = Next();
    Operand operand{.at = token.at, .text = token.text, .shown = token.text};
    switch (token.kind) {
      case Kind::kDot:
        operand.kind = Operand::Kind::kDot;
        break;
      case Kind::kField:
        operand.kind = Operand::Kind::kDot;
        operand.fields.push_back(token.text.substr(1));
        break;
      case Kind::kVariable:
        operand.kind = Operand::Kind::kVariable;
        RETURN_IF_ERROR(CheckVariable(token.text));
        break;
      case Kind::kString:
        operand.kind = Operand::Kind::kString;
        operand.text = Unquote(token.text);
        return operand;
      case Kind::kNumber:
        operand.kind = Operand::Kind::kNumber;
        return operand;
      case Kind::kWord:
        return ParseWord(token, where);
      case Kind::kLeft: {
        if (++depth_ > kDeepest) return Wrong("parentheses are nested too deeply");
        operand.kind = Operand::Kind::kPipe;
        ASSIGN_OR_RETURN(Pipe pipe, ParsePipe("parenthesized pipeline", Kind::kRight));
        operand.shown = "(" + pipe.Shown() + ")";
        operand.pipe.push_back(std::move(pipe));
        --depth_;
        break;
      }
      default:
        return Unexpected(token, where);
    }
    if (Peek().kind == Kind::kField) operand.at = Peek().at;
    while (Peek().kind == Kind::kField) {
      operand.fields.push_back(Peek().text.substr(1));
      operand.shown += Next().text;
    }
    return operand;
  }

  StatusOr<Operand> ParseWord(const Token& token, const std::string& where) {
    Operand operand{.at = token.at, .text = token.text, .shown = token.text};
    if (token.text == "true" || token.text == "false") {
      operand.kind = Operand::Kind::kBool;
    } else if (token.text == "nil") {
      operand.kind = Operand::Kind::kNil;
    } else if (IsKeyword(token)) {
      return Unexpected(token, where);
    } else if (!IsFunction(token.text)) {
      return Wrong(fmt::format("function \"{}\" not defined", token.text));
    } else {
      operand.kind = Operand::Kind::kFunction;
    }
    return operand;
  }

  Tree tree_;
  std::vector<Token> tokens_;
  size_t next_ = 0;
  size_t depth_ = 0;
  int ranges_ = 0;
  std::vector<std::string> variables_ = {"$"};
};

}  // namespace

bool IsFunction(std::string_view name) {
  return std::find(kFunctions.begin(), kFunctions.end(), name) != kFunctions.end();
}

std::string Command::Shown() const {
  std::string text;
  for (const Operand& operand : operands) text += (text.empty() ? "" : " ") + operand.shown;
  return text;
}

std::string Pipe::Shown() const {
  std::string text;
  for (const std::string& name : variables) text += (text.empty() ? "" : ", ") + name;
  if (!variables.empty()) text += declares ? " := " : " = ";
  for (size_t i = 0; i < commands.size(); ++i) text += (i > 0 ? " | " : "") + commands[i].Shown();
  return text;
}

StatusOr<Tree> Parse(const std::string& text) {
  ASSIGN_OR_RETURN(std::vector<Token> tokens, Lexer(text).Run());
  return Parser(text, std::move(tokens)).Run();
}

}  // namespace ocirun::ctl::go
