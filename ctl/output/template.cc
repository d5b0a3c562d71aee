// SPDX-License-Identifier: Apache-2.0
//
// The execution of a parsed template (text/template/exec.go and funcs.go of Go).
#include "ctl/output/template.h"

#include <algorithm>
#include <array>
#include <vector>

#include "ctl/output/go_text.h"
#include "ctl/output/template_parser.h"

namespace ocirun::ctl {
namespace {

using go::Node;
using go::Operand;
using go::Pipe;
using Values = std::vector<OrderedJson>;

constexpr int kDeepest = 200;       // templates that call templates
constexpr size_t kWidest = 10'000;  // what pad may add
constexpr size_t kAny = 1000;

bool IsTrue(const OrderedJson& value) {
  if (value.is_null()) return false;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.empty();
}

// The parameters of a function: how many, and of what type each is; the last type goes on.
struct Signature {
  const char* name;
  size_t least, most;
  std::array<char, 3> types;  // s: string, i: int, l: list of strings, v: any value
};
constexpr Signature kSignatures[] = {
    {"and", 1, kAny, {'v', 'v', 'v'}},    {"eq", 1, kAny, {'v', 'v', 'v'}},
    {"ge", 2, 2, {'v', 'v', 'v'}},        {"gt", 2, 2, {'v', 'v', 'v'}},
    {"html", 0, kAny, {'v', 'v', 'v'}},   {"index", 1, kAny, {'v', 'v', 'v'}},
    {"join", 2, 2, {'l', 's', 's'}},      {"js", 0, kAny, {'v', 'v', 'v'}},
    {"json", 1, 1, {'v', 'v', 'v'}},      {"le", 2, 2, {'v', 'v', 'v'}},
    {"len", 1, 1, {'v', 'v', 'v'}},       {"lower", 1, 1, {'s', 's', 's'}},
    {"lt", 2, 2, {'v', 'v', 'v'}},        {"ne", 2, 2, {'v', 'v', 'v'}},
    {"not", 1, 1, {'v', 'v', 'v'}},       {"or", 1, kAny, {'v', 'v', 'v'}},
    {"pad", 3, 3, {'s', 'i', 'i'}},       {"print", 0, kAny, {'v', 'v', 'v'}},
    {"printf", 1, kAny, {'s', 'v', 'v'}}, {"println", 0, kAny, {'v', 'v', 'v'}},
    {"slice", 1, kAny, {'v', 'v', 'v'}},  {"split", 2, 2, {'s', 's', 's'}},
    {"title", 1, 1, {'s', 's', 's'}},     {"truncate", 2, 2, {'s', 'i', 'i'}},
    {"upper", 1, 1, {'s', 's', 's'}},     {"urlquery", 0, kAny, {'v', 'v', 'v'}},
};

const Signature& SignatureOf(const std::string& name) {
  return *std::find_if(std::begin(kSignatures), std::end(kSignatures),
                       [&](const Signature& known) { return known.name == name; });
}

// The functions. Their errors are told behind "error calling NAME: ".
namespace functions {

// Whether the values are of one kind, which can be compared; null to nothing.
Status CheckComparable(const OrderedJson& a, const OrderedJson& b, bool ordered) {
  const auto kind = [](const OrderedJson& value) {
    return value.is_number_float() ? 'f' : value.is_number() ? 'i' : value.is_string() ? 's' : 'b';
  };
  const bool basic = !a.is_structured() && !b.is_structured();
  if (!basic || (ordered && (a.is_boolean() || a.is_null()))) {
    return InvalidArgument("invalid type for comparison");
  }
  if (kind(a) != kind(b)) return InvalidArgument("incompatible types for comparison");
  return OkStatus();
}

StatusOr<OrderedJson> Compare(const std::string& name, const Values& arguments) {
  const OrderedJson& first = arguments[0];
  if (name == "eq" && arguments.size() < 2) {
    return InvalidArgument("missing argument for comparison");
  }
  const bool ordered = name != "eq" && name != "ne";
  bool equal = false;
  for (size_t i = 1; i < arguments.size(); ++i) {
    const bool null = first.is_null() || arguments[i].is_null();
    if (ordered || !null) RETURN_IF_ERROR(CheckComparable(first, arguments[i], ordered));
    equal = equal || first == arguments[i];
  }
  if (name == "eq") return OrderedJson(equal);
  if (name == "ne") return OrderedJson(!equal);
  const OrderedJson& second = arguments[1];
  if (name == "lt") return OrderedJson(first < second);
  if (name == "le") return OrderedJson(first <= second);
  return OrderedJson(name == "gt" ? first > second : first >= second);
}

// An index of at most `most`.
StatusOr<size_t> IndexOf(const OrderedJson& index, size_t most) {
  if (index.is_null()) return InvalidArgument("cannot index slice/array with nil");
  if (!index.is_number_integer()) {
    return InvalidArgument("cannot index slice/array with type {}", TypeName(index));
  }
  if (index < 0 || index.get<uint64_t>() > most) {
    return InvalidArgument("index out of range: {}", index.dump());
  }
  return index.get<size_t>();
}

size_t SizeOf(const OrderedJson& value) {
  return value.is_string() ? value.get_ref<const std::string&>().size() : value.size();
}

StatusOr<OrderedJson> Index(const Values& arguments) {
  OrderedJson value = arguments[0];
  if (value.is_null()) return InvalidArgument("index of untyped nil");
  for (size_t i = 1; i < arguments.size(); ++i) {
    const OrderedJson& key = arguments[i];
    OrderedJson inner;
    if (value.is_array() || value.is_string()) {
      ASSIGN_OR_RETURN(const size_t index, IndexOf(key, SizeOf(value)));
      if (index == SizeOf(value)) {
        return InvalidArgument("reflect: {} index out of range",
                               value.is_array() ? "slice" : "string");
      }
      inner =
          value.is_array()
              ? value[index]
              : OrderedJson(static_cast<unsigned char>(value.get_ref<const std::string&>()[index]));
    } else if (value.is_object()) {
      if (!key.is_string()) {
        return InvalidArgument("value has type {}; should be string", TypeName(key));
      }
      // A map of strings in Docker's client has "" for what it does not hold.
      const auto found = value.find(key.get_ref<const std::string&>());
      inner = found == value.end() ? OrderedJson("") : *found;
    } else if (value.is_null()) {
      return InvalidArgument("index of nil pointer");
    } else {
      return InvalidArgument("can't index item of type {}", TypeName(value));
    }
    value = std::move(inner);
  }
  return value;
}

// A string's or list's part: slice x 1 2 is x[1:2].
StatusOr<OrderedJson> Slice(const Values& arguments) {
  const OrderedJson& value = arguments[0];
  if (value.is_null()) return InvalidArgument("slice of untyped nil");
  if (!value.is_string() && !value.is_array()) {
    return InvalidArgument("can't slice item of type {}", TypeName(value));
  }
  if (arguments.size() > 3)
    return InvalidArgument("too many slice indexes: {}", arguments.size() - 1);
  std::array<size_t, 2> bounds = {0, SizeOf(value)};
  for (size_t i = 1; i < arguments.size(); ++i) {
    ASSIGN_OR_RETURN(bounds[i - 1], IndexOf(arguments[i], SizeOf(value)));
  }
  const auto [begin, end] = bounds;
  if (begin > end) return InvalidArgument("invalid slice index: {} > {}", begin, end);
  if (value.is_string()) return OrderedJson(value.get<std::string>().substr(begin, end - begin));
  OrderedJson part = OrderedJson::array();
  for (size_t i = begin; i < end; ++i) part.push_back(value[i]);
  return part;
}

StatusOr<OrderedJson> Length(const OrderedJson& value) {
  if (value.is_null()) return InvalidArgument("len of nil pointer");
  if (value.is_string() || value.is_structured()) return OrderedJson(SizeOf(value));
  return InvalidArgument("len of type {}", TypeName(value));
}

std::string MapCase(std::string text, const std::string& how) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool up = how == "upper" || (how == "title" && (i == 0 || text[i - 1] == ' '));
    if (up) text[i] = static_cast<char>(std::toupper(c));
    if (how == "lower") text[i] = static_cast<char>(std::tolower(c));
  }
  return text;
}

// print puts a space only between two that are no strings.
std::string Print(const Values& arguments, bool line) {
  std::string text;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const bool spaced =
        i > 0 && (line || !(arguments[i].is_string() || arguments[i - 1].is_string()));
    text += (spaced ? " " : "") + TextOf(arguments[i]);
  }
  return text + (line ? "\n" : "");
}

