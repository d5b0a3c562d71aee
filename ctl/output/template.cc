// SPDX-License-Identifier: Apache-2.0
#include "ctl/output/template.h"

#include <array>
#include <map>
#include <vector>

#include "ctl/output/go_text.h"

namespace ocirun::ctl {

// A part of a template: text, an action, or a block with its two bodies.
struct Template::Node {
  enum class Kind { kText, kAction, kIf, kRange, kWith, kTemplate } kind = Kind::kText;
  std::string text;  // of kText; else the pipeline
  std::string name;  // of kTemplate
  std::vector<Node> body, otherwise;
};

struct Template::Root {
  std::vector<Node> body;
  std::map<std::string, std::vector<Node>> definitions;
};

namespace {

using Node = Template::Node;
using Variables = std::map<std::string, OrderedJson>;
using Definitions = std::map<std::string, std::vector<Node>>;

// How deep templates may call templates, and lists hold lists.
constexpr int kDeepest = 64;
constexpr int kWidest = 10'000;

Status ParseError(const std::string& what) {
  return InvalidArgument("template parsing error: template: :1: {}", what);
}

std::string Trim(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1);
}

// Behind the quoted text that begins at `at`; npos when it has no end.
size_t EndOfQuoted(const std::string& text, size_t at) {
  const char quote = text[at];
  for (size_t end = at + 1; end < text.size(); ++end) {
    if (text[end] == quote) return end + 1;
    if (text[end] == '\\' && quote == '"') ++end;
  }
  return std::string::npos;
}

// Where "}}" ends the action that begins at `at`, not counting what is quoted.
size_t EndOfAction(const std::string& text, size_t at) {
  while (at < text.size()) {
    if (text.compare(at, 2, "}}") == 0) return at;
    at = text[at] == '"' || text[at] == '`' ? EndOfQuoted(text, at) : at + 1;
  }
  return std::string::npos;
}

// Cuts "text {{action}} text" into pieces, {{- and -}} trimming the text beside them.
StatusOr<std::vector<std::pair<bool, std::string>>> Cut(const std::string& text) {
  std::vector<std::pair<bool, std::string>> pieces;
  size_t at = 0;
  bool trim_next = false;
  while (at < text.size()) {
    const size_t open = text.find("{{", at);
    std::string plain = text.substr(at, open - at);
    if (trim_next) plain.erase(0, std::min(plain.find_first_not_of(" \t\n"), plain.size()));
    trim_next = false;
    if (open == std::string::npos) {
      pieces.emplace_back(false, plain);
      break;
    }
    const size_t close =
        text.compare(open, 4, "{{/*") == 0 ? text.find("}}", open) : EndOfAction(text, open + 2);
    if (close == std::string::npos) return ParseError("unclosed action");
    std::string action = text.substr(open + 2, close - open - 2);
    if (action.starts_with("- ")) {
      action.erase(0, 1);
      plain.erase(plain.find_last_not_of(" \t\n") + 1);
    }
    if (action.ends_with(" -")) {
      action.pop_back();
      trim_next = true;
    }
    pieces.emplace_back(false, plain);
    pieces.emplace_back(true, Trim(action));
    at = close + 2;
  }
  return pieces;
}

// Splits a pipeline into words; strings and parentheses are one word each.
StatusOr<std::vector<std::string>> Words(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == ' ' || c == '\t' || c == '\n') {
      ++at;
      continue;
    }
    size_t end = at + 1;
    if (c == '"' || c == '`') {
      end = EndOfQuoted(text, at);
      if (end == std::string::npos) return ParseError("unterminated quoted string");
    } else if (c == '(') {
      int depth = 1;
      while (end < text.size() && depth > 0) {
        depth += text[end] == '(' ? 1 : text[end] == ')' ? -1 : 0;
        end = text[end] == '"' || text[end] == '`' ? EndOfQuoted(text, end) : end + 1;
      }
      if (depth > 0) return ParseError("unclosed left paren");
      while (end < text.size() && text[end] != ' ' && text[end] != '|') ++end;
    } else if (c != '|' && c != ',') {
      while (end < text.size() &&
             std::string_view(" \t\n|,()").find(text[end]) == std::string_view::npos) {
        ++end;
      }
    }
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

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
    text += c == 'n' ? '\n' : c == 't' ? '\t' : c;
  }
  return text;
}

class Parser {
 public:
  Parser(std::vector<std::pair<bool, std::string>> pieces, Definitions* definitions)
      : pieces_(std::move(pieces)), definitions_(definitions) {}

