// SPDX-License-Identifier: Apache-2.0
#include "shim/stdio_uri.h"

#include <charconv>

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

}  // namespace

StatusOr<StdioUri> ParseStdioUri(std::string_view uri) {
  StdioUri out;
  if (uri.empty()) return out;
  const size_t colon = uri.find("://");
  const std::string_view scheme = uri.substr(0, colon);
  if (scheme == "json-file") out.log_format = &kJsonFormat;
  if (scheme == "cri") out.log_format = &kCriFormat;
  if (colon == std::string_view::npos || (out.log_format == nullptr && scheme != "attach"))
    return Unsupported("stdio {:?}: only json-file://, cri:// and attach:// are supported", uri);
  std::string_view rest = uri.substr(colon + 3);
  const size_t question = rest.find('?');
  ASSIGN_OR_RETURN(std::string path, PercentDecode(rest.substr(0, question)));
  if (path.empty() || path[0] != '/')
    return InvalidArgument("stdio {:?}: the path must be absolute", uri);
  (scheme == "attach" ? out.attach_path : out.log.path) = std::move(path);
  while (question != std::string_view::npos && rest.find_first_of("?&") != std::string_view::npos) {
    rest.remove_prefix(rest.find_first_of("?&") + 1);
    if (scheme == "attach") return InvalidArgument("stdio {:?}: attach takes no options", uri);
    RETURN_IF_ERROR(ParseOption(rest.substr(0, rest.find('&')), &out));
  }
  if (out.log.compress && (out.log.max_size == 0 || out.log.max_file < 2))
    return InvalidArgument("compress wants max-size and a max-file of 2 or more");
  return out;
}

}  // namespace ocirun::shim