std::string Escaped(const std::string& name, const Values& arguments) {
  std::string text;
  for (const auto& argument : arguments) text += TextOf(argument);
  return name == "html" ? HtmlEscape(text) : name == "js" ? JsEscape(text) : QueryEscape(text);
}

std::string Join(const OrderedJson& list, const std::string& separator) {
  std::string text;
  for (size_t i = 0; i < list.size(); ++i) text += (i > 0 ? separator : "") + TextOf(list[i]);
  return text;
}

OrderedJson Split(const std::string& text, const std::string& separator) {
  OrderedJson parts = OrderedJson::array();
  size_t at = 0;
  for (size_t end; !separator.empty() && (end = text.find(separator, at)) != std::string::npos;
       at = end + separator.size()) {
    parts.push_back(text.substr(at, end - at));
  }
  parts.push_back(text.substr(at));
  return parts;
}

// pad TEXT BEFORE AFTER, truncate TEXT LENGTH
StatusOr<OrderedJson> Fit(const std::string& name, const Values& arguments) {
  const auto text = arguments[0].get<std::string>();
  for (size_t i = 1; i < arguments.size(); ++i) {
    if (arguments[i] >= 0) continue;
    if (name == "pad") return InvalidArgument("strings: negative Repeat count");
    return InvalidArgument("runtime error: slice bounds out of range [:{}]", arguments[i].dump());
  }
  const auto count = [&](size_t i) { return std::min(arguments[i].get<size_t>(), kWidest); };
  if (name == "truncate") return OrderedJson(text.substr(0, arguments[1].get<size_t>()));
  if (text.empty()) return OrderedJson("");
  return OrderedJson(std::string(count(1), ' ') + text + std::string(count(2), ' '));
}