  StatusOr<std::vector<Node>> ParseBody(bool top, std::string* end) {
    std::vector<Node> nodes;
    while (at_ < pieces_.size()) {
      const auto& [is_action, text] = pieces_[at_++];
      if (!is_action) {
        if (!text.empty()) nodes.push_back({.kind = Node::Kind::kText, .text = text});
        continue;
      }
      const std::string word = text.substr(0, text.find(' '));
      if (word == "end" || word == "else") {
        if (top) return ParseError("unexpected {{" + word + "}}");
        *end = text;
        return nodes;
      }
      if (text.starts_with("/*")) continue;
      if (word == "define") {
        RETURN_IF_ERROR(ParseDefine(top, text));
        continue;
      }
      ASSIGN_OR_RETURN(Node node, ParseAction(word, text));
      nodes.push_back(std::move(node));
    }
    if (!top) return ParseError("unexpected EOF");
    return nodes;
  }

 private:
  // {{define "name"}} ... {{end}}, at the top only.
  Status ParseDefine(bool top, const std::string& text) {
    if (!top) return ParseError("unexpected {{define}}");
    ASSIGN_OR_RETURN(const auto words, Words(text));
    if (words.size() != 2 || words[1][0] != '"') return ParseError("unexpected word in define");
    std::string end;
    ASSIGN_OR_RETURN((*definitions_)[Unquote(words[1])], ParseBody(false, &end));
    return end == "end" ? absl::OkStatus() : ParseError("unexpected {{else}} in define");
  }

  // {{template "name" PIPELINE}}, or {{block "name" PIPELINE}} ... {{end}}, which defines it, too.
  StatusOr<Node> ParseTemplate(const std::string& word, const std::string& text) {
    ASSIGN_OR_RETURN(const auto words, Words(text));
    if (words.size() < 2 || words[1][0] != '"') {
      return ParseError("unexpected word in " + word + " clause");
    }
    const size_t behind = text.find(words[1]) + words[1].size();
    Node node{.kind = Node::Kind::kTemplate,
              .text = Trim(text.substr(behind)),
              .name = Unquote(words[1])};
    if (word == "template") return node;
    std::string end;
    ASSIGN_OR_RETURN((*definitions_)[node.name], ParseBody(false, &end));
    return node;
  }

  StatusOr<Node> ParseAction(const std::string& word, const std::string& text) {
    static const std::map<std::string, Node::Kind> blocks = {
        {"if", Node::Kind::kIf}, {"range", Node::Kind::kRange}, {"with", Node::Kind::kWith}};
    if (word == "template" || word == "block") return ParseTemplate(word, text);
    const auto block = blocks.find(word);
    if (block == blocks.end()) {
      if (text.empty()) return ParseError("missing value for command");
      return Node{.kind = Node::Kind::kAction, .text = text};
    }
    Node node{.kind = block->second, .text = Trim(text.substr(word.size()))};
    std::string end;
    ASSIGN_OR_RETURN(node.body, ParseBody(false, &end));
    if (end == "else") {
      ASSIGN_OR_RETURN(node.otherwise, ParseBody(false, &end));
    } else if (end.starts_with("else if")) {
      ASSIGN_OR_RETURN(Node inner, ParseAction("if", Trim(end.substr(5))));
      node.otherwise.push_back(std::move(inner));
    }
    return node;
  }

  std::vector<std::pair<bool, std::string>> pieces_;
  Definitions* definitions_;
  size_t at_ = 0;
};

bool IsTrue(const OrderedJson& value) {
  if (value.is_null()) return false;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.empty();
}

class Executor {
 public:
  Executor(const OrderedJson& data, const Definitions& definitions) : definitions_(definitions) {
    variables_["$"] = data;
  }

  Status Run(const std::vector<Node>& nodes, const OrderedJson& dot, std::string* out) {
    for (const Node& node : nodes) RETURN_IF_ERROR(RunNode(node, dot, out));
    return absl::OkStatus();
  }

