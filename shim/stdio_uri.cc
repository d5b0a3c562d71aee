// SPDX-License-Identifier: Apache-2.0
#include "shim/stdio_uri.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace ocirun::shim {
namespace {

StatusOr<std::string> PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned char byte = 0;
    const char* end = text.data() + std::min(text.size(), i + 3);
    const auto parsed = std::from_chars(text.data() + i + 1, end, byte, 16);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + i + 3 || byte == 0)
      return InvalidArgument("bad percent encoding in {:?}", text);
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

template <typename T>
Status ParseNumber(std::string_view key, std::string_view text, T* out) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), *out);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())
    return InvalidArgument("{}={}: not a number", key, text);
  return OkStatus();
}

Status ParseOption(std::string_view option, StdioUri* out) {
  const size_t equals = option.find('=');
  const std::string_view key = option.substr(0, equals);
  const std::string_view text =
      equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1);
  if (key == "max-size") return ParseNumber(key, text, &out->log.max_size);
  if (key == "max-file") {
    RETURN_IF_ERROR(ParseNumber(key, text, &out->log.max_file));
    return out->log.max_file == 0 ? InvalidArgument("max-file must not be 0") : OkStatus();
  }
  if (key == "compress") {
    if (text != "true" && text != "false")
      return InvalidArgument("compress={}: neither true nor false", text);
    out->log.compress = text == "true";
    return OkStatus();
  }
  if (key == "attach") {
    ASSIGN_OR_RETURN(out->attach_path, PercentDecode(text));
    return OkStatus();
  }
  return InvalidArgument("unknown option {:?} of a log", key);
}

Status ParseAttachOption(std::string_view option, StdioUri* out) {
  const size_t equals = std::min(option.find('='), option.size());
  if (option.substr(0, equals) != "keep")
    return InvalidArgument("unknown option {:?} of attach", option.substr(0, equals));
  uint32_t seconds = 0;
  RETURN_IF_ERROR(
      ParseNumber("keep", option.substr(std::min(equals + 1, option.size())), &seconds));
  out->keep = std::chrono::seconds(seconds);
  return OkStatus();
}

// One word of a query, where a blank may be a plus sign.
StatusOr<std::string> QueryDecode(std::string_view text) {
  std::string spaced(text);
  std::replace(spaced.begin(), spaced.end(), '+', ' ');
  return PercentDecode(spaced);
}

Status ParseLoggerArgs(std::string_view query, LoggerUri* out) {
  for (const std::string_view pair : SplitWords(query, "&")) {
    const size_t equals = std::min(pair.find('='), pair.size());
    ASSIGN_OR_RETURN(std::string name, QueryDecode(pair.substr(0, equals)));
    ASSIGN_OR_RETURN(std::string value,
                     QueryDecode(pair.substr(std::min(equals + 1, pair.size()))));
    out->args.push_back(std::move(name));
    out->args.push_back(std::move(value));
  }
  return OkStatus();
}

// A scheme of containerd's; false when it is none of them.
StatusOr<bool> ParseContainerdUri(std::string_view scheme, const std::string& path,
                                  std::string_view query, StdioUri* out) {
  if (scheme == "fifo") {
    out->path = path;
  } else if (scheme == "file") {
    out->file = path;
  } else if (scheme == "binary" || scheme == "binary-v2") {
    out->logger = {path, {}, scheme == "binary-v2"};
    RETURN_IF_ERROR(ParseLoggerArgs(query, &out->logger));
  } else {
    return false;
  }
  return true;
}

}  // namespace

StatusOr<std::string> ParseFifoUri(std::string_view uri) {
  if (uri.empty()) return std::string();
  ASSIGN_OR_RETURN(StdioUri parsed, ParseStdioUri(uri));
  if (parsed.path.empty()) return Unsupported("stdio {:?}: must be the path of a fifo", uri);
  return std::move(parsed.path);
}

StatusOr<StdioUri> ParseStdioUri(std::string_view uri) {
  StdioUri out;
  if (uri.empty()) return out;
  const size_t colon = uri.find("://");
  const std::string_view scheme = uri.substr(0, colon);
  if (uri[0] == '/') {
    out.path = std::string(uri);
    return out;
  }
  if (colon == std::string_view::npos)
    return InvalidArgument("stdio {:?}: neither an absolute path nor scheme://path", uri);
  std::string_view rest = uri.substr(colon + 3);
  const size_t question = rest.find('?');
  ASSIGN_OR_RETURN(std::string path, PercentDecode(rest.substr(0, question)));
  if (path.empty() || path[0] != '/')
    return InvalidArgument("stdio {:?}: the path must be absolute", uri);
  const std::string_view query =
      question == std::string_view::npos ? std::string_view() : rest.substr(question + 1);
  ASSIGN_OR_RETURN(const bool containerds, ParseContainerdUri(scheme, path, query, &out));
  if (containerds) return out;
  if (scheme == "json-file") out.log_format = &kJsonFormat;
  if (scheme == "cri") out.log_format = &kCriFormat;
  if (out.log_format == nullptr && scheme != "attach")
    return Unsupported(
        "stdio {:?}: only a path, fifo://, file://, binary://, binary-v2://, json-file://, "
        "cri:// and attach:// are supported",
        uri);
  (scheme == "attach" ? out.attach_path : out.log.path) = std::move(path);
  while (question != std::string_view::npos && rest.find_first_of("?&") != std::string_view::npos) {
    rest.remove_prefix(rest.find_first_of("?&") + 1);
    const std::string_view option = rest.substr(0, rest.find('&'));
    RETURN_IF_ERROR(scheme == "attach" ? ParseAttachOption(option, &out)
                                       : ParseOption(option, &out));
  }
  if (out.log.compress && (out.log.max_size == 0 || out.log.max_file < 2))
    return InvalidArgument("compress wants max-size and a max-file of 2 or more");
  return out;
}

}  // namespace ocirun::shim