StatusOr<OrderedJson> Call(const std::string& name, const Values& arguments) {
  if (name == "print" || name == "println") return OrderedJson(Print(arguments, name == "println"));
  if (name == "html" || name == "js" || name == "urlquery") {
    return OrderedJson(Escaped(name, arguments));
  }
  const OrderedJson& first = arguments[0];
  if (name == "json") return OrderedJson(first.dump());
  if (name == "len") return Length(first);
  if (name == "not") return OrderedJson(!IsTrue(first));
  if (name == "index") return Index(arguments);
  if (name == "slice") return Slice(arguments);
  if (name == "pad" || name == "truncate") return Fit(name, arguments);
  if (name == "printf") {
    return OrderedJson(
        GoPrintf(first.get<std::string>(), {arguments.begin() + 1, arguments.end()}));
  }
  if (name == "join") return OrderedJson(Join(first, arguments[1].get<std::string>()));
  if (name == "split") return Split(first.get<std::string>(), arguments[1].get<std::string>());
  if (name == "lower" || name == "upper" || name == "title") {
    return OrderedJson(MapCase(first.get<std::string>(), name));
  }
  return Compare(name, arguments);
}

}  // namespace functions

class Executor {
 public:
  // All borrowed. `name` is that of the template: "" of the one that was parsed.
  Executor(const go::Tree& tree, const OrderedJson& data, const std::string& type,
           const std::string& name, int depth)
      : tree_(tree), data_(data), type_(type), name_(name), depth_(depth) {
    variables_.emplace_back("$", data);
  }

  Status Run(const std::vector<Node>& nodes, const OrderedJson& dot, std::string* out) {
    const size_t variables = variables_.size();
    for (const Node& node : nodes) {
      RETURN_IF_ERROR(RunNode(node, dot, out));
      if (jump_ != Jump::kNone) break;
    }
    variables_.resize(variables);
    return OkStatus();
  }

 private:
  enum class Jump { kNone, kBreak, kContinue };

  // Where an error is: position and text of the node that is being evaluated.
  void At(size_t at, std::string shown) {
    at_ = at;
    shown_ = std::move(shown);
  }
  void At(const Operand& operand) { At(operand.at, operand.shown); }