 private:
  Status RunNode(const Node& node, const OrderedJson& dot, std::string* out) {
    switch (node.kind) {
      case Node::Kind::kText:
        *out += node.text;
        return absl::OkStatus();
      case Node::Kind::kRange:
        return RunRange(node, dot, out);
      case Node::Kind::kTemplate:
        return RunTemplate(node, dot, out);
      case Node::Kind::kAction: {
        // $name := PIPELINE, $name = PIPELINE
        const size_t name_end = node.text.find_first_of(" \t:=");
        const size_t assign = node.text.find_first_not_of(" \t:", name_end);
        if (node.text[0] == '$' && assign != std::string::npos && node.text[assign] == '=') {
          const std::string name = node.text.substr(0, name_end);
          const bool declares = node.text[assign - 1] == ':';
          if (!declares && variables_.count(name) == 0) {
            return ParseError("undefined variable \"" + name + "\"");
          }
          ASSIGN_OR_RETURN(variables_[name], Evaluate(node.text.substr(assign + 1), dot));
          return absl::OkStatus();
        }
        ASSIGN_OR_RETURN(const OrderedJson value, Evaluate(node.text, dot));
        *out += TextOf(value);
        return absl::OkStatus();
      }
      default: {
        ASSIGN_OR_RETURN(const OrderedJson value, Evaluate(node.text, dot));
        if (!IsTrue(value)) return Run(node.otherwise, dot, out);
        return Run(node.body, node.kind == Node::Kind::kWith ? value : dot, out);
      }
    }
  }

  // A template sees its own dot, as $ too, and no variables of its caller.
  Status RunTemplate(const Node& node, const OrderedJson& dot, std::string* out) {
    const auto found = definitions_.find(node.name);
    if (found == definitions_.end()) {
      return InvalidArgument("template: :1: template \"{}\" not defined", node.name);
    }
    if (depth_ >= kDeepest) {
      return InvalidArgument("template: :1: exceeded maximum template depth ({})", kDeepest);
    }
    OrderedJson value;
    if (!node.text.empty()) {
      ASSIGN_OR_RETURN(value, Evaluate(node.text, dot));
    }
    Executor callee(value, definitions_);
    callee.depth_ = depth_ + 1;
    return callee.Run(found->second, value, out);
  }

  Status RunRange(const Node& node, const OrderedJson& dot, std::string* out) {
    std::string pipeline = node.text;
    std::string key_name;
    std::string value_name;
    if (const size_t assign = pipeline.find(":="); assign != std::string::npos) {
      const std::string names = pipeline.substr(0, assign);
      pipeline = pipeline.substr(assign + 2);
      const size_t comma = names.find(',');
      if (comma != std::string::npos) key_name = Trim(names.substr(0, comma));
      value_name = Trim(comma == std::string::npos ? names : names.substr(comma + 1));
    }
    ASSIGN_OR_RETURN(const OrderedJson list, Evaluate(pipeline, dot));
    if (!list.is_structured() || list.empty()) return Run(node.otherwise, dot, out);
    size_t index = 0;
    for (const auto& [key, value] : list.items()) {
      if (!key_name.empty()) {
        variables_[key_name] = list.is_array() ? OrderedJson(index) : OrderedJson(key);
      }
      if (!value_name.empty()) variables_[value_name] = value;
      RETURN_IF_ERROR(Run(node.body, value, out));
      ++index;
    }
    return absl::OkStatus();
  }

  StatusOr<OrderedJson> Evaluate(const std::string& text, const OrderedJson& dot) {
    ASSIGN_OR_RETURN(const std::vector<std::string> words, Words(text));
    std::vector<std::string> command;
    std::vector<OrderedJson> piped;
    for (size_t i = 0; i <= words.size(); ++i) {
      if (i < words.size() && words[i] != "|") {
        command.push_back(words[i]);
        continue;
      }
      ASSIGN_OR_RETURN(OrderedJson value, RunCommand(command, piped, dot));
      piped = {std::move(value)};
      command.clear();
    }
    return piped[0];
  }

  StatusOr<OrderedJson> RunCommand(const std::vector<std::string>& command,
                                   const std::vector<OrderedJson>& piped, const OrderedJson& dot) {
    if (command.empty()) return ParseError("missing value for command");
    const std::string& head = command[0];
    const bool function = std::isalpha(static_cast<unsigned char>(head[0])) != 0 &&
                          head != "true" && head != "false" && head != "nil";
    std::vector<OrderedJson> arguments;
    for (size_t i = function ? 1 : 0; i < command.size(); ++i) {
      ASSIGN_OR_RETURN(OrderedJson value, Operand(command[i], dot));
      arguments.push_back(std::move(value));
    }
    arguments.insert(arguments.end(), piped.begin(), piped.end());
    if (function) return Call(head, arguments);
    if (arguments.size() != 1) return ParseError("can't give argument to non-function " + head);
    return arguments[0];
  }

  StatusOr<OrderedJson> Operand(const std::string& word, const OrderedJson& dot) {
    if (word[0] == '"' || word[0] == '`') return OrderedJson(Unquote(word));
    if (word == "true") return OrderedJson(true);
    if (word == "false") return OrderedJson(false);
    if (word == "nil") return OrderedJson();
    if (word[0] == '(') {
      const size_t close = word.rfind(')');
      ASSIGN_OR_RETURN(const OrderedJson value, Evaluate(word.substr(1, close - 1), dot));
      return Walk(value, word.substr(close + 1));
    }
    if (word[0] == '$') {
      const size_t point = word.find('.');
      const auto variable = variables_.find(word.substr(0, point));
      if (variable == variables_.end()) return ParseError("undefined variable \"" + word + "\"");
      return Walk(variable->second, point == std::string::npos ? "" : word.substr(point));
    }
    if (word[0] == '.') return Walk(dot, word);
    const auto number = ParseJson(word, 64);
    if (number.ok() && number->is_number()) return OrderedJson(*number);
    if (std::isalpha(static_cast<unsigned char>(word[0])) != 0) return Call(word, {});
    return ParseError("unexpected \"" + word + "\" in operand");
  }

  // ".State.Status" from `value` on.
  static StatusOr<OrderedJson> Walk(OrderedJson value, const std::string& path) {
    size_t at = 0;
    while (at < path.size()) {
      const size_t next = std::min(path.find('.', at + 1), path.size());
      const std::string key = path.substr(at + 1, next - at - 1);
      at = next;
      if (key.empty()) continue;
      if (value.is_null())
        return InvalidArgument("template: :1: nil data; no entry for key \"{}\"", key);
      if (!value.is_object() || !value.contains(key)) {
        return InvalidArgument(
            "template: :1: executing \"\" at <{}>: map has no entry for key \"{}\"", path, key);
      }
      OrderedJson inner = value[key];
      value = std::move(inner);
    }
    return value;
  }

  static StatusOr<OrderedJson> Index(const std::vector<OrderedJson>& arguments) {
    OrderedJson value = arguments.at(0);
    for (size_t i = 1; i < arguments.size(); ++i) {
      OrderedJson inner;
      if (value.is_array() && arguments[i].is_number()) {
        const auto index = arguments[i].get<int64_t>();
        if (index < 0 || static_cast<size_t>(index) >= value.size()) {
          return InvalidArgument("template: :1: error calling index: index out of range: {}",
                                 index);
        }
        inner = value[static_cast<size_t>(index)];
      } else if (value.is_object() && arguments[i].is_string()) {
        const auto key = arguments[i].get<std::string>();
        if (value.contains(key))
          inner = value[key];
        else
          inner = "";
      } else if (!value.is_null()) {
        return InvalidArgument("template: :1: error calling index: can't index item");
      }
      value = std::move(inner);
    }
    return value;
  }

  // A string's or list's part: slice x 1 2 is x[1:2].
  static StatusOr<OrderedJson> Slice(const std::vector<OrderedJson>& arguments) {
    const OrderedJson& value = arguments.at(0);
    if (!value.is_string() && !value.is_array()) {
      return InvalidArgument("template: :1: error calling slice: can't slice item");
    }
    const size_t size =
        value.is_string() ? value.get_ref<const std::string&>().size() : value.size();
    if (arguments.size() > 3) return ParseError("too many slice indexes");
    std::array<size_t, 2> bounds = {0, size};
    for (size_t i = 1; i < arguments.size(); ++i) {
      const bool whole = arguments[i].is_number_integer();
      if (!whole || arguments[i] < 0 || arguments[i].get<size_t>() > size) {
        return InvalidArgument("template: :1: error calling slice: index out of range: {}",
                               TextOf(arguments[i]));
      }
      bounds[i - 1] = arguments[i].get<size_t>();
    }
    const auto [begin, end] = bounds;
    if (begin > end) {
      return InvalidArgument("template: :1: error calling slice: invalid slice index: {} > {}",
                             begin, end);
    }
    if (value.is_string()) return OrderedJson(value.get<std::string>().substr(begin, end - begin));
    OrderedJson part = OrderedJson::array();
    for (size_t i = begin; i < end; ++i) part.push_back(value[i]);
    return part;
  }

  static std::string MapCase(std::string text, const std::string& how) {
    for (size_t i = 0; i < text.size(); ++i) {
      const auto c = static_cast<unsigned char>(text[i]);
      const bool up = how == "upper" || (how == "title" && (i == 0 || text[i - 1] == ' '));
      if (up) text[i] = static_cast<char>(std::toupper(c));
      if (how == "lower") text[i] = static_cast<char>(std::tolower(c));
    }
    return text;
  }