  [[nodiscard]] Status Wrong(const std::string& what) const {
    const std::string before = tree_.source.substr(0, at_);
    const size_t line = before.rfind('\n');
    return InvalidArgument("template: :{}:{}: executing \"{}\" at <{}>: {}",
                           1 + std::count(before.begin(), before.end(), '\n'),
                           line == std::string::npos ? at_ : at_ - line - 1, name_, shown_, what);
  }

  Status RunNode(const Node& node, const OrderedJson& dot, std::string* out) {
    switch (node.kind) {
      case Node::Kind::kText:
        *out += node.text;
        return OkStatus();
      case Node::Kind::kBreak:
      case Node::Kind::kContinue:
        jump_ = node.kind == Node::Kind::kBreak ? Jump::kBreak : Jump::kContinue;
        return OkStatus();
      case Node::Kind::kRange:
        return RunRange(node, dot, out);
      case Node::Kind::kTemplate:
        return RunTemplate(node, dot, out);
      case Node::Kind::kAction: {
        ASSIGN_OR_RETURN(const OrderedJson value, Evaluate(node.pipe, dot));
        if (node.pipe.variables.empty()) *out += TextOf(value);
        return OkStatus();
      }
      default:
        return RunIf(node, dot, out);
    }
  }

  Status RunIf(const Node& node, const OrderedJson& dot, std::string* out) {
    const size_t variables = variables_.size();
    ASSIGN_OR_RETURN(const OrderedJson value, Evaluate(node.pipe, dot));
    const bool chosen = IsTrue(value);
    RETURN_IF_ERROR(Run(chosen ? node.body : node.otherwise,
                        chosen && node.kind == Node::Kind::kWith ? value : dot, out));
    variables_.resize(variables);
    return OkStatus();
  }

  // A template sees its own dot, as $ too, and no variables of its caller.
  Status RunTemplate(const Node& node, const OrderedJson& dot, std::string* out) {
    const std::string argument = node.pipe.commands.empty() ? "" : " " + node.pipe.Shown();
    At(node.at, fmt::format("{{{{template {}{}}}}}", Quote(node.text), argument));
    const auto found = tree_.definitions.find(node.text);
    if (found == tree_.definitions.end()) {
      return Wrong(fmt::format("template {} not defined", Quote(node.text)));
    }
    if (depth_ >= kDeepest) {
      return Wrong(fmt::format("exceeded maximum template depth ({})", kDeepest));
    }
    OrderedJson value;
    if (!node.pipe.commands.empty()) {
      ASSIGN_OR_RETURN(value, Evaluate(node.pipe, dot));
    }
    Executor callee(tree_, value, no_type_, node.text, depth_ + 1);
    return callee.Run(found->second, value, out);
  }

  Status RunRange(const Node& node, const OrderedJson& dot, std::string* out) {
    const size_t variables = variables_.size();
    Pipe pipe = node.pipe;
    const std::vector<std::string> names = std::exchange(pipe.variables, {});
    ASSIGN_OR_RETURN(const OrderedJson list, Evaluate(pipe, dot));
    size_t count = list.is_structured() ? list.size() : 0;
    if (list.is_number_integer()) {
      if (names.size() > 1) {
        return Wrong(
            fmt::format("can't use {} to iterate over more than one variable", list.dump()));
      }
      count = list > 0 ? list.get<size_t>() : 0;
    } else if (!list.is_structured() && !list.is_null()) {
      return Wrong("range can't iterate over " + TextOf(list));
    }
    auto item = list.begin();
    for (size_t i = 0; i < count; ++i) {
      const OrderedJson value = list.is_structured() ? *item : OrderedJson(i);
      if (names.size() > 1) {
        const OrderedJson key = list.is_object() ? OrderedJson(item.key()) : OrderedJson(i);
        SetVariable(node.pipe, names[0], key);
      }
      if (!names.empty()) SetVariable(node.pipe, names.back(), value);
      RETURN_IF_ERROR(Run(node.body, value, out));
      variables_.resize(variables);
      if (std::exchange(jump_, Jump::kNone) == Jump::kBreak) break;
      if (list.is_structured()) ++item;
    }
    return count == 0 ? Run(node.otherwise, dot, out) : OkStatus();
  }