  static StatusOr<OrderedJson> Call(const std::string& name,
                                    const std::vector<OrderedJson>& arguments) {
    const auto need = [&](size_t count) -> Status {
      if (arguments.size() >= count) return absl::OkStatus();
      return ParseError("wrong number of args for " + name);
    };
    if (name == "println" || name == "print") {
      // print puts a space only between two that are no strings.
      std::string text;
      for (size_t i = 0; i < arguments.size(); ++i) {
        const bool spaced = i > 0 && (name == "println" ||
                                      !(arguments[i].is_string() || arguments[i - 1].is_string()));
        text += (spaced ? " " : "") + TextOf(arguments[i]);
      }
      return OrderedJson(text + (name == "println" ? "\n" : ""));
    }
    if (name == "html" || name == "js" || name == "urlquery") {
      std::string text;
      for (const auto& argument : arguments) text += TextOf(argument);
      return OrderedJson(name == "html" ? HtmlEscape(text)
                         : name == "js" ? JsEscape(text)
                                        : QueryEscape(text));
    }
    if (name == "or" || name == "and") {
      RETURN_IF_ERROR(need(1));
      for (const auto& argument : arguments) {
        if (IsTrue(argument) == (name == "or")) return argument;
      }
      return arguments.back();
    }
    RETURN_IF_ERROR(need(1));
    const OrderedJson& first = arguments[0];
    if (name == "json") return OrderedJson(first.dump());
    if (name == "printf") {
      if (!first.is_string()) return ParseError("wrong type for value; expected string");
      return OrderedJson(
          GoPrintf(first.get<std::string>(), {arguments.begin() + 1, arguments.end()}));
    }
    if (name == "slice") return Slice(arguments);
    if (name == "index") return Index(arguments);
    if (name == "len")
      return OrderedJson(first.is_string() ? first.get<std::string>().size() : first.size());
    if (name == "not") return OrderedJson(!IsTrue(first));
    if (name == "lower" || name == "upper" || name == "title") {
      return OrderedJson(MapCase(TextOf(first), name));
    }
    RETURN_IF_ERROR(need(2));
    const OrderedJson& second = arguments[1];
    if (name == "join") {
      std::string text;
      bool begun = false;
      for (const auto& element : first) {
        text += (begun ? TextOf(second) : "") + TextOf(element);
        begun = true;
      }
      return OrderedJson(text);
    }
    if (name == "split") {
      OrderedJson parts = OrderedJson::array();
      const std::string text = TextOf(first);
      const std::string separator = TextOf(second);
      size_t at = 0;
      for (size_t end; !separator.empty() && (end = text.find(separator, at)) != std::string::npos;
           at = end + separator.size()) {
        parts.push_back(text.substr(at, end - at));
      }
      parts.push_back(text.substr(at));
      return parts;
    }
    if (name == "truncate" || name == "pad") {
      RETURN_IF_ERROR(need(name == "pad" ? 3 : 2));
      std::vector<size_t> numbers;
      for (size_t i = 1; i < arguments.size(); ++i) {
        if (!arguments[i].is_number_integer() || arguments[i] < 0 || arguments[i] > kWidest) {
          return ParseError("wrong type for value; expected int");
        }
        numbers.push_back(arguments[i].get<size_t>());
      }
      const std::string text = TextOf(first);
      if (name == "truncate") return OrderedJson(text.substr(0, numbers[0]));
      if (text.empty()) return OrderedJson("");
      return OrderedJson(std::string(numbers[0], ' ') + text + std::string(numbers[1], ' '));
    }
    if (name == "eq") {
      for (size_t i = 1; i < arguments.size(); ++i) {
        if (first == arguments[i]) return OrderedJson(true);
      }
      return OrderedJson(false);
    }
    if (name == "ne") return OrderedJson(first != second);
    if (name == "lt") return OrderedJson(first < second);
    if (name == "le") return OrderedJson(first <= second);
    if (name == "gt") return OrderedJson(first > second);
    if (name == "ge") return OrderedJson(first >= second);
    return ParseError("function \"" + name + "\" not defined");
  }

  const Definitions& definitions_;
  Variables variables_;
  int depth_ = 0;
};

}  // namespace

StatusOr<Template> Template::Parse(const std::string& text) {
  ASSIGN_OR_RETURN(auto pieces, Cut(text));
  auto root = std::make_shared<Root>();
  Parser parser(std::move(pieces), &root->definitions);
  std::string end;
  ASSIGN_OR_RETURN(root->body, parser.ParseBody(true, &end));
  Template parsed;
  parsed.root_ = root;
  return parsed;
}

StatusOr<std::string> Template::Execute(const OrderedJson& data) const {
  std::string out;
  Executor executor(data, root_->definitions);
  RETURN_IF_ERROR(executor.Run(root_->body, data, &out));
  return out;
}

}  // namespace ocirun::ctl