  void SetVariable(const Pipe& pipe, const std::string& name, const OrderedJson& value) {
    if (pipe.declares) {
      variables_.emplace_back(name, value);
    } else {
      *Variable(name) = value;
    }
  }

  // The innermost of that name; the parser has seen that there is one.
  OrderedJson* Variable(const std::string& name) {
    const auto found = std::find_if(variables_.rbegin(), variables_.rend(),
                                    [&](const auto& variable) { return variable.first == name; });
    return &found->second;
  }

  StatusOr<OrderedJson> Evaluate(const Pipe& pipe, const OrderedJson& dot) {
    Values piped;
    for (const go::Command& command : pipe.commands) {
      ASSIGN_OR_RETURN(OrderedJson value, RunCommand(command, piped, dot));
      piped = {std::move(value)};
    }
    for (const std::string& name : pipe.variables) SetVariable(pipe, name, piped[0]);
    return piped[0];
  }

  StatusOr<OrderedJson> RunCommand(const go::Command& command, const Values& piped,
                                   const OrderedJson& dot) {
    const Operand& head = command.operands[0];
    if (head.kind == Operand::Kind::kFunction) return CallFunction(command, piped, dot);
    At(head);
    if (head.kind == Operand::Kind::kNil) return Wrong("nil is not a command");
    const size_t given = command.operands.size() - 1 + piped.size();
    if (given == 0) return ValueOf(head, dot);
    if (!head.fields.empty()) {
      RETURN_IF_ERROR(ValueOf(head, dot).status());
      At(head);
      return Wrong(
          fmt::format("wrong number of args for {}: want 0 got {}", head.fields.back(), given));
    }
    if (head.kind == Operand::Kind::kPipe) At(command.at, command.Shown());
    return Wrong("can't give argument to non-function " +
                 (head.kind == Operand::Kind::kPipe ? head.pipe[0].Shown() : head.shown));
  }

  StatusOr<OrderedJson> CallFunction(const go::Command& command, const Values& piped,
                                     const OrderedJson& dot) {
    const Operand& head = command.operands[0];
    const Signature& signature = SignatureOf(head.text);
    At(head);
    const size_t given = command.operands.size() - 1 + piped.size();
    if (given < signature.least || given > signature.most) {
      return Wrong(fmt::format("wrong number of args for {}: want {}{} got {}", head.text,
                               signature.most == kAny ? "at least " : "", signature.least, given));
    }
    const bool stops = head.text == "and" || head.text == "or";
    Values arguments;
    const auto type = [&] { return signature.types[std::min<size_t>(arguments.size(), 2)]; };
    for (size_t i = 1; i < command.operands.size(); ++i) {
      ASSIGN_OR_RETURN(OrderedJson value, Argument(command.operands[i], type(), dot));
      if (stops && IsTrue(value) == (head.text == "or")) return value;
      arguments.push_back(std::move(value));
    }
    if (!piped.empty()) {
      At(head);
      RETURN_IF_ERROR(CheckType(piped[0], type()));
      arguments.push_back(piped[0]);
    }
    if (stops) return arguments.back();
    StatusOr<OrderedJson> result = functions::Call(head.text, arguments);
    if (result.ok()) return result;
    At(command.at, command.Shown());
    return Wrong(fmt::format("error calling {}: {}", head.text, MessageOf(result.status())));
  }

  StatusOr<OrderedJson> Argument(const Operand& operand, char type, const OrderedJson& dot) {
    At(operand);
    const char* wanted = type == 's' ? "string" : type == 'i' ? "integer" : "";
    const auto kind = operand.kind;
    if (kind == Operand::Kind::kNil) {
      if (type == 'v' || type == 'l') return OrderedJson();
      return Wrong(fmt::format("cannot assign nil to {}", type == 's' ? "string" : "int"));
    }
    ASSIGN_OR_RETURN(OrderedJson value, ValueOf(operand, dot));
    const bool literal = kind == Operand::Kind::kString || kind == Operand::Kind::kNumber ||
                         kind == Operand::Kind::kBool;
    if (literal &&
        ((type == 's' && !value.is_string()) || (type == 'i' && !value.is_number_integer()))) {
      return Wrong(fmt::format("expected {}; found {}", wanted, operand.shown));
    }
    At(operand);
    RETURN_IF_ERROR(CheckType(value, type));
    return value;
  }

  Status CheckType(const OrderedJson& value, char type) const {
    const bool list = value.is_array() || value.is_null();
    if (type == 'v' || (type == 's' && value.is_string()) ||
        (type == 'i' && value.is_number_integer()) || (type == 'l' && list)) {
      return OkStatus();
    }
    const char* wanted = type == 's' ? "string" : type == 'i' ? "int" : "[]string";
    if (value.is_null()) return Wrong(fmt::format("invalid value; expected {}", wanted));
    return Wrong(fmt::format("wrong type for value; expected {}; got {}", wanted, TypeName(value)));
  }

  StatusOr<OrderedJson> ValueOf(const Operand& operand, const OrderedJson& dot) {
    switch (operand.kind) {
      case Operand::Kind::kString:
        return OrderedJson(operand.text);
      case Operand::Kind::kBool:
        return OrderedJson(operand.text == "true");
      case Operand::Kind::kNil:
        return OrderedJson();
      case Operand::Kind::kNumber:
        return Number(operand.text);
      case Operand::Kind::kFunction:
        return CallFunction({.at = operand.at, .operands = {operand}}, {}, dot);
      case Operand::Kind::kVariable: {
        const bool top = operand.text == "$";
        return Walk(*Variable(operand.text), operand, top ? type_ : no_type_);
      }
      case Operand::Kind::kPipe: {
        ASSIGN_OR_RETURN(const OrderedJson value, Evaluate(operand.pipe[0], dot));
        return Walk(value, operand, no_type_);
      }
      case Operand::Kind::kDot:
        return Walk(dot, operand, &dot == &data_ ? type_ : no_type_);
    }
    return OrderedJson();
  }

  static OrderedJson Number(const std::string& text) {
    char* end = nullptr;
    const int64_t whole = std::strtoll(text.c_str(), &end, 0);
    return *end == '\0' ? OrderedJson(whole) : OrderedJson(std::strtod(text.c_str(), nullptr));
  }

  // The fields of `operand` from `value` on; `type` is what the value is in Docker's client.
  StatusOr<OrderedJson> Walk(OrderedJson value, const Operand& operand, std::string type) const {
    const bool raw = type_.empty();
    for (const std::string& key : operand.fields) {
      const bool first = &key == &operand.fields.front();
      if (value.is_null()) {
        return Wrong(first ? fmt::format("nil data; no entry for key {}", Quote(key))
                           : "nil pointer evaluating interface {}." + key);
      }
      if (!value.is_object() || (!type.empty() && !value.contains(key))) {
        if (type.empty()) type = raw && !first ? "interface {}" : TypeName(value);
        return Wrong(fmt::format("can't evaluate field {} in type {}", key, type));
      }
      if (!value.contains(key)) {
        return Wrong(fmt::format("map has no entry for key {}", Quote(key)));
      }
      OrderedJson inner = value[key];
      value = std::move(inner);
      type.clear();
    }
    return value;
  }

  const go::Tree& tree_;
  const OrderedJson& data_;
  const std::string& type_;
  const std::string no_type_;
  const std::string& name_;
  const int depth_;
  std::vector<std::pair<std::string, OrderedJson>> variables_;
  Jump jump_ = Jump::kNone;
  size_t at_ = 0;
  std::string shown_;
};

Status ParsingError(const Status& status) {
  return InvalidArgument("template parsing error: {}", MessageOf(status));
}

}  // namespace

StatusOr<Template> Template::Parse(const std::string& text) {
  auto tree = go::Parse(text);
  if (!tree.ok()) return ParsingError(tree.status());
  Template parsed;
  parsed.tree_ = std::make_shared<go::Tree>(*std::move(tree));
  return parsed;
}

StatusOr<std::string> Template::Execute(const OrderedJson& data, const std::string& type) const {
  std::string out;
  const std::string name;
  const Status status = Executor(*tree_, data, type, name, 0).Run(tree_->body, data, &out);
  if (!status.ok()) return ParsingError(status);
  return out;
}

}  // namespace ocirun::ctl
